"""JAX's calls for the probe, one function per rung; `driver.py` calls them in a child process.

Everything of JAX that is used, and nothing else is:

    jax.__version__
    the presence of jaxlib.cuda, jax_cuda12_plugin or jax_cuda13_plugin (looked for, not imported)
    jax._src.lib.cuda_versions.cuda_runtime_build_version() and .cudnn_get_version(): optional
    jax.devices("gpu") (raises RuntimeError when there is none), device.device_kind,
        device.compute_capability (optional; text such as "8.0")
    jax.numpy.float32, jax.numpy.asarray(nested lists, dtype=), jax.device_put(array, device)
    jax.numpy.matmul(a, b), jax.numpy.sum(a), a * a + a
    jax.lax.conv_general_dilated(lhs NCHW, rhs OIHW, window_strides=(1, 1), padding="VALID")
    jax.jit(function), array.block_until_ready(), array.tolist()

TF32 is left as it is: the driver's inputs are exact in it. Note that JAX compiles everything it runs,
so an unusable compiler already stops the rung `kernel`. This file is named like the package that it
imports, so the driver loads it by its path and under another name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any, Dict, List

Facts = Dict[str, Any]
Matrix = List[List[float]]

jax: Any = None  # set by load()


class CpuBuild(Exception):  # noqa: N818 (the name is what the verdict's rules read)
    """The package was built without CUDA."""


def load() -> Facts:
    """Import the framework; what it says of itself."""
    global jax
    # By default it takes three quarters of the device's memory at once.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax = importlib.import_module("jax")
    return {"version": jax.__version__}


def _present(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _version_number(name: str) -> Any:
    try:
        # Not public, and absent from many versions.
        return getattr(importlib.import_module("jax._src.lib").cuda_versions, name)()
    except Exception:
        return None


def cuda_build() -> Facts:
    """The CUDA runtime that the build was made for, as far as this version tells."""
    marks = ("jaxlib.cuda", "jax_cuda12_plugin", "jax_cuda13_plugin")
    # Older packages keep their CUDA code under other names; for them the rung `device` decides.
    older = jax.__version__.startswith(("0.1.", "0.2.", "0.3."))
    if not older and not any(_present(name) for name in marks):
        raise CpuBuild("none of %s is installed: this JAX %s has no CUDA" % (", ".join(marks), jax.__version__))
    runtime = _version_number("cuda_runtime_build_version")
    return {"cuda": "%d.%d" % (runtime // 1000, runtime % 1000 // 10) if runtime else None}


def _gpu() -> Any:
    return jax.devices("gpu")[0]


def device() -> Facts:
    """The device that the framework sees, and how many."""
    gpus = jax.devices("gpu")
    capability = getattr(gpus[0], "compute_capability", None)
    return {
        "count": len(gpus),
        "device": gpus[0].device_kind,
        "capability": str(capability) if capability is not None else None,
    }


def _put(values: Any) -> Any:
    # device_put alone would take nested lists for a tree of scalars.
    return jax.device_put(jax.numpy.asarray(values, dtype=jax.numpy.float32), _gpu())


def _fetch(array: Any) -> Any:
    return array.block_until_ready().tolist()


def copy(values: Matrix) -> Any:
    """Nested lists to the device and back."""
    return _fetch(_put(values))


def matmul(a: Matrix, b: Matrix) -> Any:
    """The product of two matrices."""
    return _fetch(jax.numpy.matmul(_put(a), _put(b)))


def total(a: Matrix) -> Any:
    """The sum of all elements."""
    return _fetch(jax.numpy.sum(_put(a)))


def cudnn() -> Facts:
    """The version of cuDNN that is loaded, as far as this version tells."""
    version = _version_number("cudnn_get_version")
    return {"cudnn": str(version)} if version else {}


def conv(image: Matrix, kernel: Matrix) -> Any:
    """The valid cross-correlation of an image with a kernel, through cuDNN."""
    answer = jax.lax.conv_general_dilated(_put([[image]]), _put([[kernel]]), window_strides=(1, 1), padding="VALID")
    return _fetch(answer)[0][0]


def _square_plus(x: Any) -> Any:
    return x * x + x


def jit(values: Matrix) -> Any:
    """x * x + x by element, compiled as one function."""
    return _fetch(jax.jit(_square_plus)(_put(values)))
