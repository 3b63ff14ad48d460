"""Which CUDA a conda build was made for, read from its metadata alone.

Facts: the recipes of conda-forge's pytorch-cpu, tensorflow, jaxlib, cupy and cuda-version feedstocks and the
builds of the former pytorch channel. The compiler's run export puts the range of runtimes that a build accepts
into its dependencies; the tag in the build string says only what it was compiled with.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# Packages whose version is the CUDA runtime's, in the order in which they are believed.
_RUNTIME_PACKAGES = ("cuda-version", "pytorch-cuda", "cudatoolkit")
# Parts of the toolkit that carry the toolkit's own version number.
_TOOLKIT_PARTS = frozenset({"cuda-cudart", "cuda-nvrtc", "cuda-cupti", "cuda-nvtx", "cuda-libraries", "cuda-runtime"})


@dataclass(frozen=True)
class Build:
    """One build of a package, as the channel's metadata describes it. `size` is the download in bytes."""

    name: str
    version: str
    build: str
    build_number: int
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    size: int = 0


@dataclass(frozen=True)
class CudaOfBuild:
    """What a build needs of CUDA.

    `accepts` is the version range of the runtimes it runs with, in conda's syntax; `compiled` the
    runtime it was compiled with. Either may be unknown. A CPU build has neither and `cuda` is false.
    """

    cuda: bool
    accepts: str | None = None
    compiled: str | None = None


CPU = CudaOfBuild(cuda=False)


def cuda_of(build: Build) -> CudaOfBuild:
    """The CUDA side of a build: by its dependencies first, by its build string last."""
    depends = [_split(d) for d in build.depends]
    # A constraint alone is optional support, unless the package says that it needs a GPU driver.
    ranges = depends + ([_split(c) for c in build.constrains] if _needs_driver(build) else [])
    for package in _RUNTIME_PACKAGES:
        for name, spec in ranges:
            if name == package and spec not in ("", "*"):
                return CudaOfBuild(True, accepts=spec, compiled=_build_tag(build.build) or _lower_bound(spec))
    parts = [bound for name, spec in depends if name in _TOOLKIT_PARTS and (bound := _lower_bound(spec))]
    if parts:
        return CudaOfBuild(True, compiled=max(parts, key=lambda v: tuple(map(int, v.split(".")))))
    if tag := _build_tag(build.build):
        return CudaOfBuild(True, compiled=tag)
    for name, spec in depends:  # a metapackage pins one exact build of the package that it stands for
        pinned = spec.split(" ")
        if len(pinned) == 2 and "cuda" in pinned[1]:
            return CudaOfBuild(True, compiled=_build_tag(pinned[1]))
        if name == "__cuda":
            return CudaOfBuild(True)
    return CudaOfBuild(True) if "cuda" in build.build else CPU


def _needs_driver(build: Build) -> bool:
    return "cuda" in build.build or any(_split(d)[0] == "__cuda" for d in build.depends)


def _split(dependency: str) -> tuple[str, str]:
    name, _, spec = dependency.partition(" ")
    return name.lower(), spec.strip()


def _lower_bound(spec: str) -> str | None:
    """`>=12.9.79,<13.0a0` -> `12.9`; `12.4.*` -> `12.4`."""
    match = re.match(r"(?:>=|==|=|~=)?\s*(\d+)(?:\.(\d+))?", spec)
    return f"{match[1]}.{match[2] or 0}" if match else None


def _build_tag(build: str) -> str | None:
    """`cuda129_mkl_py312_h..` -> `12.9`; `py3.11_cuda12.1_cudnn8.9.2_0` -> `12.1`; `cuda92` -> `9.2`.

    `cuda12` names the major version alone: CUDA 1.x is older than any conda build.
    """
    if match := re.search(r"cuda_?(\d+)\.(\d+)", build):
        return f"{match[1]}.{match[2]}"
    if match := re.search(r"(?<![a-z])(?:cuda|cu)_?(\d{2,3})(?!\d)", build):
        digits = match[1]
        if len(digits) == 2 and digits[0] == "1":
            return f"{digits}.0"
        return f"{digits[:-1]}.{digits[-1]}"
    return None


def versions_in_series(builds: Sequence[Build], parts: int) -> list[str]:
    """The version series among the builds, such as `2.5` for 2.5.0 and 2.5.1; newest first, pre-releases left out."""
    from packaging.version import InvalidVersion
    from packaging.version import Version as Parsed

    found: dict[str, Parsed] = {}
    for build in builds:
        try:
            parsed = Parsed(build.version)
        except InvalidVersion:
            continue
        if not parsed.is_prerelease:
            series = ".".join(map(str, (*parsed.release, *(0,) * parts)[:parts]))
            found[series] = max(parsed, found.get(series, parsed))
    return sorted(found, key=lambda s: found[s], reverse=True)


def in_series(version: str, series: str) -> bool:
    """Whether a build's version belongs to a series: `2.5.1` to `2.5`, but not `2.51`."""
    return version == series or version.startswith(f"{series}.")
