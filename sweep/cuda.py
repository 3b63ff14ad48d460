"""CUDA runtimes, compute capabilities and drivers: how they compare, and which driver a runtime needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # who reads an event log does not wait for models
    from sweep.model import GpuClass, VersionTuple

# The first CUDA major version whose runtimes run on any driver of that major version, within the limits
# that NVIDIA's CUDA Compatibility guide states (11.x from driver 450, 12.x from 525, 13.x from 580).
FIRST_MAJOR_WITH_MINOR_COMPATIBILITY = 11


class DriverPolicy(StrEnum):
    """Which drivers may run a CUDA runtime.

    `strict`: the driver supports that very runtime or a newer one. `minor`: CUDA minor-version
    compatibility, any driver of the runtime's major version or newer (from CUDA 11 on).
    """

    STRICT = "strict"
    MINOR = "minor"


@lru_cache(maxsize=4096)  # a pool and its channels know a few hundred versions, and are asked for them without end
def version_key(text: str) -> tuple[int, ...]:
    """Sorts `8.6` before `10.0` and `11.8` before `12.4`; for capabilities and runtimes.

    Raises:
        ValueError: a part is not a number.
    """
    return tuple(int(part) for part in text.split("."))


def in_order(versions: Iterable[str]) -> tuple[str, ...]:
    """The distinct versions, lowest first."""
    return tuple(sorted(set(versions), key=version_key))


def encode_runtime(runtime: str) -> int:
    """`12.4` as CUDA and HTCondor's MaxSupportedVersion write it: 12040."""
    major, minor = version_key(runtime)
    return major * 1000 + minor * 10


def decode_runtime(number: int) -> str:
    """12040 as `12.4`. HTCondor's DriverVersion is the same fact as an ambiguous float and is never used."""
    return f"{number // 1000}.{number % 1000 // 10}"


def driver_floor(runtime: str, policy: DriverPolicy) -> str:
    """The oldest "newest supported runtime" that a driver may have to run `runtime` under the policy."""
    major = version_key(runtime)[0]
    if policy is DriverPolicy.MINOR and major >= FIRST_MAJOR_WITH_MINOR_COMPATIBILITY:
        return f"{major}.0"
    return runtime


def takers(tuple_: VersionTuple, classes: Sequence[GpuClass], policy: DriverPolicy) -> list[GpuClass]:
    """The GPU classes with a tuple's capability, and a driver that may run its runtime under the policy."""
    floor = version_key(driver_floor(tuple_.cuda, policy))
    return [
        c
        for c in classes
        if c.capability == tuple_.capability
        and version_key(c.runtime) >= floor
        and (tuple_.gpu is None or tuple_.gpu == c.label)
    ]
