"""What a change of the pool would take away, by the observed results and the tables that planning uses.

Nothing is tested for this: a tuple that works is lost where the facts say that the changed pool cannot run it any
longer. What a change might bring is said too, as far as a job would find a slot that it does not find today.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sweep.advise import chosen
from sweep.cuda import DriverPolicy, in_order, takers, version_key
from sweep.errors import SettingsError
from sweep.facts import Facts
from sweep.facts.tables import branch_of
from sweep.ids import sm
from sweep.model import Cause, GpuClass, Verdict, VersionTuple
from sweep.schema import Outcome, Outcomes

# What a newer driver can cure: no slot's driver took the job, or the framework found it too old.
_CURABLE = frozenset({Cause.NO_SUCH_SLOT, Cause.DRIVER_TOO_OLD})


@dataclass(frozen=True)
class Change:
    """What may happen to a pool: every older driver becomes `driver`, CUDA runtimes and GPUs go."""

    driver: str | None = None
    cuda: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()


def foreseeable(outcomes: Outcomes, facts: Facts) -> list[Change]:
    """The changes that the staff of this pool may have before them: each driver branch that would drop GPUs of it,
    each CUDA major version that something works with, and each capability's retirement.
    """
    pool = outcomes.pool.classes
    branches = [
        str(row.since)
        for row in facts.drivers.branch
        if any(_older(c, str(row.since)) and row.drops(row.since, c.capability) for c in pool)
    ]
    working = [o for o in outcomes.tuples if o.verdict is Verdict.WORKS]
    majors = in_order({o.cuda.partition(".")[0] for o in working})
    capabilities = in_order({c.capability for c in pool})
    return [
        *(Change(driver=branch) for branch in branches),
        *(Change(cuda=(major,)) for major in majors),
        *(Change(retired=(capability,)) for capability in capabilities),
    ]


@dataclass(frozen=True)
class Loss:
    """A tuple that works now: the devices that it works on now, those that it would lose, and why."""

    outcome: Outcome
    devices: int
    lost: int
    why: str

    @property
    def whole(self) -> bool:
        """Whether nothing of it would be left."""
        return self.lost == self.devices


@dataclass(frozen=True)
class Stranded:
    """Devices that stay, on which a framework works now in some version and would work in none."""

    framework: str
    gpus: tuple[GpuClass, ...]

    @property
    def devices(self) -> int:
        """How many they are."""
        return sum(c.devices for c in self.gpus)


@dataclass(frozen=True)
class Forecast:
    """What a change would do: losses, devices left without a framework, and tuples that could be tried then.

    `left` are the (framework, version) pairs that would still work somewhere.
    """

    working: int
    left: frozenset[tuple[str, str]]
    losses: tuple[Loss, ...]
    stranded: tuple[Stranded, ...]
    curable: tuple[Outcome, ...]


def what_if(outcomes: Outcomes, change: Change, facts: Facts) -> Forecast:
    """What a change of the pool would take from the tuples that work in it, and what it might add.

    Raises:
        SettingsError: the change names a GPU that the pool does not have, a runtime or driver that is none, or
            nothing at all.
    """
    _check(change)
    pool, policy = outcomes.pool.classes, outcomes.driver_policy
    retired = {c for word in change.retired for c in chosen(pool, word)}
    fates = {c: _fate(c, change, retired, facts) for c in pool}
    losses: list[Loss] = []
    before: dict[str, set[GpuClass]] = {}
    after: dict[str, set[GpuClass]] = {}
    left = set()
    curable = []
    for outcome in outcomes.tuples:
        if outcome.verdict is not Verdict.WORKS and outcome.cause not in _CURABLE:
            continue
        tuple_ = VersionTuple.parse(outcome.id)
        dropped = _dropped(outcome.cuda, change)
        able = takers(tuple_, pool, policy)
        if outcome.verdict is Verdict.WORKS:
            whys = {c: dropped or fates[c].why for c in able}
            before.setdefault(outcome.framework, set()).update(able)
            after.setdefault(outcome.framework, set()).update(c for c, why in whys.items() if why is None)
            lost = {c: why for c, why in whys.items() if why is not None}
            if len(lost) < len(whys):
                left.add((outcome.framework, outcome.version))
            if lost:
                devices, gone = (sum(c.devices for c in some) for some in (able, lost))
                losses.append(Loss(outcome, devices, gone, "; ".join(dict.fromkeys(lost.values()))))
        elif dropped is None:
            already = able if outcome.cause is Cause.NO_SUCH_SLOT else []
            if any(_takes(tuple_, c, fates[c], policy) for c in pool if c not in already):
                curable.append(outcome)
    working = sum(o.verdict is Verdict.WORKS for o in outcomes.tuples)
    stranded = [
        Stranded(framework, tuple(c for c in pool if c in gpus - after[framework] - retired))
        for framework, gpus in before.items()
    ]
    return Forecast(working, frozenset(left), tuple(losses), tuple(s for s in stranded if s.gpus), tuple(curable))


@dataclass(frozen=True)
class _Fate:
    """What becomes of a GPU class: itself with the new driver, or why it is gone. `upgraded` if the driver is new."""

    gpu: GpuClass
    why: str | None = None
    upgraded: bool = False


def _fate(gpu: GpuClass, change: Change, retired: set[GpuClass], facts: Facts) -> _Fate:
    if gpu in retired:
        return _Fate(gpu, f"{gpu.device} ({sm(gpu.capability)}) is retired")
    if change.driver is None or not _older(gpu, change.driver):
        return _Fate(gpu)
    row = facts.driver_drops(change.driver, gpu.capability)
    if row is not None:
        why = f"driver {change.driver} ignores {row.names}: R{row.last} was the last branch for them ({row.source})"
        return _Fate(gpu, why)
    runtime = max(gpu.runtime, facts.newest_runtime(change.driver) or gpu.runtime, key=version_key)
    return _Fate(gpu.model_copy(update={"driver": change.driver, "runtime": runtime}), upgraded=True)


def _older(gpu: GpuClass, driver: str) -> bool:
    """Whether an upgrade to a driver would change this class; a driver that is not known is taken for older."""
    return gpu.release is None or version_key(gpu.release) < version_key(driver)


def _dropped(cuda: str, change: Change) -> str | None:
    """Why a CUDA runtime goes; `12` means all of its minor versions."""
    parts = version_key(cuda)
    gone = next(
        (runtime for runtime in change.cuda if parts[: len(version_key(runtime))] == version_key(runtime)), None
    )
    return None if gone is None else f"CUDA {gone} is dropped"


def _takes(tuple_: VersionTuple, gpu: GpuClass, fate: _Fate, policy: DriverPolicy) -> bool:
    """Whether a class could take a tuple after its driver was upgraded."""
    if not fate.upgraded or tuple_.gpu not in (None, gpu.label):
        return False
    return bool(takers(tuple_.model_copy(update={"gpu": None}), [fate.gpu], policy))


def _check(change: Change) -> None:
    if not (change.driver or change.cuda or change.retired):
        raise SettingsError("say what is to change: --driver 590, --drop-cuda 12, --retire 7.0")
    if change.driver is not None and branch_of(change.driver) is None:
        raise SettingsError(f"--driver {change.driver}: write a driver branch or release, such as 590 or 580.65.06")
    for runtime in change.cuda:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", runtime):
            raise SettingsError(f"--drop-cuda {runtime}: write a CUDA version or its beginning, such as 12 or 12.4")
