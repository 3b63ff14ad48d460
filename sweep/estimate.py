"""What a sweep will cost, before it is run: GPU-hours, downloads, and which GPU classes will be used how much."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sweep import load
from sweep.cuda import DriverPolicy, takers
from sweep.files import read_if_usable
from sweep.ids import sm
from sweep.model import GpuClass, Source, VersionTuple
from sweep.packages import Supply
from sweep.places import OUTCOMES, sweeps_of
from sweep.schema import ClassShare, Estimate, Outcomes, PlannedEnvironment, PlannedTuple
from sweep.settings import LoadSettings

# GPU time of one job where no earlier sweep tells: a few gigabytes to install, then a probe of a minute.
ASSUMED_SECONDS = 600.0


def earlier_sweep(results: Path, *, simulated: bool) -> Outcomes | None:
    """The newest sweep below a results directory that ran jobs, on simulated GPUs or on real ones as asked."""
    for here in sweeps_of(results):
        # One of another version of the sweeper is passed over: an estimate can do without it.
        outcomes = read_if_usable(here / OUTCOMES, Outcomes)
        if outcomes and outcomes.simulated is simulated and any(o.gpu_seconds for o in outcomes.tuples):
            return outcomes
    return None


def estimate(
    tuples: Sequence[PlannedTuple],
    environments: Mapping[str, PlannedEnvironment],
    classes: Sequence[GpuClass],
    policy: DriverPolicy,
    spread: LoadSettings,
    earlier: Outcomes | None,
    supplied: Supply | None = None,
) -> Estimate:
    """The cost of the submitted tuples; `classes` are those that jobs may run on.

    A job's time is the median of its framework's jobs in an earlier sweep. `supplied` are the packages that travel
    with the jobs, if conda packages do.
    """
    jobs = [t for t in tuples if t.submitted]
    medians = _medians(earlier) if earlier else {}
    overall = statistics.median(medians.values()) if medians else ASSUMED_SECONDS
    seconds = {t.id: medians.get(t.framework, overall) for t in jobs}
    categories = load.categories(jobs, classes, spread)
    needed = [environments[t.environment.id] for t in jobs]
    travelling = sum(e.size for e in needed if e.source is Source.CONDA) if supplied else 0
    return Estimate(
        jobs=len(jobs),
        gpu_hours=round(sum(seconds.values()) / 3600, 2),
        basis=(
            f"medians per framework of sweep {earlier.sweep}"
            if earlier and medians
            else f"no earlier sweep; {ASSUMED_SECONDS / 60:.0f} minutes a job assumed"
        ),
        downloads=sum(e.size for e in needed) - travelling + (supplied.fetched if supplied else 0),
        transfers=travelling,
        classes=_shares(jobs, seconds, classes, policy),
        at_once={c.gpu or sm(c.capability): c.limit for c in categories.values()},
        hours=round(load.hours_at_least(seconds, categories), 2),
    )


def _medians(earlier: Outcomes) -> dict[str, float]:
    found: dict[str, list[float]] = defaultdict(list)
    for outcome in earlier.tuples:
        if outcome.gpu_seconds:
            found[outcome.framework].append(outcome.gpu_seconds)
    return {framework: statistics.median(seconds) for framework, seconds in found.items()}


def _shares(
    jobs: Iterable[PlannedTuple], seconds: Mapping[str, float], classes: Sequence[GpuClass], policy: DriverPolicy
) -> tuple[ClassShare, ...]:
    """Jobs spread over the classes that could take them, by the number of devices."""
    count: dict[str, int] = defaultdict(int)
    load: dict[str, float] = defaultdict(float)
    able: dict[tuple[str, str, str | None], list[GpuClass]] = {}
    for job in jobs:
        ask = (job.capability, job.cuda, job.gpu)
        if ask not in able:
            able[ask] = takers(VersionTuple.parse(job.id), classes, policy)
        devices = sum(c.devices for c in able[ask])
        for gpu_class in able[ask]:
            count[gpu_class.label] += 1
            load[gpu_class.label] += seconds[job.id] * gpu_class.devices / devices
    first = {c.label: c for c in reversed(classes)}
    return tuple(
        ClassShare(
            label=label,
            capability=first[label].capability,
            devices=sum(c.devices for c in classes if c.label == label),
            jobs=count[label],
            gpu_hours=round(load[label] / 3600, 2),
        )
        for label in dict.fromkeys(c.label for c in classes)
    )
