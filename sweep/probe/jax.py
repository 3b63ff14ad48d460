"""JAX's calls for the probe, one function per rung; the driver calls them in a child process.

Everything of JAX that is used, and nothing else is:

    jax.__version__
    the presence of jaxlib.cuda, jax_cuda12_plugin or jax_cuda13_plugin (looked for, not imported)
    jax._src.lib.cuda_versions.cuda_runtime_build_version() and .cudnn_get_version(): optional
    jax.devices("gpu") (raises RuntimeError when there is none), device.device_kind,
        device.compute_capability (optional; text such as "8.0")
    jax.numpy.float32, .float16, .bfloat16, jax.numpy.asarray(nested lists, dtype=), .full(shape, value, dtype),
        jax.device_put(array, device), array.delete()
    jax.numpy.matmul(a, b, precision=), jax.numpy.sum(a), .maximum(a, number), a * a + a, a - b
    jax.lax.conv_general_dilated(lhs NCHW, rhs OIHW, window_strides=(1, 1), padding="VALID", precision=),
        jax.lax.Precision.HIGHEST, .HIGH
    jax.grad(function, argnums=), jax.jit(function), jax.random.PRNGKey(0), .uniform(key, shape)
    array.block_until_ready(), .dtype, .astype(dtype), .tolist()

JAX compiles everything it runs, so an unusable compiler already stops the rung `kernel`. This file is named like the
package that it imports, so the driver loads it by its path and under another name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any, Callable, Dict, List, Tuple

Facts = Dict[str, Any]
Matrix = List[List[float]]
Answer = Tuple[str, Any]

PLACE = "gpu"
FORMATS = ("float32", "float16", "bfloat16", "tf32")
BENCHES = ("matmul", "conv", "train")
LACKS: Dict[str, str] = {}

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


def device() -> Facts:
    """The device that the framework sees, and how many."""
    gpus = jax.devices(PLACE)
    capability = getattr(gpus[0], "compute_capability", None)
    return {
        "count": len(gpus),
        "device": gpus[0].device_kind,
        "capability": str(capability) if capability is not None else None,
    }


def _put(values: Any, dtype: str = "float32") -> Any:
    # device_put alone would take nested lists for a tree of scalars.
    return jax.device_put(jax.numpy.asarray(values, dtype=getattr(jax.numpy, dtype)), jax.devices(PLACE)[0])


def _fetch(array: Any) -> Answer:
    array.block_until_ready()  # an error of a kernel is raised here
    dtype = str(array.dtype)
    return dtype, (array if dtype == "float32" else array.astype(jax.numpy.float32)).tolist()


def _poison(shape: Tuple[int, ...], dtype: str = "float32") -> None:
    """Leave NaN in memory of the device of that size; the allocator hands it to the next who asks."""
    poison = jax.device_put(jax.numpy.full(shape, float("nan"), getattr(jax.numpy, dtype)), jax.devices(PLACE)[0])
    poison.block_until_ready()
    poison.delete()


def copy(values: Matrix) -> Answer:
    """Nested lists to the device and back."""
    return _fetch(_put(values))


def matmul(a: Matrix, b: Matrix, form: str) -> Answer:
    """The product of two matrices."""
    dtype = "float32" if form == "tf32" else form
    precision = jax.lax.Precision.HIGH if form == "tf32" else jax.lax.Precision.HIGHEST
    left, right = _put(a, dtype), _put(b, dtype)
    _poison((len(a), len(b[0])), dtype)
    return _fetch(jax.numpy.matmul(left, right, precision=precision))


def total(a: Matrix, form: str) -> Answer:
    """The sum of all elements."""
    dtype = "float32" if form == "tf32" else form
    values = _put(a, dtype)
    _poison((1,), dtype)
    return _fetch(jax.numpy.sum(values))


def cudnn() -> Facts:
    """The version of cuDNN that is loaded, as far as this version tells."""
    version = _version_number("cudnn_get_version")
    return {"cudnn": str(version)} if version else {}


def _conv(image: Any, kernel: Any, precision: Any = None) -> Any:
    return jax.lax.conv_general_dilated(image, kernel, window_strides=(1, 1), padding="VALID", precision=precision)


def conv(image: Matrix, kernel: Matrix) -> Answer:
    """The valid cross-correlation of an image with a kernel, through cuDNN."""
    pixels, weights = _put([[image]]), _put([[kernel]])
    _poison((len(image) - len(kernel) + 1, len(image[0]) - len(kernel[0]) + 1))
    dtype, values = _fetch(_conv(pixels, weights, jax.lax.Precision.HIGHEST))  # which keeps it from TF32
    return dtype, values[0][0]


def gradient(x: Matrix, w: Matrix, t: Matrix, rate: float) -> Answer:
    """`w` after one step along the gradient of the sum of squares of `x w - t`."""
    samples, weights, targets = _put(x), _put(w), _put(t)

    def loss(weights: Any) -> Any:
        errors = jax.numpy.matmul(samples, weights) - targets
        return jax.numpy.sum(errors * errors)

    return _fetch(weights - jax.grad(loss)(weights) * rate)


def _square_plus(x: Any) -> Any:
    return x * x + x


def jit(values: Matrix) -> Answer:
    """x * x + x by element, compiled as one function."""
    return _fetch(jax.jit(_square_plus)(_put(values)))


def bench(what: str, size: int, place: str) -> Callable[[int], None]:
    """A function that does the work so many times and waits for it; see the driver's `speed`."""
    where = jax.devices(PLACE if place == "gpu" else "cpu")[0]

    def uniform(*shape: int) -> Any:
        return jax.device_put(jax.random.uniform(jax.random.PRNGKey(0), shape), where)

    if what == "matmul":
        a, b = uniform(size, size), uniform(size, size)
        step: Callable[[], Any] = lambda: jax.numpy.matmul(a, b)  # noqa: E731
    elif what == "conv":
        image, weights = uniform(size, size, 16, 16), uniform(size, size, 3, 3)
        step = lambda: _conv(image, weights)  # noqa: E731
    else:
        step = _training(size, uniform)

    def run(count: int) -> None:
        for _ in range(count):
            answer = step()
        answer.block_until_ready()

    return run


def _training(size: int, uniform: Callable[..., Any]) -> Callable[[], Any]:
    x, t = uniform(size, 128), uniform(size, 16)
    layers = [uniform(128, 128) * 0.01, uniform(128, 16) * 0.01]

    def loss(first: Any, second: Any) -> Any:
        hidden = jax.numpy.maximum(jax.numpy.matmul(x, first), 0.0)
        errors = jax.numpy.matmul(hidden, second) - t
        return jax.numpy.sum(errors * errors)

    slopes = jax.jit(jax.grad(loss, argnums=(0, 1)))

    def step() -> Any:
        layers[:] = [weights - slope * 1e-6 for weights, slope in zip(layers, slopes(*layers))]
        return layers[1]

    return step
