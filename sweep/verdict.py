"""Node history + probe result + plan -> verdict, cause and evidence per tuple. A pure function of files on disk.

The event log says what happened to the job; the result says what the probe found; the plan says what was settled
before; the pool's state at the end says whether waiting was in vain. A verdict is never drawn from a missing file:
without a usable result a tuple is inconclusive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sweep import budget, digests, endings, events, gate, ladder, marks, payload, relook, witness
from sweep.audit import surprising, wrong_rules
from sweep.events import Attempt, EventLog, History, Job
from sweep.files import read_model
from sweep.finding import Case, Finding
from sweep.funnel import funnel
from sweep.installs import Installs
from sweep.marks import Environments
from sweep.model import Cause, EnvironmentKey, GpuClass, Source, Verdict
from sweep.outliers import outliers, sentence
from sweep.places import EVENTS, PLAN
from sweep.results import Read, Unusable, read
from sweep.schema import (
    Evidence,
    Outcome,
    Outcomes,
    Payload,
    Plan,
    PlannedEnvironment,
    PlannedTuple,
    PoolEnd,
    ProbeResult,
    Spent,
)

# How HTCondor words it when a job goes because its DAG goes; a single job removed by a person is an outcome.
_REMOVED_WITH_ITS_DAG = r"\bDAG\b|OtherJobRemoveRequirements"


@dataclass(frozen=True)
class _Judged:
    """A tuple with its finding; the history, the deciding job and the testimony on its device where it had a job.

    `result` is what the probe left, where that decided.
    """

    planned: PlannedTuple
    finding: Finding
    history: History | None = None
    job: Job | None = None
    testimony: witness.Testimony = witness.SILENCE
    payload: Payload | None = None
    result: ProbeResult | None = None


def classify(here: Path, only: EnvironmentKey | None = None, log: EventLog | None = None) -> Outcomes:
    """The outcomes of the sweep in directory `here`, as far as its files go. The same files give the same answer.

    `only` is the environment whose tuples are looked at, and nothing else; None means all. `log` is the sweep's event
    log where that was read already.

    Raises:
        BadFileError: there is no usable plan.
    """
    plan = read_model(here / PLAN, Plan, "sweep plan")
    if only is not None:
        plan = plan.model_copy(update={"tuples": tuple(t for t in plan.tuples if t.environment == only)})
    log = log or events.read(here / EVENTS)
    end, end_notes = relook.stored(here)
    environments = {(e.framework, e.version, e.cuda): e for e in plan.environments}
    classes = {c.label: c for c in plan.pool.classes}
    spent = budget.stored(here)
    installs = Installs()
    judged = []
    for planned in plan.tuples:
        history = log.histories.get(planned.id)
        if not planned.submitted or history is None:
            judged.append(_Judged(planned, _without_job(plan, planned, log, spent)))
            continue
        directory = here / "tuples" / planned.id
        result = read(directory / "result.json", planned.id)
        installs.note(_lock(environments, planned), history.attempts, result.result)
        each = _with_job(plan, planned, history, result, classes.get(planned.gpu or ""))
        judged.append(replace(each, payload=payload.read(directory, planned.id)))
    outcomes = [
        _outcome(each, plan, environments, log.newest)
        for each in (_in_view_of_all(each, installs, end, environments) for each in judged)
    ]
    outcomes = gate.inferred(here, outcomes)
    issues, issue_notes = marks.issues_of(here)
    outcomes, known_notes = marks.marked(outcomes, environments, issues, plan.created.date())
    odd = outliers(outcomes, log.histories)
    return Outcomes(
        sweep=plan.sweep,
        created=plan.created,
        state=_state(plan, log, outcomes),
        simulated=plan.simulated,
        driver_policy=plan.driver_policy,
        pool=plan.pool,
        funnel=funnel(plan.space, outcomes),
        budget=plan.budget,
        budgets=plan.budgets,
        supplied=plan.supplied,
        gpu_hours=round(sum(o.gpu_seconds for o in outcomes) / 3600, 4),
        channels=plan.channels,
        digests=digests.of_sweep(here, plan),
        noted={e.id: e.noted for e in plan.environments if e.noted},
        notes=(
            *wrong_rules(outcomes),
            *([log.problem] if log.problem else []),
            *end_notes,
            *(relook.joined(outcomes, end) if end else []),
            *map(sentence, odd),
            *issue_notes,
            *known_notes,
            *plan.notes,
        ),
        outliers=odd,
        tuples=tuple(outcomes),
    )


def _state(
    plan: Plan, log: EventLog, outcomes: Sequence[Outcome]
) -> Literal["complete", "deadline", "over-budget", "unfinished"]:
    if endings.past_deadline(plan, log):
        return "deadline"
    if any(o.cause is Cause.OVER_BUDGET for o in outcomes):
        return "over-budget"
    submitted = [o.id for o in outcomes if o.submitted]
    over = all(t in log.histories and log.histories[t].decisive.state.over for t in submitted)
    removed = any(re.search(_REMOVED_WITH_ITS_DAG, h.decisive.removal) for h in log.histories.values())
    return "complete" if over and not removed else "unfinished"


# --------------------------------------------------------------------------- one tuple


def _without_job(plan: Plan, planned: PlannedTuple, log: EventLog, spent: Mapping[str | None, Spent]) -> Finding:
    """What planning settled, or why a tuple that was to be tested never was."""
    if planned.cause is None:
        return endings.never_logged(plan, log, spent.get(planned.capability) or spent.get(None))
    evidence = Evidence(file=planned.evidence, excerpt=planned.reason)
    return Finding(planned.cause, planned.reason, evidence, planned.rule)


def _with_job(
    plan: Plan,
    planned: PlannedTuple,
    history: History,
    result: Read,
    gpu: GpuClass | None,
) -> _Judged:
    job = _deciding_job(history, result.result)
    case = Case(plan, planned, job, result)
    finding = endings.without_verdict(case)
    if finding is not None:
        return _Judged(planned, finding, history, job)
    if isinstance(result.result, Unusable):
        finding = Finding(Cause.NO_RESULT, f"the job exited 0, but {result.result.why}", case.logged)
        return _Judged(planned, finding, history, job)
    if (finding := endings.payload_alone(case, result.result)) is not None:
        return _Judged(planned, finding, history, job)
    testimony = witness.hear(planned, gpu, job.attempts[-1] if job.attempts else None, result.result)
    finding = _on_its_device(case, result.result, testimony)
    return _Judged(planned, finding, history, job, testimony, result=result.result)


def _deciding_job(history: History, result: ProbeResult | Unusable) -> Job:
    """The job that the verdict is about: a later one may have overwritten the result of the one that reached it."""
    whole = isinstance(result, ProbeResult) and result.state == "done"
    return history.decisive if whole else history.last


def _on_its_device(case: Case, result: ProbeResult, testimony: witness.Testimony) -> Finding:
    """What the ladder says, if it was climbed on the tuple's own device; a result from another one proves nothing."""
    finding = ladder.climbed(case, result)
    why = testimony.mismatch
    if why is None and testimony.capability is None and finding.cause.verdict is Verdict.WORKS:
        why = f"nothing says the capability of the device; the tuple is of {case.planned.capability}"
    if why is None or finding.cause.verdict not in (Verdict.WORKS, Verdict.GPU_FAILURE):
        return finding
    evidence = case.in_result("devices", why)
    return Finding(Cause.INFRASTRUCTURE, f"not the tuple's device: {why}", evidence, "wrong-device")


