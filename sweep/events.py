"""The jobs' own event log -> what happened to each tuple. One pass; the log is appended across rescue runs.

DAGMan's own nodes log is never read: it is truncated by every rescue run and lacks half of the event types.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from sweep.model import VersionTuple
from sweep.pool import device_text


class JobState(StrEnum):
    """Where a tuple's newest job stands."""

    IDLE = "idle"
    RUNNING = "running"
    HELD = "held"
    EXITED = "exited"
    SIGNALLED = "signalled"
    REMOVED = "removed"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.EXITED, JobState.SIGNALLED, JobState.REMOVED)


# What an event makes of a job's state. Events that are not listed leave it as it is.
STATE_AFTER = {
    "SUBMIT": JobState.IDLE,
    "EXECUTE": JobState.RUNNING,
    "JOB_EVICTED": JobState.IDLE,
    "SHADOW_EXCEPTION": JobState.IDLE,
    "JOB_RECONNECT_FAILED": JobState.IDLE,
    "JOB_HELD": JobState.HELD,
    "JOB_RELEASED": JobState.IDLE,
    "JOB_ABORTED": JobState.REMOVED,
    "JOB_TERMINATED": JobState.EXITED,
}


@dataclass
class Attempt:
    """One start of a job on a machine. Times are Unix seconds; `ended_by` is the event that ended it."""

    start: int
    machine: str | None
    slot: str | None
    gpus: int
    device: str | None
    driver: str | None
    end: int | None = None
    ended_by: str | None = None

    def gpu_seconds(self, now: int) -> float:
        """Seconds times devices that the attempt held; until `now` if it has not ended."""
        return max(0, (self.end if self.end is not None else now) - self.start) * self.gpus


@dataclass
class Job:
    """One job (cluster) of a tuple, as the event log tells it. Holds are (code, subcode, reason)."""

    cluster: int
    submitted: int
    state: JobState = JobState.IDLE
    attempts: list[Attempt] = field(default_factory=list)
    holds: list[tuple[int, int, str]] = field(default_factory=list)
    evictions: list[str] = field(default_factory=list)
    ended: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    removal: str = ""


