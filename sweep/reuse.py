"""Verdicts of earlier sweeps that still hold: nothing that they rest on has changed, and they are not too old.

A verdict rests on the lock, the GPU class that it was reached on, the probe, and the cause rules. A share of what
could be reused is tested all the same; where that contradicts, the GPU class gets no reuse any more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from sweep.audit import REUSED
from sweep.cuda import DriverPolicy, takers
from sweep.model import GpuClass, Verdict, VersionTuple
from sweep.prune import settled
from sweep.schema import Digests, Outcome, Outcomes, PlannedEnvironment, PlannedTuple, Prediction
from sweep.settings import ReuseSettings

_Device = tuple[str | None, str | None]  # name and driver


@dataclass(frozen=True)
class Ground:
    """What verdicts of the sweep that is planned will rest on."""

    sweep: str
    now: datetime
    simulated: bool
    policy: DriverPolicy
    classes: Sequence[GpuClass]
    digests: Digests
    environments: Mapping[str, PlannedEnvironment]


@dataclass(frozen=True)
class Reused:
    """By tuple, what is settled by reuse, and what is expected of those that are tested as a check; and notes."""

    settled: dict[str, PlannedTuple] = field(default_factory=dict)
    checks: dict[str, Prediction] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def reuse(
    candidates: Iterable[VersionTuple], ground: Ground, earlier: Iterable[Outcomes], settings: ReuseSettings
) -> Reused:
    """The candidates whose verdict an earlier sweep has reached on the same ground; `earlier` the newest first."""
    if settings.age is None:
        return Reused()
    oldest = ground.now - timedelta(seconds=settings.age)
    young = takewhile(lambda sweep: sweep.created >= oldest, earlier)
    recent = [s for s in young if s.simulated is ground.simulated and s.driver_policy is ground.policy]
    doubted = _doubted(recent)
    tested: dict[str, tuple[Outcomes, Outcome]] = {}
    for sweep in recent:
        for outcome in sweep.tuples:
            if outcome.submitted and outcome.verdict in (Verdict.WORKS, Verdict.GPU_FAILURE):
                tested.setdefault(outcome.id, (sweep, outcome))
    found = Reused(notes=tuple(_note(device) for device in sorted(doubted, key=str)))
    for tuple_ in candidates:
        if tuple_.id not in tested:
            continue
        sweep, outcome = tested[tuple_.id]
        device = (outcome.device, outcome.driver)
        if device in doubted or not _same_ground(tuple_, outcome, sweep, ground):
            continue
        reason = f"as in sweep {sweep.sweep} of {sweep.created:%Y-%m-%d} on {outcome.device}: {outcome.reason}"
        if _drawn(ground.sweep, tuple_.id, settings.recheck):
            found.checks[tuple_.id] = Prediction(rule=REUSED, cause=outcome.cause, reason=reason)
        else:
            found.settled[tuple_.id] = settled(tuple_, outcome.cause, REUSED, reason)
    return found


def _same_ground(tuple_: VersionTuple, outcome: Outcome, sweep: Outcomes, ground: Ground) -> bool:
    lock = ground.environments[tuple_.environment.id].lock_sha256
    probes = [digests.probes.get(tuple_.framework) for digests in (sweep.digests, ground.digests)]
    causes = [digests.causes for digests in (sweep.digests, ground.digests)]
    if None in (lock, *probes, *causes) or probes[0] != probes[1] or causes[0] != causes[1]:
        return False
    able = takers(tuple_, ground.classes, ground.policy)
    return lock == outcome.lock_sha256 and any((c.device, c.driver) == (outcome.device, outcome.driver) for c in able)


def _doubted(sweeps: Iterable[Outcomes]) -> set[_Device]:
    """The GPU classes on which a check has contradicted what would have been reused."""
    return {
        (o.device, o.driver)
        for sweep in sweeps
        for o in sweep.tuples
        if o.surprise and o.prediction is not None and o.prediction.rule == REUSED
    }


def _note(device: _Device) -> str:
    name, driver = device
    return (
        f"nothing is reused for {name}, driver {driver or 'unknown'}: a check contradicted an earlier verdict there"
    )


def _drawn(sweep: str, tuple_id: str, share: float) -> bool:
    """Whether a tuple is among those that are tested all the same; the same answer for the same sweep."""
    digest = hashlib.sha256(f"{sweep} {tuple_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64