# --------------------------------------------------------------------------- in view of all tuples


def _in_view_of_all(each: _Judged, installs: Installs, end: PoolEnd | None, environments: Environments) -> _Judged:
    """What one tuple's files say, put beside the other tuples' installations and the pool at the end."""
    finding = each.finding
    if each.planned.submitted:
        finding = installs.judge(_lock(environments, each.planned), finding)
    if end is not None:
        finding = relook.answered(finding, each.planned, each.job, end)
    return replace(each, finding=finding)


def _lock(environments: Environments, planned: PlannedTuple) -> str:
    """What tells locks apart: the digest, or the environment where the plan has none."""
    environment = environments.get((planned.framework, planned.version, planned.cuda))
    return (environment.lock_sha256 if environment else None) or planned.environment.id


def _outcome(each: _Judged, plan: Plan, environments: Environments, now: int) -> Outcome:
    planned, finding = each.planned, each.finding
    environment = environments.get((planned.framework, planned.version, planned.cuda))
    return Outcome(
        **planned.model_dump(include={"id", "framework", "version", "cuda", "capability", "gpu", "submitted"}),
        prediction=planned.prediction,
        audit=planned.audit,
        surprise=surprising(finding.cause, planned.prediction),
        verdict=finding.cause.verdict,
        cause=finding.cause,
        reason=finding.reason,
        rule=finding.rule,
        rung=finding.rung,
        evidence=finding.evidence,
        build=environment.build if environment else None,
        lock_sha256=environment.lock_sha256 if environment else None,
        source=plan.sources.get(planned.framework, Source.CONDA),
        payload=each.payload,
        install_seconds=_seconds(each.result, "install"),
        probe_seconds=_seconds(each.result, "probe", "speed"),
        fetched_bytes=_fetched(each.result, environment),
        speed=tuple(each.result.speed) if each.result and finding.cause.verdict is Verdict.WORKS else (),
        **(_whereabouts(each.history, each.job, each.testimony, now) if each.history and each.job else {}),
    )


