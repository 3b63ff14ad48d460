"""Slot ads -> GPU classes. Pure: the ads come from `condor`, or from a file in a test.

Facts (HTCondor manual, GPU chapter): each device has a nested ad named GPUs_<id>; the flat GPUs_* attributes exist
only where all devices of a machine agree, so they are never read. MaxSupportedVersion is the newest CUDA runtime
that the driver supports, as an integer; NvidiaDriver, the driver release, is advertised since 24.5.1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sweep.attributes import device_capability, device_runtime, nested_name, number, readable_text
from sweep.cuda import version_key
from sweep.model import GpuClass, Pool, PoolProblem

_DeviceKey = tuple[str, str]  # machine and device id


class _Description(NamedTuple):
    """What tells devices apart, as in `GpuClass`."""

    capability: str
    device: str
    memory_mb: int
    runtime: str
    driver: str | None
    mig: bool


def inventory(ads: Iterable[Mapping[str, Any]], collector: str) -> Pool:
    """The GPU classes of the slots; what cannot be used is reported as a problem, never dropped.

    A device is counted once, whatever number of slots show it.
    """
    devices: dict[_DeviceKey, _Description] = {}
    problems: dict[tuple[str, str], PoolProblem] = {}
    slots = 0
    for ad in ads:
        slots += 1
        machine, slot = readable_text(ad.get("Machine")) or "?", readable_text(ad.get("Name")) or "?"
        ids = device_ids(ad)
        if not ids:
            named = isinstance(ad.get("DetectedGPUs"), str) and ad["DetectedGPUs"].strip()
            problem = (
                "all its GPUs are offline (OfflineGPUs)" if named else "has GPUs, but names no device (DetectedGPUs)"
            )
            problems[machine, slot] = PoolProblem(slot=slot, machine=machine, problem=problem)
        for device in ids:
            found = _describe(ad, device)
            if isinstance(found, str):
                problems[machine, device] = PoolProblem(slot=slot, machine=machine, problem=f"{device}: {found}")
            else:
                devices[machine, device] = found
    return Pool(
        taken=datetime.now(UTC).replace(microsecond=0),
        collector=collector,
        slots=slots,
        classes=_grouped(devices),
        # Another slot of the machine may describe a device that this one does not.
        problems=tuple(problems[key] for key in sorted(problems) if key not in devices),
    )


def device_ids(ad: Mapping[str, Any]) -> list[str]:
    """The ids of a slot's devices that are not offline; shared devices are listed several times by the startd."""
    detected = ad.get("DetectedGPUs")  # the integer 0, not a string, when there are none
    if not isinstance(detected, str):
        return []
    offline = {part.strip() for part in str(ad.get("OfflineGPUs") or "").split(",")}
    ids = dict.fromkeys(part.strip() for part in detected.split(","))
    return [i for i in ids if i and i not in offline]


def _describe(ad: Mapping[str, Any], device: str) -> _Description | str:
    """What one device is, or what keeps it from being used."""
    nested = ad.get(nested_name(device))
    if not isinstance(nested, Mapping):
        return "the slot does not describe it; is GPU discovery run with -properties?"
    capability, runtime = device_capability(nested), device_runtime(nested)
    if capability is None or runtime is None:
        found = {"Capability": capability, "MaxSupportedVersion": runtime}
        missing = [name for name, value in found.items() if value is None]
        return f"{' and '.join(missing)} undefined or not a number; no version can be matched against it"
    driver = nested.get("NvidiaDriver")
    uuid = str(nested.get("DeviceUuid", ""))
    name = readable_text(nested.get("DeviceName")) or "unnamed GPU"
    return _Description(
        capability=capability,
        device=name,
        memory_mb=int(number(nested.get("GlobalMemoryMb")) or 0),
        runtime=runtime,
        driver=readable_text(driver),
        mig="MIG" in name or uuid.startswith("MIG-") or device.startswith("MIG-"),
    )


def _grouped(devices: Mapping[_DeviceKey, _Description]) -> tuple[GpuClass, ...]:
    machines: dict[_Description, list[str]] = defaultdict(list)
    for (machine, _), description in devices.items():
        machines[description].append(machine)
    classes = [
        GpuClass(**description._asdict(), devices=len(there), machines=tuple(sorted(set(there))))
        for description, there in machines.items()
    ]
    return tuple(sorted(classes, key=_order))


def _order(c: GpuClass) -> tuple[object, ...]:
    return version_key(c.capability), c.device, version_key(c.runtime), c.memory_mb, c.driver or "", c.mig
