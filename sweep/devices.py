"""What a submit file says of device models: clauses for `require_gpus`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sweep.cuda import encode_runtime
from sweep.model import GpuClass
from sweep.settings import GpuSettings


def device_name_clause(gpu: GpuClass) -> str:
    """A device model, whatever its driver.

    The name comes from the machine: what a submit file or a pattern gives a meaning to is matched as any character,
    and HTCondor's patterns count the bytes of UTF-8.
    """
    name = re.sub(r"[^A-Za-z0-9 _/:-]", lambda odd: "." * len(odd[0].encode()), gpu.device)
    return f'regexp("^{name}$", DeviceName)'


def usable(classes: Sequence[GpuClass], gpus: GpuSettings) -> tuple[GpuClass, ...]:
    """The GPU classes that the settings let jobs run on: without MIG slices or small devices, if they say so."""
    least = gpus.minimum_memory or 0
    return tuple(c for c in classes if (gpus.mig or not c.mig) and c.memory_mb >= least)


def device_clause(gpu: GpuClass) -> str:
    """One device model with one driver."""
    driver = (
        f'NvidiaDriver == "{gpu.release}"' if gpu.release else f"MaxSupportedVersion == {encode_runtime(gpu.runtime)}"
    )
    return f"{device_name_clause(gpu)} && {driver}"
