"""What a slot's ad says of one device: values of a ClassAd, where anything may stand, as what they mean or None.

The event log's events of a start carry the same nested ads.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from sweep.cuda import decode_runtime


def nested_name(device: str) -> str:
    """The attribute that holds a device's properties."""
    return "GPUs_" + re.sub(r"[^A-Za-z0-9]", "_", device)


def device_text(nested: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Name and driver release of a device, as far as its nested ad has them."""
    return readable_text(nested.get("DeviceName")), readable_text(nested.get("NvidiaDriver"))


def device_capability(nested: Mapping[str, Any]) -> str | None:
    """A device's compute capability, such as `8.0`, if its nested ad has one that can be true."""
    capability = number(nested.get("Capability"))
    text = f"{capability:.1f}" if capability is not None else ""
    return text if re.fullmatch(r"\d{1,2}\.\d", text) else None


def device_runtime(nested: Mapping[str, Any]) -> str | None:
    """The newest CUDA runtime of a device's driver, such as `12.4`, if its nested ad has one that can be true."""
    supported = number(nested.get("MaxSupportedVersion"))
    return decode_runtime(int(supported)) if supported is not None and 1000 <= supported < 100000 else None


def device_uuid(nested: Mapping[str, Any]) -> str | None:
    """A device's whole UUID as CUDA and nvidia-smi write it: `GPU-` or `MIG-` and 36 characters."""
    uuid = readable_text(nested.get("DeviceUuid"))
    return uuid if uuid is None or uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def number(value: object) -> float | None:
    """A finite number out of an ad; a string is taken only if it is one.

    Booleans are not numbers, nor are classad2's `undefined` and `error`, which are members of an integer enum.
    """
    if isinstance(value, bool | Enum):
        return None
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str) and re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value.strip()):
        return float(value)
    return None


def readable_text(value: object) -> str | None:
    """A string of an ad without what cannot be printed, at most 200 characters; None if nothing is left."""
    if not isinstance(value, str):
        return None
    clean = (value if value.isprintable() else "".join(c for c in value if c.isprintable())).strip()
    return clean[:200] or None
