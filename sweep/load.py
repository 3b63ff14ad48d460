"""How a sweep spreads over time: which tuples come first, and how many of a kind run at once.

A sweep may be cut short by its deadline or its budget; in this order what it then has is the most useful part. The
limits are DAGMan's categories; nothing here schedules.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import Version

from sweep.cuda import version_key
from sweep.ids import sm
from sweep.model import GpuClass
from sweep.schema import PlannedTuple
from sweep.settings import LoadSettings

_Ask = tuple[str, str | None]  # a capability, and a GPU class of it where each is tested


@dataclass(frozen=True)
class Category:
    """Jobs that ask for the same devices, of a capability or a GPU class of it: so many may be in the queue."""

    capability: str
    gpu: str | None
    limit: int

    @property
    def name(self) -> str:
        """A name that DAGMan takes."""
        return f"sm{self.capability}{f'_{self.gpu}' if self.gpu else ''}".replace(".", "_")


def most_telling_first(tuples: Sequence[PlannedTuple], classes: Sequence[GpuClass]) -> list[PlannedTuple]:
    """Tuples in the order in which they are to run.

    Audits first: each speaks about a rule, and a rule about many tuples. Then by turns the newest version of each
    framework with its newest runtime, the one before, and so on; of these the GPUs that the pool has most of. What a
    rule expects to fail comes after its equals.
    """
    ranks = _ranks(tuples)
    devices = _devices(classes)
    return sorted(
        tuples,
        key=lambda t: (
            not t.audit,
            ranks[t.framework, t.version, t.cuda],
            t.prediction is not None,
            -sum(devices.get(_wanted(t), ())),
            t.framework,
            version_key(t.capability),
        ),
    )


def _ranks(tuples: Sequence[PlannedTuple]) -> dict[tuple[str, str, str], int]:
    """The place of each environment in its framework's list: versions newest first, each with its newest runtime,
    then each with the next one."""
    ranks: dict[tuple[str, str, str], int] = {}
    for framework in {t.framework for t in tuples}:
        runtimes: dict[str, list[str]] = {}
        for version, cuda in {(t.version, t.cuda) for t in tuples if t.framework == framework}:
            runtimes.setdefault(version, []).append(cuda)
        rounds = [
            (place, version, cuda)
            for version, found in runtimes.items()
            for place, cuda in enumerate(sorted(found, key=version_key, reverse=True))
        ]
        newest_first = sorted(sorted(rounds, key=lambda r: Version(r[1]), reverse=True), key=lambda r: r[0])
        ranks |= {(framework, version, cuda): n for n, (_, version, cuda) in enumerate(newest_first)}
    return ranks


def categories(
    tuples: Sequence[PlannedTuple], classes: Sequence[GpuClass], settings: LoadSettings
) -> Mapping[str, Category]:
    """By tuple id, the category that it is in: that of its capability, or of its GPU class where each is tested.

    `classes` are those that jobs may run on. A job that waits counts too, so that no more are waiting than may run.
    """
    wanted = dict.fromkeys(_wanted(t) for t in tuples)
    devices = _devices(classes)
    limits = {w: _at_once(devices.get(w, ()), settings) for w in wanted}
    if settings.share < 1:
        limits = _together(limits, settings.jobs)
    return {t.id: Category(*_wanted(t), limits[_wanted(t)]) for t in tuples}


def remarks(tuples: Sequence[PlannedTuple], classes: Sequence[GpuClass], settings: LoadSettings) -> list[str]:
    """What a person would want to know of the limits: which class narrows a capability much, which budget is idle."""
    found = []
    for category in dict.fromkeys(categories(tuples, classes, settings).values()):
        able = [c for c in classes if (category.capability, category.gpu) in _asks(c)]
        whole = _part(sum(c.devices for c in able), settings.share)
        if settings.share < 1 and whole >= 4 * _at_once([c.devices for c in able], settings):
            small = min((c for c in able if _part(c.devices, settings.share) < c.devices), key=lambda c: c.devices)
            found.append(
                f"no more than {category.limit} on {sm(category.capability)} at once, since GPU class {small.label} "
                f'has {small.devices} devices; share_of = "capability" would let {whole} run, perhaps all there'
            )
    submitted = {t.capability for t in tuples}
    idle = [capability for capability in settings.gpu_hours_of if capability not in submitted]
    return found + [f"load.gpu_hours_of: no tuple of capability {capability} is submitted" for capability in idle]


def one_by_one(
    tuples: Sequence[PlannedTuple], categories: Mapping[str, Category], capabilities: Collection[str]
) -> list[tuple[str, str]]:
    """Pairs of tuple ids, of which the second does not come before the first is over.

    They make chains of the tuples of some capabilities, as many for a category as may run at once. DAGMan looks at a
    node whose turn is long to come as soon as nothing is before it; in a chain that is when a job is over, and not
    earlier.
    """
    by_category: dict[Category, list[str]] = {}
    for tuple_ in tuples:
        if tuple_.capability in capabilities:
            by_category.setdefault(categories[tuple_.id], []).append(tuple_.id)
    return [pair for category, ids in by_category.items() for pair in zip(ids, ids[category.limit :], strict=False)]


def hours_at_least(seconds: Mapping[str, float], categories: Mapping[str, Category]) -> float:
    """How long the tuples take that have so many seconds each, by id: the longest of the categories."""
    whole: dict[Category, float] = {}
    for id_, each in seconds.items():
        whole[categories[id_]] = whole.get(categories[id_], 0.0) + each
    return max((each / category.limit for category, each in whole.items()), default=0.0) / 3600


def _together(limits: Mapping[_Ask, int], jobs: int) -> dict[_Ask, int]:
    """The same limits, made smaller until they come to so many jobs, one of each at least; the largest first."""
    found = dict(limits)
    while sum(found.values()) > jobs and (largest := max(found.values())) > 1:
        found[next(w for w, limit in found.items() if limit == largest)] -= 1
    return found


def _at_once(devices: Sequence[int], settings: LoadSettings) -> int:
    """How many jobs may run at once on GPU classes with so many devices each; nobody knows on which they land."""
    most = _part(sum(devices), settings.share)
    if settings.share_of == "gpu-class":
        # A class whose share is all that it has, such as a single device, cannot be asked for more.
        most = min([most, *(part for d in devices if (part := _part(d, settings.share)) < d)])
    return most


def _part(devices: int, share: float) -> int:
    return max(1, math.floor(share * devices))


def _wanted(tuple_: PlannedTuple) -> _Ask:
    return tuple_.capability, tuple_.gpu


def _devices(classes: Sequence[GpuClass]) -> dict[_Ask, list[int]]:
    """The devices of each GPU class, by what a tuple may ask for to land on it."""
    found: dict[_Ask, list[int]] = {}
    for gpu in classes:
        for wanted in _asks(gpu):
            found.setdefault(wanted, []).append(gpu.devices)
    return found


def _asks(gpu: GpuClass) -> tuple[_Ask, ...]:
    """What a tuple may ask for to land on a GPU class."""
    return (gpu.capability, None), (gpu.capability, gpu.label)
