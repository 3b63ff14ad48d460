"""What the slot's ad, which HTCondor lays beside the job, says of the job's devices."""

from __future__ import annotations

import math
import os
import re
from typing import Dict, List, Optional

from .common import SHORT_CHARS, Facts, clean

SIMULATED = " (simulated)"  # how the names of the sandbox's GPUs end


def parse_ad(text: str) -> Facts:
    """The attributes of a ClassAd in the long form, as text; those that are ads themselves as dicts."""
    attributes: Facts = {}
    for line in text.splitlines():
        match = re.match(r"\s*(\w+)\s*=\s*(.*?)\s*$", line)
        if match is None:
            continue
        name, value = match.groups()
        if value.startswith("["):
            inner = re.findall(r'(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\]]*)', value[1:])
            attributes[name.lower()] = {key.lower(): unquote(part) for key, part in inner}
        else:
            attributes[name.lower()] = unquote(value)
    return attributes


def unquote(value: str) -> str:
    """A ClassAd value as text, without the quotes of a string."""
    value = value.strip()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def devices_of_ad(text: str) -> List[Facts]:
    """The devices that a slot's ad assigns to the job, in the shape of model.NodeDevice.

    The properties are read from the nested ad of each device; the flat `GPUs_` attributes, which hold only what all
    devices have in common, serve where there is no nested ad.
    """
    ad = parse_ad(text)
    assigned = [part for part in re.split(r"[\s,]+", str(ad.get("assignedgpus", ""))) if part]
    nested = [ad.get("gpus_" + re.sub(r"[^a-z0-9]", "_", part.lower())) for part in assigned]
    found = [device for device in nested if isinstance(device, dict)]
    if not found and assigned:
        flat = {key[5:]: value for key, value in ad.items() if key.startswith("gpus_") and isinstance(value, str)}
        found = [flat] if flat else []
    return [node_device(device) for device in found][:64]


def node_device(properties: Dict[str, str]) -> Facts:
    """One device; what the slot does not say, or says in a way that cannot be read, stays None."""
    uuid = properties.get("deviceuuid") or properties.get("id")
    if uuid and not uuid.startswith(("GPU-", "MIG-")):
        uuid = "GPU-" + uuid
    capability = number(properties.get("capability"))
    runtime = number(properties.get("maxsupportedversion"))  # 12040 is 12.4; DriverVersion is ambiguous
    memory = number(properties.get("globalmemorymb"))
    return {
        "uuid": clean(uuid, SHORT_CHARS),
        "name": clean(properties.get("devicename"), SHORT_CHARS),
        "capability": None if capability is None else "%.1f" % capability,
        "memory_mb": None if memory is None else int(memory),
        "runtime": None if runtime is None else "%d.%d" % (runtime // 1000, runtime % 1000 // 10),
        "driver": clean(properties.get("nvidiadriver"), SHORT_CHARS),
    }


def real_devices(node: Facts) -> bool:
    """Whether the job was given GPUs, and none of them is one of the sandbox's simulated ones."""
    names = [device.get("name") or "" for device in node.get("devices") or []]
    return bool(names) and not any(name.endswith(SIMULATED) for name in names)


def number(text: Optional[str]) -> Optional[float]:
    """A finite number, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def add_devices(node: Facts) -> None:
    """Complete the wrapper's record of the node from the slot's ad; `nvidia-smi` keeps what the ad lacks."""
    try:
        with open(os.environ["_CONDOR_MACHINE_AD"], encoding="utf-8", errors="replace") as file:
            devices = devices_of_ad(file.read())
    except (KeyError, OSError):
        return
    if devices:
        known = {device.get("uuid"): device for device in node.get("devices", [])}
        for device in devices:
            for key, value in known.get(device["uuid"], {}).items():
                if device.get(key) is None:
                    device[key] = value
            if device["driver"] is None:
                device["driver"] = node.get("driver")
        node["devices"] = devices
        if node.get("driver") is None:
            node["driver"] = devices[0]["driver"]
