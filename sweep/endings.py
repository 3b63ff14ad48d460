"""How a job ended that reached no verdict -> a finding, from the event log and the plan.

Waiting in vain, being held, evicted, removed and failing on every machine are told apart; none of them says anything
about versions.
"""

from __future__ import annotations

import re
from dataclasses import replace

from sweep import installs
from sweep.events import TRANSFER_HOLDS, EventLog, JobState
from sweep.finding import Case, Finding, clip
from sweep.model import Cause
from sweep.places import EVENTS
from sweep.schema import Evidence, Plan, ProbeResult, Spent

_TRANSFER_HOLDS = frozenset(map(str, TRANSFER_HOLDS))


def past_deadline(plan: Plan, log: EventLog) -> bool:
    """Whether something happened after the sweep's deadline."""
    return log.newest >= plan.deadline.timestamp()


def never_logged(plan: Plan, log: EventLog, spent: Spent | None) -> Finding:
    """The finding of a tuple that the event log does not know."""
    evidence = Evidence(file=EVENTS, excerpt="no event of this tuple")
    if past_deadline(plan, log):
        return Finding(Cause.OVER_BUDGET, "the sweep's deadline came before this tuple was submitted", evidence)
    if spent is not None:
        return Finding(Cause.OVER_BUDGET, f"{_gone(spent)} before this tuple was submitted", evidence)
    return Finding(Cause.NO_RESULT, "the sweep was not run, or ended, before this tuple was submitted", evidence)


def _gone(spent: Spent) -> str:
    whose = f"capability {spent.capability}'s" if spent.capability else "the sweep's"
    return f"{whose} budget of {spent.budget:g} GPU-hours was spent"


def without_verdict(case: Case) -> Finding | None:
    """The finding of a job that is not over, or ended otherwise than with exit code 0; None for all others."""
    job = case.job
    if job.state is JobState.REMOVED:
        return _removed(case)
    if job.state is JobState.HELD:
        code, subcode, reason = job.holds[-1]
        return _held(case, str(code), str(subcode), reason)
    if not job.state.over:
        return Finding(Cause.NO_RESULT, f"the job was still {job.state} when the log ended", case.logged)
    if job.state is JobState.SIGNALLED or job.exit_code != 0:
        return _failed(case)
    return None


def payload_alone(case: Case, result: ProbeResult) -> Finding | None:
    """The finding of a tuple whose payload ran in the probe's place: nothing was asked of the GPU; None for others.

    What became of the payload stands in the outcome's own field.
    """
    if result.rungs or not any(step.name == "payload" and step.ok for step in result.steps):
        return None
    reason = "the payload ran in place of the probe, and says itself whether it passed"
    return Finding(Cause.NO_RESULT, reason, case.in_result("payload", reason), "payload-alone")


def _removed(case: Case) -> Finding:
    """Removal by one of the sweep's own clauses, which its token names, or by a person."""
    plan, job, logged = case.plan, case.job, case.logged
    token = re.search(r"sweep:([a-z-]+)(?::(\d+))?(?::(\d+))?", job.removal)
    kind = token[1] if token else ""
    waited = (job.ended or job.submitted) - job.submitted
    if kind == "never-matched" and job.matched is None:
        reason = f"no slot came free within {plan.queue_limit} s in the queue"
        reason += f"; {case.planned.reason}" if case.planned.reason else ""
        return Finding(Cause.WAITED_OUT, reason, logged, kind)
    if kind in ("never-matched", "idle-again"):
        return _idle_again(case)
    if kind == "over-budget":
        reason = f"a budget of GPU-hours was spent after the job had waited {waited} s"
        return Finding(Cause.OVER_BUDGET, reason, logged, kind)
    if kind == "run-limit":
        reason = f"the job ran past {plan.run_limit} s and was removed with its result"
        return Finding(Cause.NO_RESULT, reason, logged, kind)
    if token and kind == "held":
        return _held(case, token[2] or "?", token[3] or "?", job.holds[-1][2] if job.holds else "")
    if kind == "deadline" or (job.ended or 0) >= plan.deadline.timestamp():
        since = f"and {len(job.attempts)} start(s)" if job.attempts else "in the queue"
        reason = f"the sweep's deadline came after {waited} s {since}"
        return Finding(Cause.OVER_BUDGET, reason, logged, "deadline")
    return Finding(Cause.REMOVED, f"removed: {clip(job.removal) or 'no reason given'}", logged)


def _idle_again(case: Case) -> Finding:
    job = case.job
    how = job.attempts[-1].ended_by if job.attempts else None
    if how == "requeued":
        return _failed(case)
    if job.holds and job.holds[-1][0] in TRANSFER_HOLDS:
        code, subcode, said = job.holds[-1]
        found = _held(case, str(code), str(subcode), said)
        return replace(
            found, reason=f"{found.reason}; tried {len(job.holds)} time(s), and no other machine came free"
        )
    why = clip(job.evictions[-1]) if job.evictions else "no reason given"
    reason = f"evicted ({how or 'before it started'}: {why}) and not started again in time"
    return Finding(Cause.EVICTED, reason, case.logged)


def _held(case: Case, code: str, subcode: str, reason: str) -> Finding:
    cause = Cause.TRANSFER_FAILED if code in _TRANSFER_HOLDS else Cause.HELD
    return Finding(cause, f"held with code {code}/{subcode}: {clip(reason) or 'no reason given'}", case.logged)


def _failed(case: Case) -> Finding:
    """Every machine that was tried failed, as the job's exit codes say; what stopped the last one is the reason."""
    job = case.job
    tried = f"{len(job.attempts)} attempt(s)"
    if job.state is JobState.REMOVED:
        reason = f"the job failed on every machine that would take it ({tried}), and no other came free"
    else:
        end = f"exit code {job.exit_code}" if job.signal is None else f"signal {job.signal}"
        reason = f"the job ended with {end} after {tried}"
    result = case.read.result
    if not isinstance(result, ProbeResult):
        return Finding(Cause.INFRASTRUCTURE, reason, case.logged)
    if (broken := installs.broken(result)) is not None:
        found = installs.finding(case, broken)
        return found if found.cause is Cause.INSTALL_FAILED else replace(found, reason=f"{reason}: {found.reason}")
    step = next((s for s in result.steps if not s.ok), None)
    if step is None:
        return Finding(Cause.INFRASTRUCTURE, reason, case.logged)
    evidence = case.in_result(step.message or step.name)
    said = f"{step.name}: {step.kind or 'failed'}: {clip(step.message or '')}"
    return Finding(Cause.INFRASTRUCTURE, f"{reason}: {said}", evidence)
