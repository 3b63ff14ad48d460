"""What the wrapper and the probe recorded -> a finding: the first step or rung that broke is the cause."""

from __future__ import annotations

from sweep import causes, installs
from sweep.finding import Case, Finding, clip
from sweep.model import Cause, Rung
from sweep.schema import ProbeResult, RungOutcome, RungRecord

# What a framework may have nothing for; its probe's `LACKS` says so.
_MAY_LACK = (Rung.LIBRARY, Rung.GRADIENT)


def climbed(case: Case, result: ProbeResult) -> Finding:
    """The finding of a job that reached a verdict."""
    broken = installs.broken(result)
    if broken is not None:
        return installs.finding(case, broken)
    if result.state != "done":
        return Finding(Cause.NO_RESULT, "the wrapper did not reach its end", case.in_result("running"))
    records = {record.rung: record for record in result.rungs}
    for rung in Rung:
        record = records.get(rung)
        if rung is Rung.JIT or _behind(rung, record):
            continue
        if record is None or record.outcome in (RungOutcome.SKIPPED, RungOutcome.RUNNING):
            return Finding(Cause.NO_RESULT, f"rung {rung} did not end", case.in_result(f"{rung}"), rung=rung)
        return _broken(case, result, record)
    return _all_passed(case, result, records.get(Rung.JIT))


def _behind(rung: Rung, record: RungRecord | None) -> bool:
    """Whether a rung is no obstacle: passed, or one that there is not, for this framework or for the probe's age."""
    if record is None:
        return rung is Rung.GRADIENT  # probes of before it was one
    lacking = record.outcome is RungOutcome.SKIPPED and record.message is not None
    return record.outcome is RungOutcome.PASSED or (lacking and rung in _MAY_LACK)


def _broken(case: Case, result: ProbeResult, record: RungRecord) -> Finding:
    rung = record.rung
    said = f"{record.exception}: {record.message or ''}" if record.exception else record.message or ""
    place = record.message or rung.value
    if record.outcome is RungOutcome.CRASHED:
        crash = causes.find_crash(rung, record.signal, result.stderr)
        said = f"killed by signal {record.signal}" + (f": {crash.line}" if crash.line else "")
        if crash.cause is None:
            return Finding(
                Cause.NO_RESULT, f"{rung}: no rule knows this end: {said}", case.in_result(place), rung=rung
            )
        return Finding(crash.cause, f"{rung}: {clip(said)}", case.in_result(place, said), crash.rule, rung)
    if record.outcome is RungOutcome.HUNG:
        reason = f"{rung}: no end after {record.seconds:.0f} s"
        return Finding(Cause.HUNG, reason, case.in_result(place), "time-limit", rung)
    found = causes.find(rung, said, result.stderr)
    if found.cause is None:
        reason = f"{rung}: no rule knows this failure: {clip(said)}"
        return Finding(Cause.NO_RESULT, reason, case.in_result(place), rung=rung)
    line = found.line or said
    return Finding(found.cause, f"{rung}: {clip(line)}", case.in_result(place, line), found.rule, rung)


def _all_passed(case: Case, result: ProbeResult, jit: RungRecord | None) -> Finding:
    if jit is not None and jit.exception == "WrongResult":
        return _broken(case, result, jit)  # a compiler that computes nonsense is worse than none
    if jit is not None and jit.outcome is RungOutcome.PASSED:
        said = "every rung passed"
        return Finding(Cause.ALL_RUNGS, said, case.in_result(Rung.JIT.value, said))
    why = (jit.message or jit.outcome.value) if jit else "not tried"
    place = (jit.message if jit else None) or Rung.JIT.value
    return Finding(Cause.NO_JIT, f"kernels run; jit: {clip(why)}", case.in_result(place), rung=Rung.JIT)
