"""CuPy's calls for the probe, one function per rung; the driver calls them in a child process.

Everything of CuPy that is used, and nothing else is:

    cupy.__version__, cupy.float32, .float16, cupy.asarray(nested lists, dtype=), cupy.asnumpy(array),
        cupy.full(shape, value, dtype), cupy.matmul(a, b, out=), cupy.random.rand(rows, columns)
    cupy.cuda.runtime.is_hip (from 8.0 on), .runtimeGetVersion(), .driverGetVersion(), .getDeviceCount(),
        .getDeviceProperties(0)["name"]
    cupy.cuda.Device(0).compute_capability (text such as "80"), .synchronize()
    a @ b, a * b, array.sum(out=), .astype(dtype), .conj(), .dtype, .shape, .size, cupy.int32
    cupy.fft.rfft2(image, s=), .irfft2(spectrum, s=)
    cupy.cuda.cufft.getVersion()
    cupy.RawKernel(source, name)(grid, block, arguments)
    numpy.random.rand(rows, columns), a @ b: the processor's part of the workload

conda-forge builds CuPy without cuDNN (and CuPy 14 dropped it), so the rung `library` goes through cuFFT: a valid
cross-correlation is a product of spectra. Sums and products by element are compiled with NVRTC when they first run,
so an unusable compiler already stops the rung `kernel`. This file is named like the package that it imports, so the
driver loads it by its path and under another name.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, Dict, List, Tuple

Facts = Dict[str, Any]
Matrix = List[List[float]]
Answer = Tuple[str, Any]

FORMATS = ("float32", "float16")
BENCHES = ("matmul",)
LACKS = {"gradient": "CuPy derives no gradients"}

cupy: Any = None  # set by load()

KERNEL = r"""
extern "C" __global__ void square_plus(const float* x, float* y, int n) {
    int i = blockDim.x * blockIdx.x + threadIdx.x;
    if (i < n) y[i] = x[i] * x[i] + x[i];
}
"""
THREADS = 128


class CpuBuild(Exception):  # noqa: N818 (the name is what the verdict's rules read)
    """The package was built without CUDA."""


class NoDevice(Exception):  # noqa: N818
    """The framework sees no GPU and does not say why."""


def load() -> Facts:
    """Import the framework; what it says of itself."""
    global cupy
    cupy = importlib.import_module("cupy")
    return {"version": cupy.__version__}


def _dotted(number: int) -> str:
    """12040 as `12.4`."""
    return "%d.%d" % (number // 1000, number % 1000 // 10)


def cuda_build() -> Facts:
    """The CUDA runtime that the build is linked with."""
    if getattr(cupy.cuda.runtime, "is_hip", False):
        raise CpuBuild("cupy.cuda.runtime.is_hip is True: this CuPy %s is built for ROCm" % cupy.__version__)
    return {"cuda": _dotted(cupy.cuda.runtime.runtimeGetVersion())}


def device() -> Facts:
    """The device that the framework sees, and how many."""
    if cupy.cuda.runtime.driverGetVersion() == 0:
        # The runtime calls a missing driver one that is too old.
        raise NoDevice("cupy.cuda.runtime.driverGetVersion() is 0: found no NVIDIA driver")
    count = cupy.cuda.runtime.getDeviceCount()
    if count == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise NoDevice("cupy.cuda.runtime.getDeviceCount() is 0; CUDA_VISIBLE_DEVICES=%s" % visible)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    digits = cupy.cuda.Device(0).compute_capability
    return {
        "count": count,
        "device": name.decode("utf-8", "replace") if isinstance(name, bytes) else name,
        "capability": "%s.%s" % (digits[:-1], digits[-1]),
    }


def _put(values: Any, dtype: str = "float32") -> Any:
    return cupy.asarray(values, dtype=getattr(cupy, dtype))


def _poisoned(shape: Any, dtype: str = "float32") -> Any:
    return cupy.full(shape, float("nan"), getattr(cupy, dtype))


def _fetch(array: Any) -> Answer:
    cupy.cuda.Device(0).synchronize()  # an error of a kernel is raised here
    return str(array.dtype), cupy.asnumpy(array).tolist()


def copy(values: Matrix) -> Answer:
    """Nested lists to the device and back."""
    return _fetch(_put(values))


def matmul(a: Matrix, b: Matrix, form: str) -> Answer:
    """The product of two matrices, through cuBLAS, into memory full of NaN."""
    answer = _poisoned((len(a), len(b[0])), form)
    cupy.matmul(_put(a, form), _put(b, form), out=answer)
    return _fetch(answer)


def total(a: Matrix, form: str) -> Answer:
    """The sum of all elements, through a kernel of the framework's own, into memory full of NaN."""
    answer = _poisoned((), form)
    _put(a, form).sum(out=answer)
    return _fetch(answer)


def cudnn() -> Facts:
    """Nothing of cuDNN, which CuPy does without; loads cuFFT and raises when it does not fit the build."""
    importlib.import_module("cupy.cuda.cufft").getVersion()
    return {}


def conv(image: Matrix, kernel: Matrix) -> Answer:
    """The valid cross-correlation of an image with a kernel, through cuFFT."""
    pixels, weights = _put(image), _put(kernel)
    rows, columns = pixels.shape[0] - weights.shape[0] + 1, pixels.shape[1] - weights.shape[1] + 1
    # The spectrum's conjugate correlates where the spectrum itself would convolve; the valid part does not wrap.
    product = cupy.fft.rfft2(pixels) * cupy.fft.rfft2(weights, s=pixels.shape).conj()
    return _fetch(cupy.fft.irfft2(product, s=pixels.shape)[:rows, :columns])


def jit(values: Matrix) -> Answer:
    """x * x + x by element, in a kernel of ours that NVRTC compiles, into memory full of NaN."""
    x = _put(values)
    y = _poisoned(x.shape)
    blocks = (x.size + THREADS - 1) // THREADS
    cupy.RawKernel(KERNEL, "square_plus")((blocks,), (THREADS,), (x, y, cupy.int32(x.size)))
    return _fetch(y)


def bench(what: str, size: int, place: str) -> Callable[[int], None]:
    """A function that multiplies matrices so many times and waits for it; on the CPU, NumPy does."""
    module = cupy if place == "gpu" else importlib.import_module("numpy")
    a, b = (module.random.rand(size, size).astype("float32") for _ in range(2))

    def run(count: int) -> None:
        for _ in range(count):
            a @ b
        if place == "gpu":
            cupy.cuda.Device(0).synchronize()

    return run
