"""What the channels have for one framework."""

from __future__ import annotations

from dataclasses import dataclass

from sweep.builds import Build, cuda_of, in_series
from sweep.channels import Channels, accepts
from sweep.config import Settings
from sweep.framework import Framework


@dataclass(frozen=True)
class Offer:
    """What the channels have for one framework: the builds of the package that carries its CUDA code."""

    framework: Framework
    channels: tuple[str, ...]
    builds: tuple[Build, ...]

    def serves(self, version: str, runtime: str) -> bool:
        """Whether any CUDA build of a version says that it runs with a runtime."""
        return any(in_series(b.version, version) and accepts(cuda_of(b), runtime) for b in self.builds)

    def description(self, version: str) -> str:
        """What is built of a version, in one clause."""
        package = self.framework.cuda_package
        kinds = {cuda_of(b) for b in self.builds if in_series(b.version, version)}
        ranges = sorted({k.accepts or f"compiled with {k.compiled}" for k in kinds if k.cuda})
        if ranges:
            return f"builds of {package} {version} take CUDA {' or '.join(ranges)}"
        if kinds:
            return f"{package} {version} exists only as a CPU build"
        return f"the channels have no {package} {version}"


def make_offer(name: str, framework: Framework, settings: Settings, channels: Channels) -> Offer:
    """Ask the framework's channels for the builds of its CUDA package.

    Raises:
        ChannelError: a channel cannot be reached or read.
    """
    names = tuple(settings.frameworks[name].channels or settings.conda.channels)
    return Offer(framework, names, tuple(channels.builds(names, framework.cuda_package)))
