"""What happened to one tuple's jobs and on its probe's ladder, as lines in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sweep import events
from sweep.events import Attempt, Job, Turn
from sweep.finding import clip
from sweep.model import visible
from sweep.places import EVENTS
from sweep.results import Unusable, read_result
from sweep.schema import RungOutcome

_WORDS = {
    "SUBMIT": "submitted",
    "EXECUTE": "started",
    "JOB_EVICTED": "evicted",
    "JOB_TERMINATED": "ended",
    "SHADOW_EXCEPTION": "lost its shadow",
    "JOB_ABORTED": "removed",
    "JOB_SUSPENDED": "suspended",
    "JOB_UNSUSPENDED": "goes on",
    "JOB_HELD": "held",
    "JOB_RELEASED": "released",
    "JOB_DISCONNECTED": "lost its connection",
    "JOB_RECONNECTED": "reconnected",
    "JOB_RECONNECT_FAILED": "could not be reconnected",
}


def jobs(here: Path, tuple_id: str) -> Iterator[str]:
    """Each job of the tuple, each change of its state, and each attempt with its machine and device."""
    log = events.read(here / EVENTS)
    history = log.histories.get(tuple_id)
    if history is None:
        return
    for job in history.jobs:
        waited = f"{job.queue_seconds(log.newest)} s in the queue, {len(job.attempts)} start(s)"
        yield f"Job {job.cluster}: {waited}"
        for turn in job.turns:
            yield f"  {_when(turn.time)}  {_said(job, turn)} ({EVENTS}:{turn.line})"
    if log.problem:
        yield f"  {log.problem}"


def ladder(here: Path, tuple_id: str) -> Iterator[str]:
    """What the wrapper and the probe recorded of the last attempt: each step and each rung."""
    result = read_result(here / "tuples" / tuple_id / "result.json", tuple_id)
    if isinstance(result, Unusable):
        yield f"Result: {result.why}"
        return
    yield f"Result of {result.node.machine or result.node.hostname or 'an unnamed machine'}"
    if result.node.library is not None and result.node.library.problem:
        yield f"  the driver's library, asked by itself: {clip(result.node.library.problem)}"
    for step in result.steps:
        kind = "" if step.ok else f": {step.kind or 'failed'}: {clip(step.message or '')}"
        yield f"  step {step.name}, {step.seconds:.1f} s{kind or ': done'}"
    for rung in result.rungs:
        said = f": {clip(rung.message)}" if rung.message else ""
        took = "" if rung.outcome is RungOutcome.SKIPPED else f", {rung.seconds:.1f} s"
        yield f"  rung {rung.rung}{took}: {rung.outcome.value}{said}"
        yield from (f"    {name}: {clip(how)}" for name, how in rung.formats.items() if how != "passed")
    for each in result.speed:
        yield f"  {each.metric}: {each.value:g} {each.unit}, {each.ratio:.3g} times the node's processor"


def _when(time: int) -> str:
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _said(job: Job, turn: Turn) -> str:
    word = _WORDS.get(turn.event, turn.event.lower().replace("_", " "))
    started = next((a for a in job.attempts if a.line == turn.line), None)
    if started is not None:
        return f"{word} on {_place(started)}"
    ended = next((a for a in job.attempts if a.end == turn.time and a.ended_by is not None), None)
    code = ""
    if ended is not None and ended.ended_by == "requeued":
        word, code = "failed, to be tried elsewhere", f"exit {ended.exit_code}"
    return f"{word}: {visible(clip(code or turn.words))}" if code or turn.words else word


def _place(attempt: Attempt) -> str:
    device = f"{attempt.device or 'an unnamed device'} {attempt.uuid or ''}".strip()
    supports = f", which runs CUDA up to {attempt.runtime}" if attempt.runtime else ""
    place = f"{attempt.machine or 'an unnamed machine'}: {device}, driver {attempt.driver or 'unknown'}{supports}"
    return visible(place)
