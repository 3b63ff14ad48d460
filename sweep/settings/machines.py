"""What the pool and its machines are, and what each job asks of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sweep.cuda import DriverPolicy, in_order
from sweep.fields import (
    Mebibytes,
    MostRecent,
    PlainLine,
    Platform,
    Range,
    Switch,
    Table,
)
from sweep.model import Capability, Runtime, Version


class PoolSettings(Table):
    """How to reach the pool. By default HTCondor's own configuration decides."""

    condor_config: PlainLine | None = None


class CudaSettings(Table):
    """Which CUDA runtimes, and which drivers may run them."""

    runtimes: MostRecent | list[Runtime] | Range = 4
    driver_policy: DriverPolicy = DriverPolicy.MINOR

    @field_validator("runtimes")
    @classmethod
    def _in_order(cls, value: int | list[str] | str) -> int | list[str] | str:
        if isinstance(value, list):
            if not value:
                raise ValueError("the list is empty; name at least one runtime")
            return list(in_order(value))
        return value


class GpuSettings(Table):
    """Which GPUs of the pool take part."""

    capabilities: Literal["pool"] | list[Capability] = "pool"
    mig: Switch = True
    minimum_memory: Mebibytes | None = None

    @field_validator("capabilities")
    @classmethod
    def _in_order(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, str):
            return value
        if not value:
            raise ValueError('the list is empty; name capabilities, or write "pool"')
        return list(in_order(value))


class NodeSettings(Table):
    """What the solver may assume of an execute node; nothing of the access point is consulted.

    Without a value it is the least that the machines offer that an environment may land on.
    """

    glibc: Version | None = None
    linux: Version | None = None
    archspec: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] | None = None
    platform: Platform = "linux-64"


class ResourceSettings(Table):
    """What each job asks for. `requirements` is an extra ClassAd clause of the site's own."""

    cpus: Annotated[int, Field(ge=1, le=1024, strict=True)] = 1
    memory: Mebibytes = 8 * 1024
    disk: Mebibytes = 40 * 1024
    requirements: PlainLine | None = None
