"""The NVIDIA driver's own library, asked without any framework: does it load, does it start, what does it show?

Runs in a child, because a driver in trouble may crash or hang whoever calls it. Sources: CUDA Driver API reference,
modules "Initialization", "Version Management", "Device Management" and "Error Handling".
"""

from __future__ import annotations

import ctypes
import os
import re
import uuid
from typing import Any, Optional

from .common import SHORT_CHARS, Facts, clean

NAME = "libcuda.so.1"
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
MOST_DEVICES = 64
# An environment may bring a library of its own that is ahead of the driver; a library may be too old for a call.
NOT_THE_MACHINE = re.compile("CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE|undefined symbol")


class DriverError(Exception):
    """A call of the driver that did not succeed, under the driver's own name for it."""


def look() -> Facts:
    """What the library says: `loads`, `runtime` (such as 12.4), the visible `devices`, and a `problem` if any."""
    try:
        library = ctypes.CDLL(NAME)
    except OSError as error:
        return {"loads": False, "problem": clean(error, SHORT_CHARS)}
    facts: Facts = {"loads": True}
    try:
        ask(library, facts)
    except (DriverError, AttributeError, ValueError) as error:  # AttributeError: it is some other library
        facts["problem"] = clean(error, SHORT_CHARS)
    return facts


def ask(library: Any, facts: Facts) -> None:
    """Add what the library says to the facts, as far as it goes.

    Raises:
        DriverError: a call failed.
    """
    version, count = ctypes.c_int(), ctypes.c_int()
    _call(library, "cuDriverGetVersion", ctypes.byref(version))
    facts["runtime"] = "%d.%d" % (version.value // 1000, version.value % 1000 // 10)
    _call(library, "cuInit", 0)
    _call(library, "cuDeviceGetCount", ctypes.byref(count))
    facts["devices"] = [_device(library, index) for index in range(min(count.value, MOST_DEVICES))]


def _device(library: Any, index: int) -> Facts:
    handle, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    memory = ctypes.c_size_t()
    name = ctypes.create_string_buffer(256)
    digits = (ctypes.c_ubyte * 16)()
    _call(library, "cuDeviceGet", ctypes.byref(handle), index)
    _call(library, "cuDeviceGetName", name, len(name), handle)
    _call(library, "cuDeviceGetAttribute", ctypes.byref(major), MAJOR, handle)
    _call(library, "cuDeviceGetAttribute", ctypes.byref(minor), MINOR, handle)
    _call(library, "cuDeviceTotalMem_v2", ctypes.byref(memory), handle)
    _call(library, "cuDeviceGetUuid", ctypes.byref(digits), handle)
    return {
        "uuid": "GPU-%s" % uuid.UUID(bytes=bytes(digits)),
        "name": clean(name.value.decode("utf-8", "replace"), SHORT_CHARS),
        "capability": "%d.%d" % (major.value, minor.value),
        "memory_mb": memory.value // 2**20,
    }


def _call(library: Any, function: str, *arguments: Any) -> None:
    code = getattr(library, function)(*arguments)
    if code:
        text = ctypes.c_char_p()
        library.cuGetErrorName(code, ctypes.byref(text))
        raise DriverError("%s: %s" % (function, (text.value or b"CUDA error %d" % code).decode("ascii", "replace")))


def trouble(facts: Facts) -> Optional[str]:
    """Why the library shows no device, where that is this machine's doing; None where it is not.

    Args:
        facts: what `look` made of the library, or a `problem` of whoever asked.
    """
    problem = facts.get("problem")
    if facts.get("devices") or (problem and NOT_THE_MACHINE.search(problem)):
        return None
    return str(problem or "the driver's library shows no device")


def form_of_visible() -> str:
    """How CUDA_VISIBLE_DEVICES names the job's devices: `unset`, `empty`, `index`, `uuid`, `mig` or `other`.

    Frameworks read it differently: PyTorch before 2.0 took only numbers.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return "unset"
    words = [word.strip() for word in visible.split(",")]
    if words == [""]:
        return "empty"
    for form, fits in (("uuid", "GPU-"), ("mig", "MIG-")):
        if all(word.startswith(fits) for word in words):
            return form
    return "index" if all(word.isdigit() for word in words) else "other"


def processor() -> str:
    """The processor's name as the kernel has it, or an empty text."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model"):
                    return value.strip()[:SHORT_CHARS]
    except OSError:
        pass
    return ""
