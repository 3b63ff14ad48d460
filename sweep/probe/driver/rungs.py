"""The ladder: each rung calls the framework's probe file, and checks what comes back.

A rung is passed when its function returns. A framework that has nothing like a rung says so in its probe's `LACKS`,
and the rung is skipped for that reason.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable, Dict, Optional, Tuple

from .checks import (
    FORMATS,
    LOWEST,
    check,
    random_matrix,
    reference_conv,
    reference_matmul,
    reference_step,
)
from .common import SHORT_CHARS, Facts, WrongDevice, WrongResult, attach, clean, describe, note

# How an operation that does not exist for a number format is refused. PyTorch: aten/src/ATen/Dispatch.h, before 1.5
# its code generator; TensorFlow: core/framework/op_kernel.cc, core/common_runtime/placer.cc and eager/execute.cc, and
# the status UNIMPLEMENTED, which XLA has too; cuBLAS: the library's manual, status codes.
NO_OPERATION = re.compile(
    r"not implemented for |No OpKernel was registered|Could not find device for node|"
    r"no supported kernel for GPU devices|Supported device types \[CPU\]|"
    r"^UnimplementedError:|UNIMPLEMENTED:|not supported on \w+ for |CUBLAS_STATUS_NOT_SUPPORTED"
)
RATE = 0.25  # of the step along the gradient; a power of two keeps it exact


def imported(probe: Any, capability: str) -> Facts:
    """The framework imports, and says its version."""
    facts: Facts = probe.load()
    return facts


def cuda_build(probe: Any, capability: str) -> Facts:
    """It is a build with CUDA; the runtime, cuDNN and architectures that it was made for."""
    facts: Facts = probe.cuda_build()
    return facts


def device(probe: Any, capability: str) -> Facts:
    """One device, of the capability that the job asked for."""
    facts: Facts = probe.device()
    if facts["count"] != 1:
        raise WrongDevice("the framework sees %d devices instead of one" % facts["count"])
    seen = facts.get("capability")
    # Some versions do not tell; the slot's own description has it then.
    if seen is not None and seen != capability:
        raise WrongDevice("the device has compute capability %s; the job asked for %s" % (seen, capability))
    return facts


def copy(probe: Any, capability: str) -> None:
    """What goes to the device comes back the same."""
    values = random_matrix(64, 64)
    check("copy", probe.copy(values), values)


def kernel(probe: Any, capability: str) -> Facts:
    """A matrix product and a sum are right, in every number format that the framework and the device have."""
    formats: Dict[str, str] = {}
    for name in probe.FORMATS:
        if _pair(capability) < LOWEST.get(name, (0, 0)):
            formats[name] = "skipped: needs capability %d.%d" % LOWEST[name]
            continue
        try:
            _arithmetic(probe, name)
        except Exception as error:
            if name == "float32" or not lacks_format(error):
                formats[name] = "failed"
                if name != "float32" and not isinstance(error, WrongResult):
                    note(error, "in " + name)
                attach(error, {"formats": formats})
                raise
            formats[name] = "skipped: the framework has no such operation: %s" % describe(error).split("\n")[0]
        else:
            formats[name] = "passed"
    return {"formats": formats}


def lacks_format(error: Exception) -> bool:
    """Whether an error says that an operation does not exist for a number format, and not that it fails."""
    said = "%s: %s" % (type(error).__name__, error)
    return isinstance(error, (AttributeError, NotImplementedError)) or NO_OPERATION.search(said) is not None


def _arithmetic(probe: Any, name: str) -> None:
    form = FORMATS[name]
    label = "" if name == "float32" else " in " + name
    a, b = (random_matrix(form.size, form.size, form.steps) for _ in range(2))
    check("matrix product" + label, probe.matmul(a, b, name), reference_matmul(a, b), form.dtype)
    rows = a[: form.summed]
    check("sum" + label, probe.total(rows, name), math.fsum(map(math.fsum, rows)), form.dtype)


def library(probe: Any, capability: str) -> Facts:
    """A convolution through cuDNN (or what the framework has instead) is right."""
    facts: Facts = probe.cudnn()
    image, weights = random_matrix(12, 12), random_matrix(3, 3)
    check("convolution", probe.conv(image, weights), reference_conv(image, weights))
    return facts


def gradient(probe: Any, capability: str) -> None:
    """One step along the gradient, which the framework derives by itself, is right."""
    x, w, t = (random_matrix(8, 8, 4) for _ in range(3))
    check("step along the gradient", probe.gradient(x, w, t, RATE), reference_step(x, w, t, RATE))


def jit(probe: Any, capability: str) -> None:
    """A function that the framework compiled on the spot is right."""
    values = random_matrix(64, 64)
    check("compiled function", probe.jit(values), [[x * x + x for x in row] for row in values])


LADDER: Dict[str, Callable[[Any, str], Optional[Facts]]] = {
    "import": imported,
    "cuda-build": cuda_build,
    "device": device,
    "copy": copy,
    "kernel": kernel,
    "library": library,
    "gradient": gradient,
    "jit": jit,
}
RUNGS = tuple(LADDER)


def tidy(facts: Facts) -> Facts:
    """A framework's own words as plain, bounded JSON."""
    plain: Facts = {}
    for key in ("version", "cuda", "cudnn", "device", "capability"):
        if facts.get(key) is not None:
            plain[key] = clean(facts[key], SHORT_CHARS)
    if "archs" in facts:
        plain["archs"] = [clean(arch, SHORT_CHARS) for arch in facts["archs"]][:64]
    if "formats" in facts:
        plain["formats"] = {name: clean(said, SHORT_CHARS) for name, said in facts["formats"].items()}
    return plain


def _pair(capability: str) -> Tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor or 0)
