"""What the channels have for one framework."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property, lru_cache

from packaging.version import Version

from sweep.builds import Build, CudaOfBuild, cuda_of, python_of, series_of
from sweep.channels import Channels, accepts
from sweep.cuda import in_order
from sweep.framework import Framework
from sweep.model import Source
from sweep.settings import Settings

_HOLDERS = {
    Source.CONDA: "the channels have no",
    Source.PIP: "the package index has no",
    Source.CONTAINER: "the settings name no image with",
}
_KINDS = {Source.CONDA: "builds", Source.PIP: "wheels", Source.CONTAINER: "images"}

ANY = "any"  # the range of a CUDA build that does not say which runtimes it takes

# A plan asks the same few ranges about the same few runtimes tens of thousands of times.
_accepts = lru_cache(maxsize=None)(accepts)


@dataclass(frozen=True)
class Offer:
    """What the channels have for one framework: the builds of the package that carries its CUDA code."""

    framework: Framework
    channels: tuple[str, ...]
    builds: tuple[Build, ...]
    source: Source = Source.CONDA

    @property
    def package(self) -> str:
        """What the builds are called, for people."""
        return self.framework.cuda_package if self.source is Source.CONDA else self.framework.title

    @cached_property
    def cuda(self) -> tuple[CudaOfBuild, ...]:
        """The CUDA of each build, in the builds' order."""
        return tuple(map(cuda_of, self.builds))

    @cached_property
    def _by_series(self) -> dict[str, list[tuple[Build, CudaOfBuild]]]:
        found: dict[str, list[tuple[Build, CudaOfBuild]]] = defaultdict(list)
        series = {version: series_of(version) for version in {b.version for b in self.builds}}
        for build, cuda in zip(self.builds, self.cuda, strict=True):
            for name in series[build.version]:
                found[name].append((build, cuda))
        return dict(found)

    @cached_property
    def _kinds(self) -> dict[str, frozenset[CudaOfBuild]]:
        return {series: frozenset(cuda for _, cuda in pairs) for series, pairs in self._by_series.items()}

    def serves(self, version: str, runtime: str) -> bool:
        """Whether any CUDA build of a version or series says that it runs with a runtime."""
        return any(_accepts(cuda, runtime) for cuda in self._kinds.get(version, ()))

    def serving(self, version: str, runtime: str) -> tuple[Build, ...]:
        """The CUDA builds of a version or series that say that they run with a runtime."""
        return tuple(build for build, cuda in self._by_series.get(version, ()) if _accepts(cuda, runtime))

    def compiled(self, version: str, runtime: str) -> tuple[str, ...]:
        """The CUDA versions that the serving builds were compiled with, lowest first, as far as they say."""
        kinds = self._kinds.get(version, ())
        return in_order(cuda.compiled for cuda in kinds if cuda.compiled and _accepts(cuda, runtime))

    def pythons(self, version: str, runtime: str) -> tuple[str, ...]:
        """The Pythons that the serving builds were made for, newest first; empty where they do not depend on it."""
        found = {python for build in self.serving(version, runtime) if (python := python_of(build))}
        return in_order(found)[::-1]

    def description(self, version: str) -> str:
        """What is built of a version or series, in one clause."""
        package = self.package
        kinds = self._kinds.get(version, frozenset())
        if not kinds:
            return f"{_HOLDERS[self.source]} {package} {version}"
        ranges = runtime_ranges(kinds)
        if not ranges:
            return f"{package} {version} exists only as a CPU build"
        if ranges == (ANY,):
            return f"{_KINDS[self.source]} of {package} {version} do not say which CUDA they take"
        return f"{_KINDS[self.source]} of {package} {version} take CUDA {' or '.join(ranges)}"


def runtime_ranges(kinds: frozenset[CudaOfBuild]) -> tuple[str, ...]:
    """The ranges of runtimes that builds take, in words, lowest first; those of CPU builds left out."""
    # `<13` and `<13.0a0` are the same to whoever wants a runtime.
    texts = {_range(kind).replace(".0a0", "") for kind in kinds if kind.cuda}
    return tuple(sorted(texts, key=_lowest))


def _range(cuda: CudaOfBuild) -> str:
    if cuda.accepts:
        return cuda.accepts
    if cuda.compiled:
        # CUDA's own rule of minor-version compatibility, as `accepts` applies it.
        return f">={cuda.compiled},<{int(cuda.compiled.partition('.')[0]) + 1}"
    return ANY


def _lowest(text: str) -> tuple[Version, str]:
    number = re.search(r"[0-9]{1,9}(\.[0-9]{1,9})*", text)
    return Version(number[0]) if number else Version("0"), text


def make_offer(name: str, framework: Framework, settings: Settings, channels: Channels) -> Offer:
    """Ask the framework's channels for the builds of its CUDA package.

    Raises:
        ChannelError: a channel cannot be reached or read.
    """
    names = tuple(settings.frameworks[name].channels or settings.conda.channels)
    return Offer(framework, names, tuple(channels.builds(names, framework.cuda_package)))
