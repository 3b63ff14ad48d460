"""How a sweep spreads over time: which tuples come first, and how many of a kind run at once.

A sweep may be cut short by its deadline or its budget; in this order what it then has is the most useful part. The
limits are DAGMan's categories; nothing here schedules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from packaging.version import Version

from sweep.cuda import version_key
from sweep.model import GpuClass
from sweep.schema import PlannedTuple


@dataclass(frozen=True)
class Category:
    """Jobs that ask for the same devices: a name that DAGMan takes, and how many of them may be in the queue."""

    name: str
    limit: int


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
            -devices.get(_wanted(t), 0),
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


def categories(tuples: Sequence[PlannedTuple], classes: Sequence[GpuClass], share: float) -> Mapping[str, Category]:
    """By tuple id, the category that it is in: that of its capability, or of its GPU class where each is tested.

    `share` is the part of the devices that the sweep may have at once; one job at least is let through. A job that
    waits counts too, so that no more are waiting than may run. Nothing is limited with a share of 1.
    """
    if share >= 1:
        return {}
    devices = _devices(classes)
    found = {}
    for tuple_ in tuples:
        capability, gpu = _wanted(tuple_)
        name = f"sm{capability}{f'_{gpu}' if gpu else ''}".replace(".", "_")
        found[tuple_.id] = Category(name, max(1, math.floor(share * devices.get((capability, gpu), 0))))
    return found


def _wanted(tuple_: PlannedTuple) -> tuple[str, str | None]:
    return tuple_.capability, tuple_.gpu


def _devices(classes: Sequence[GpuClass]) -> dict[tuple[str, str | None], int]:
    """Devices by what a tuple may ask for: a capability, or a GPU class of it."""
    found: dict[tuple[str, str | None], int] = {}
    for gpu in classes:
        for wanted in ((gpu.capability, None), (gpu.capability, gpu.label)):
            found[wanted] = found.get(wanted, 0) + gpu.devices
    return found
