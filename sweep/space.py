"""The version space: which runtimes, versions and capabilities; their product, less exclusions, plus inclusions.

Pure functions.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweep.builds import Build, versions_in_series
from sweep.cuda import in_order, version_key
from sweep.errors import NothingToTestError
from sweep.ids import VERSION_PATTERN
from sweep.model import GpuClass, VersionTuple
from sweep.ranges import within
from sweep.schema import SpaceCounts
from sweep.settings import Exclusion, SpaceSettings


def choose_runtimes(wanted: int | Sequence[str] | str, offered: Iterable[str]) -> tuple[str, ...]:
    """The CUDA runtimes to sweep, lowest first: a list as it is, the N newest offered, or those in a range.

    Raises:
        NothingToTestError: the channels offer none, or none in the range.
    """
    if isinstance(wanted, list | tuple):
        return in_order(wanted)
    known = in_order(offered)
    chosen = known[-wanted:] if isinstance(wanted, int) else tuple(r for r in known if within(r, str(wanted)))
    if not chosen:
        raise NothingToTestError(
            f"cuda.runtimes = {wanted!r} chooses none of the CUDA runtimes that the channels offer "
            f"({', '.join(known) or 'none at all'}); widen it, or check conda.channels"
        )
    return chosen


def choose_versions(
    wanted: int | Sequence[str] | str, builds: Sequence[Build], parts: int, package: str, *, prereleases: bool = False
) -> tuple[str, ...]:
    """The framework versions to sweep, newest first: a list as it is, or of the series that have builds the N newest
    or those in a range.

    Raises:
        NothingToTestError: the channels have no build of the package at all, or none in the range.
    """
    # A version with an epoch could not stand in a tuple's id.
    found = [v for v in versions_in_series(builds, parts, prereleases) if re.match(VERSION_PATTERN, v)]
    if not found:
        raise NothingToTestError(
            f"the channels have no released version of {package}; check conda.channels and the framework's file"
        )
    if isinstance(wanted, list | tuple):
        return tuple(wanted)
    chosen = found[:wanted] if isinstance(wanted, int) else [v for v in found if within(v, str(wanted))]
    if not chosen:
        raise NothingToTestError(
            f"versions = {wanted!r} chooses none of the series of {package} that the channels have "
            f"({', '.join(found)}); widen it"
        )
    return tuple(chosen)


def choose_capabilities(wanted: str | Sequence[str], pool: Sequence[str]) -> tuple[str, ...]:
    """The compute capabilities to sweep, lowest first: those of the pool, or a list as it is."""
    return in_order(pool if isinstance(wanted, str) else wanted)


@dataclass(frozen=True)
class Axes:
    """What the product is made of: versions per framework, runtimes, capabilities, and the pool's GPU classes."""

    versions: Mapping[str, tuple[str, ...]]
    runtimes: tuple[str, ...]
    capabilities: tuple[str, ...]
    classes: tuple[GpuClass, ...] = ()


def compose(axes: Axes, settings: SpaceSettings) -> tuple[list[VersionTuple], SpaceCounts]:
    """The candidates, each once, and how they came about: product, exclusions, inclusions, selection by id.

    The order is framework by framework, version by version, then runtime, then capability, then GPU class; what is
    included beyond the product comes last.

    Raises:
        NothingToTestError: nothing is left.
    """
    places = _places(axes, per_class=settings.one_per == "gpu-class")
    product = [
        VersionTuple(framework=framework, version=version, cuda=cuda, capability=capability, gpu=gpu)
        for framework, chosen in axes.versions.items()
        for version in chosen
        for cuda in sorted(axes.runtimes, key=version_key)
        for capability in axes.capabilities
        for gpu in places.get(capability, (None,))
    ]
    kept = [t for t in product if not any(_applies(rule, t) for rule in settings.exclude)]
    candidates = {t.id: t for t in kept}
    added = [
        VersionTuple(**wanted.model_dump(), gpu=gpu)
        for wanted in settings.include
        for gpu in places.get(wanted.capability, (None,))
    ]
    candidates |= {t.id: t for t in added if t.id not in candidates}
    chosen = _selected(candidates, settings.only)
    if not chosen:
        what = f"--only {' '.join(settings.only)} matches none" if settings.only else "space.exclude leaves none"
        raise NothingToTestError(f"{what} of the {len(product)} tuples; `sweep plan --list` shows their ids")
    return chosen, SpaceCounts(
        product=len(product),
        excluded=len(product) - len(kept),
        included=len(candidates) - len(kept),
        not_selected=len(candidates) - len(chosen),
    )


def _places(axes: Axes, *, per_class: bool) -> dict[str, tuple[str | None, ...]]:
    """The labels of the GPU classes of each capability, where classes are tested one by one."""
    labels: dict[str, dict[str | None, None]] = {}
    for gpu_class in axes.classes if per_class else ():
        labels.setdefault(gpu_class.capability, {})[gpu_class.label] = None
    return {capability: tuple(found) for capability, found in labels.items()}


def _applies(rule: Exclusion, tuple_: VersionTuple) -> bool:
    return (
        (rule.framework is None or rule.framework == tuple_.framework)
        and (rule.version is None or within(tuple_.version, rule.version))
        and (rule.cuda is None or within(tuple_.cuda, rule.cuda))
        and (rule.capability is None or within(tuple_.capability, rule.capability))
    )


def _selected(candidates: Mapping[str, VersionTuple], globs: Sequence[str]) -> list[VersionTuple]:
    """Those whose id matches a glob. Hyphen and underscore are one: nobody remembers which stands where."""
    if not globs:
        return list(candidates.values())
    alike = (re.sub(r"(\[[^]]*])|-", lambda found: found[1] or "_", glob) for glob in globs)
    wanted = re.compile("|".join(map(fnmatch.translate, alike)))
    return [tuple_ for id_, tuple_ in candidates.items() if wanted.match(id_.replace("-", "_"))]