def _seconds(result: ProbeResult | None, *names: str) -> float | None:
    """How long the named steps of a job took together; None where none of them is recorded."""
    found = [step.seconds for step in (result.steps if result else ()) if step.name in names]
    return round(sum(found), 3) if found else None


def _fetched(result: ProbeResult | None, environment: PlannedEnvironment | None) -> int | None:
    """What a job fetched to install its packages: what it counted, or else their size; None where neither tells."""
    step = next((step for step in (result.steps if result else ()) if step.name == "install"), None)
    if step is None:
        return None
    if step.fetched_bytes is None and step.ok and environment:
        return environment.size or None  # an index need not say sizes
    return step.fetched_bytes


def _whereabouts(history: History, job: Job, testimony: witness.Testimony, now: int) -> dict[str, Any]:
    """Where, when and how long a tuple's deciding job ran, and what all of its jobs held; from the event log."""
    last = job.attempts[-1] if job.attempts else None
    return {
        "attempts": len(history.attempts),
        "machine": last.machine if last else None,
        "device": last.device if last else None,
        "driver": (last.driver if last else None) or testimony.driver,
        "uuid": (last.uuid if last else None) or testimony.uuid,
        "compared": "; ".join(testimony.compared) or None,
        "started": datetime.fromtimestamp(last.start, UTC) if last else None,
        "ended": datetime.fromtimestamp(last.end, UTC) if last and last.end is not None else None,
        "queue_seconds": float(job.queue_seconds(now)),
        "run_seconds": float(last.seconds(now)) if last else None,
        "gpu_seconds": sum(j.gpu_seconds(now) for j in history.jobs),
        "transfer_seconds": float(sum(j.transfer_seconds(now) for j in history.jobs)),
        "transferred_bytes": _transferred(history.attempts),
    }


def _transferred(attempts: Sequence[Attempt]) -> int | None:
    """What HTCondor transferred to a tuple's jobs, as far as the log says; None where it says nothing."""
    told = [attempt.received for attempt in attempts if attempt.received is not None]
    return sum(told) if told else None
