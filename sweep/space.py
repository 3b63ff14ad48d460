"""The version space: which runtimes, versions and capabilities, and every combination of them. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from packaging.specifiers import SpecifierSet

from sweep.builds import Build, versions_in_series
from sweep.cuda import in_order, version_key
from sweep.errors import NothingToTestError
from sweep.model import VersionTuple


def choose_runtimes(wanted: int | Sequence[str] | str, offered: Iterable[str]) -> tuple[str, ...]:
    """The CUDA runtimes to sweep, lowest first: a list as it is, the N newest offered, or those in a range.

    Raises:
        NothingToTestError: the channels offer none, or none in the range.
    """
    if isinstance(wanted, list | tuple):
        return in_order(wanted)
    known = in_order(offered)
    if isinstance(wanted, int):
        chosen = known[-wanted:]
    else:
        chosen = tuple(r for r in known if str(wanted) and SpecifierSet(str(wanted)).contains(r))
    if not chosen:
        raise NothingToTestError(
            f"cuda.runtimes = {wanted!r} chooses none of the CUDA runtimes that the channels offer "
            f"({', '.join(known) or 'none at all'}); widen it, or check conda.channels"
        )
    return chosen


def choose_versions(
    wanted: int | Sequence[str], builds: Sequence[Build], parts: int, package: str
) -> tuple[str, ...]:
    """The framework versions to sweep, newest first: a list as it is, or the N newest series that have builds.

    Raises:
        NothingToTestError: the channels have no build of the package at all.
    """
    found = versions_in_series(builds, parts)
    if not found:
        raise NothingToTestError(
            f"the channels have no released version of {package}; check conda.channels and the framework's file"
        )
    if isinstance(wanted, int):
        return tuple(found[:wanted])
    return tuple(wanted)


def choose_capabilities(wanted: str | Sequence[str], pool: Sequence[str]) -> tuple[str, ...]:
    """The compute capabilities to sweep, lowest first: those of the pool, or a list as it is."""
    return in_order(pool if isinstance(wanted, str) else wanted)


def enumerate_tuples(
    versions: dict[str, tuple[str, ...]], runtimes: Sequence[str], capabilities: Sequence[str]
) -> list[VersionTuple]:
    """Every combination: framework by framework, version by version, then runtime, then capability."""
    return [
        VersionTuple(framework=framework, version=version, cuda=cuda, capability=capability)
        for framework, chosen in versions.items()
        for version in chosen
        for cuda in sorted(runtimes, key=version_key)
        for capability in capabilities
    ]
