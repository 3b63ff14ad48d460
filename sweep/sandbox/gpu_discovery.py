"""Prints simulated GPUs the way condor_gpu_discovery prints real ones; runs as a startd's discovery.

Usage: gpu_discovery.py MACHINES.json MACHINE

The first line lists the device ids, then comes one ClassAd with the properties that all devices share, and one
nested ClassAd per device. HTCondor's own tool can simulate devices too, but in version 25.14 these carry no
driver attributes. Only the standard library is used, because the startd runs this file by itself.
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

MARK = " (simulated)"


class SimulatedGpu(NamedTuple):
    """One device of one machine."""

    id: str
    """HTCondor's name of the device, such as `GPU-1a2b3c4d`."""
    visible: str
    """How CUDA_VISIBLE_DEVICES names it in a job: `GPU-<uuid>` or `MIG-<uuid>`."""
    properties: dict[str, str]
    """Attribute name -> ClassAd expression, as the discovery prints them."""
    seen: dict[str, Any] | None
    """What its driver says to a program; None where the discovery could not read the properties."""


def runtime_number(runtime: str) -> int:
    """A CUDA version the way the CUDA API counts it: 12.4 is 12040."""
    major, _, minor = runtime.partition(".")
    return int(major) * 1000 + int(minor) * 10


def gpus_of(machine: Mapping[str, Any]) -> list[SimulatedGpu]:
    """The devices of one machine of the machines file, each with an id that stays the same from run to run."""
    models = [model for model in machine["devices"] for _ in range(model["count"])]
    return [_gpu(machine, model, index) for index, model in enumerate(models)]


def _gpu(machine: Mapping[str, Any], model: Mapping[str, Any], index: int) -> SimulatedGpu:
    # Any fixed namespace serves; the id only has to be the same on every run and different per device.
    serial = str(uuid.uuid5(uuid.NAMESPACE_URL, f"simulated-gpu:{machine['name']}:{index}"))
    visible = f"{'MIG' if model['mig'] else 'GPU'}-{serial}"
    name = model["name"] + MARK
    properties = {
        "DeviceName": f'"{name}"',
        "DeviceUuid": f'"{visible if model["mig"] else serial}"',
        "DevicePciBusId": f'"0000:{0x40 + index:02X}:00.0"',
        "ECCEnabled": "true" if model["ecc"] else "false",
        "GlobalMemoryMb": str(model["memory_mb"]),
    }
    if model["capability"]:
        properties["Capability"] = model["capability"]
    if machine["runtime"]:
        number = runtime_number(machine["runtime"])
        # Printed as the real tool does, two digits after the point: 12.4 reads 12.40.
        properties["DriverVersion"] = f"{number // 1000}.{number % 100}"
        properties["MaxSupportedVersion"] = str(number)
        properties["NvidiaDriver"] = f'"{machine["driver"]}"'
    known = model["capability"] and machine["runtime"]
    seen = (
        {
            "name": name,
            "capability": model["capability"],
            "runtime": runtime_number(machine["runtime"]),
            "driver": machine["driver"],
            "memory_mb": model["memory_mb"],
        }
        if known
        else None
    )
    # A MIG slice goes by its whole uuid, a GPU by the first eight digits.
    return SimulatedGpu(visible if model["mig"] else visible[:12], visible, properties, seen)


def discovery_text(gpus: Iterable[SimulatedGpu]) -> str:
    """What the discovery prints for these devices."""
    gpus = list(gpus)
    if not gpus:
        return "DetectedGPUs=0\n"
    common = {
        key: value
        for key, value in gpus[0].properties.items()
        if all(gpu.properties.get(key) == value for gpu in gpus)
    }
    lines = [f'DetectedGPUs="{", ".join(gpu.id for gpu in gpus)}"', f"Common={_ad(common)}"]
    for gpu in gpus:
        own = {key: value for key, value in gpu.properties.items() if key not in common}
        lines.append(f"{gpu.id.replace('-', '_')}={_ad({'id': chr(34) + gpu.id + chr(34), **own})}")
    return "\n".join(lines) + "\n"


def _ad(attributes: Mapping[str, str]) -> str:
    return "[ " + "".join(f"{key}={value}; " for key, value in sorted(attributes.items())) + "]"


def simulated_driver(machines: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the stand-in frameworks take for the NVIDIA driver: properties by CUDA_VISIBLE_DEVICES entry.

    A device whose properties the discovery could not read is left out: to a program it is not there.
    """
    return {gpu.visible: gpu.seen for machine in machines for gpu in gpus_of(machine) if gpu.seen}


def write_simulated_driver(path: Path, machines: Iterable[Mapping[str, Any]]) -> None:
    """Writes the file that SWEEP_SIMULATED_GPUS names in every job."""
    path.write_text(json.dumps(simulated_driver(machines), indent=1))


def main(arguments: list[str]) -> int:
    """Runs the discovery of one machine."""
    if len(arguments) != 2:
        print("usage: gpu_discovery.py MACHINES.json MACHINE", file=sys.stderr)
        return 2
    machines = json.loads(Path(arguments[0]).read_text())
    if arguments[1] not in machines:
        print(f"{arguments[0]}: there is no machine {arguments[1]!r}", file=sys.stderr)
        return 1
    sys.stdout.write(discovery_text(gpus_of(machines[arguments[1]])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