@dataclass
class History:
    """Every job of one tuple, oldest first: a rescue run or a retry of the node adds one."""

    tuple: str
    jobs: list[Job] = field(default_factory=list)

    @property
    def last(self) -> Job:
        """The newest job: where the tuple stands now."""
        return self.jobs[-1]

    @property
    def decisive(self) -> Job:
        """The newest job that reached a verdict, else the newest.

        A job that ends in the moment before its sweep is removed may be repeated by the rescue run; if that repeat
        comes to nothing, the first one's verdict still holds.
        """
        return next((job for job in reversed(self.jobs) if job.exit_code == 0), self.last)

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt of every job."""
        return [attempt for job in self.jobs for attempt in job.attempts]


@dataclass
class EventLog:
    """The histories by tuple id, the newest time in the log, and what kept it from being read to its end.

    `events` counts what could be read, whoever logged it.
    """

    histories: dict[str, History]
    newest: int
    problem: str | None = None
    events: int = 0


def read(path: Path) -> EventLog:
    """Read a job event log as far as it goes; a missing log is an empty one."""
    if not path.is_file() or path.stat().st_size == 0:
        return EventLog({}, 0)
    os.environ.setdefault("CONDOR_CONFIG", os.devnull)  # reading a log needs no pool
    import htcondor2

    written = _written(path)  # before the reading: a log that grows meanwhile is not a damaged one
    log = htcondor2.JobEventLog(str(path))
    try:
        found = fold(log.events(stop_after=0))
    finally:
        log.close()
    if found.problem is None and found.events < written:
        # The bindings pass over what they cannot read, or end there, without a word.
        found.problem = f"the event log is damaged: {found.events} of its {written} events could be read"
    return found


def _written(path: Path) -> int:
    """How many whole events a log has: each ends with a line of three dots."""
    with path.open("rb") as log:
        return sum(line.rstrip(b"\r\n") == b"..." for line in log)


def fold(events: Iterable[Any]) -> EventLog:
    """Fold events into histories. An event that cannot be read ends the reading, and is reported."""
    histories: dict[str, History] = {}
    jobs: dict[tuple[int, int], Job] = {}
    newest = count = 0
    problem = None
    iterator = iter(events)
    while True:
        try:
            event = next(iterator)
        except StopIteration:
            break
        except Exception as error:  # the bindings raise several types for a damaged event
            problem = f"the event log breaks off: {' '.join(str(error).split()) or type(error).__name__}"
            break
        count += 1
        newest = max(newest, int(event.timestamp))
        name = event.type.name
        key = (int(event.cluster), int(event.proc))
        if name == "SUBMIT":
            job = _submitted(event, histories)
            if job is not None:
                jobs[key] = job
        elif key in jobs:
            _apply(jobs[key], name, event)
    return EventLog(histories, newest, problem, count)


def _submitted(event: Any, histories: dict[str, History]) -> Job | None:
    notes = event.get("StructuredNotes")
    tuple_id = notes.get("SweepTuple") if notes is not None else None
    try:
        VersionTuple.parse(str(tuple_id))
    except ValueError:
        return None  # a job that somebody else logs here
    job = Job(cluster=int(event.cluster), submitted=int(event.timestamp))
    histories.setdefault(str(tuple_id), History(str(tuple_id))).jobs.append(job)
    return job


def _apply(job: Job, name: str, event: Any) -> None:
    """Advance one job by one event."""
    when = int(event.timestamp)
    if name == "EXECUTE":
        _close(job, when, "lost")  # a second start without an end between: the shadow died
        job.attempts.append(_attempt(event, when))
    elif name == "JOB_EVICTED":
        _close(job, when, "requeued" if event.get("TerminatedAndRequeued") else "evicted")
        job.evictions.append(str(event.get("Reason") or "no reason given"))
    elif name in ("SHADOW_EXCEPTION", "JOB_RECONNECT_FAILED"):
        _close(job, when, name.lower().replace("_", "-"))
        job.evictions.append(str(event.get("Message") or event.get("Reason") or name))
    elif name == "JOB_HELD":
        _close(job, when, "held")
        reason = str(event.get("HoldReason") or "")
        job.holds.append((int(event.get("HoldReasonCode") or 0), int(event.get("HoldReasonSubCode") or 0), reason))
    elif name == "JOB_ABORTED":
        _close(job, when, "removed")
        job.ended, job.removal = when, str(event.get("Reason") or "")
    elif name == "JOB_TERMINATED":
        _close(job, when, "terminated")
        job.ended = when
        if event.get("TerminatedNormally"):
            job.exit_code = int(event.get("ReturnValue") or 0)
        else:
            job.signal = int(event.get("TerminatedBySignal") or 0)
    job.state = STATE_AFTER.get(name, job.state)
    if job.signal is not None:
        job.state = JobState.SIGNALLED


def _attempt(event: Any, when: int) -> Attempt:
    """Where a job started, from the machine attributes that the event itself carries."""
    slot = event.get("SlotName")
    properties = event.get("ExecuteProps")
    properties = dict(properties) if properties is not None else {}
    devices = [v for k, v in properties.items() if k.startswith("GPUs_") and hasattr(v, "get")]
    device, driver = device_text(devices[0]) if devices else (None, None)
    gpus = properties.get("GPUs")
    if not isinstance(gpus, int):
        gpus = max(1, len(devices))  # older startds do not say; each job of ours asks for one
    return Attempt(
        start=when,
        machine=str(slot).rpartition("@")[2] if slot else None,
        slot=str(slot) if slot else None,
        gpus=gpus,
        device=device,
        driver=driver,
    )


def _close(job: Job, when: int, how: str) -> None:
    if job.attempts and job.attempts[-1].end is None:
        job.attempts[-1].end, job.attempts[-1].ended_by = when, how


def last_lines(path: Path) -> dict[int, int]:
    """The line, counted from 1, on which the newest event of each cluster begins."""
    found: dict[int, int] = {}
    if path.is_file():
        with path.open(encoding="utf-8", errors="replace") as log:
            for number, line in enumerate(log, 1):
                if match := re.match(r"\d{3} \((\d+)\.\d+\.\d+\) ", line):
                    found[int(match[1])] = number
    return found
