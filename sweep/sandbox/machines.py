"""The simulated machines as checked data, read from pool.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from sweep.errors import SandboxError
from sweep.model import Capability, Frozen, Runtime

DEFAULT_FILE = Path(__file__).with_name("pool.toml")

# A machine's name becomes part of a configuration macro, a host name and a directory name.
MachineName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,30}$")]
# Printed into ClassAds, JSON and configuration; no quote or backslash may be in it.
PlainText = Annotated[str, Field(pattern=r"^[A-Za-z0-9 ._/+-]{1,80}$")]


class Device(Frozen):
    """One model of GPU in a machine, `count` times."""

    name: PlainText
    """As the driver says it, without the mark that it is simulated."""
    capability: Capability | None = None
    """Compute capability; None where discovery could not read it."""
    memory_mb: int = Field(gt=0)
    count: int = Field(default=1, ge=1, le=64)
    mig: bool = False
    """A slice of a divided GPU."""
    ecc: bool = True


class Machine(Frozen):
    """One execute node with GPUs."""

    name: MachineName
    driver: PlainText | None = None
    """Release of the NVIDIA driver; None together with `runtime` where discovery could not read it."""
    runtime: Runtime | None = None
    """Newest CUDA runtime that the driver runs."""
    cpus: int = Field(default=16, ge=1)
    memory_mb: int = Field(default=64000, ge=1)
    devices: tuple[Device, ...] = ()

    @model_validator(mode="after")
    def _driver_is_known_or_not(self) -> Self:
        if (self.driver is None) != (self.runtime is None):
            raise ValueError("give both driver and runtime, or neither")
        return self


class _PoolFile(Frozen):
    machine: tuple[Machine, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [machine.name for machine in self.machine]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two machines are called {name!r}")
        return self


def read_machines(path: Path = DEFAULT_FILE) -> tuple[Machine, ...]:
    """The machines of a pool file.

    Raises:
        SandboxError: the file cannot be read, or something in it is not as it has to be.
    """
    try:
        return _PoolFile.model_validate(tomllib.loads(path.read_text())).machine
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SandboxError(f"{path}: cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise SandboxError(f"{path}: {where}: {first['msg']}. Correct it there.") from error


def plain(machines: Sequence[Machine]) -> dict[str, dict[str, object]]:
    """The machines by name as plain values, the form that `gpu_discovery` reads."""
    return {machine.name: machine.model_dump(mode="json") for machine in machines}
