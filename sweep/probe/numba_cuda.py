"""numba-cuda's calls for the probe, one function per rung; the driver calls them in a child process.

Everything of numba-cuda that is used, and nothing else is:

    numba_cuda.__version__, and from numba.cuda, which it stands in for:
    cuda.runtime.get_version() (a pair such as (12, 4))
    cuda.gpus (its length; raises the driver's own reason when there is none),
        cuda.get_current_device().name, .compute_capability (a pair)
    cuda.jit(function), kernel[blocks, threads](arrays), cuda.grid(2), cuda.atomic.add(array, index, value)
    cuda.to_device(array), device_array.copy_to_host()
    cuda.shared.array(shape, type), cuda.syncthreads(), cuda.threadIdx, numba.float32
    cuda.synchronize(), device_array.dtype
    numpy.array(nested lists, numpy.float32), .full(shape, value, numpy.float32), .random.rand(rows, columns)

Every kernel is compiled on the spot by NVVM, so an unusable compiler already stops the rung `kernel`. There is no
library of compiled kernels behind it: the rung `library` is a convolution of our own, and the rung `jit` one that
needs shared memory and a barrier. This file is named like the package that it imports, so the driver loads it by its
path and under another name.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, Dict, List, Tuple

Facts = Dict[str, Any]
Matrix = List[List[float]]
Answer = Tuple[str, Any]

FORMATS = ("float32",)
BENCHES = ("matmul",)
LACKS = {"gradient": "numba-cuda derives no gradients"}

numba: Any = None  # set by load()
numpy: Any = None
cuda: Any = None

SIDE = 16  # threads of a block in each direction


class NoDevice(Exception):  # noqa: N818 (the name is what the verdict's rules read)
    """The framework sees no GPU and does not say why."""


def load() -> Facts:
    """Import the framework; what it says of itself."""
    global numba, numpy, cuda
    numba_cuda = importlib.import_module("numba_cuda")
    numpy = importlib.import_module("numpy")
    numba = importlib.import_module("numba")
    cuda = importlib.import_module("numba.cuda")
    return {"version": numba_cuda.__version__}


def cuda_build() -> Facts:
    """The CUDA runtime beside it; nothing of numba-cuda itself is compiled for one."""
    return {"cuda": "%d.%d" % tuple(cuda.runtime.get_version())}


def device() -> Facts:
    """The device that the framework sees, and how many."""
    count = len(cuda.gpus)  # is_available() hides the reason; this raises it
    if count == 0:
        raise NoDevice("len(cuda.gpus) is 0; CUDA_VISIBLE_DEVICES=%s" % os.environ.get("CUDA_VISIBLE_DEVICES"))
    current = cuda.get_current_device()
    name = current.name
    return {
        "count": count,
        "device": name.decode("utf-8", "replace") if isinstance(name, bytes) else name,
        "capability": "%d.%d" % tuple(current.compute_capability),
    }


def _put(values: Any) -> Any:
    return cuda.to_device(numpy.array(values, numpy.float32))


def _fetch(array: Any) -> Answer:
    cuda.synchronize()  # an error of a kernel is raised here
    host = array.copy_to_host()
    return str(host.dtype), host.tolist()


def _blocks(rows: int, columns: int) -> Tuple[int, int]:
    return (rows + SIDE - 1) // SIDE, (columns + SIDE - 1) // SIDE


def _launch(kernel: Any, rows: int, columns: int, *arguments: Any) -> Answer:
    """Run a kernel of one thread per element of its answer, which is its last argument and full of NaN before."""
    answer = cuda.to_device(numpy.full((rows, columns), numpy.nan, numpy.float32))
    cuda.jit(kernel)[_blocks(rows, columns), (SIDE, SIDE)](*arguments, answer)
    return _fetch(answer)


def copy(values: Matrix) -> Answer:
    """Nested lists to the device and back."""
    return _fetch(_put(values))


def _matmul(a, b, answer):  # type: ignore[no-untyped-def]
    i, j = cuda.grid(2)
    if i < answer.shape[0] and j < answer.shape[1]:
        value = numba.float32(0)
        for k in range(a.shape[1]):
            value += a[i, k] * b[k, j]
        answer[i, j] = value


def matmul(a: Matrix, b: Matrix, form: str) -> Answer:
    """The product of two matrices."""
    return _launch(_matmul, len(a), len(b[0]), _put(a), _put(b))


def _total(a, answer):  # type: ignore[no-untyped-def]
    i, j = cuda.grid(2)
    if i < a.shape[0] and j < a.shape[1]:
        cuda.atomic.add(answer, (0, 0), a[i, j])


def total(a: Matrix, form: str) -> Answer:
    """The sum of all elements, by atomic additions."""
    answer = _put([[0.0]])
    cuda.jit(_total)[_blocks(len(a), len(a[0])), (SIDE, SIDE)](_put(a), answer)
    dtype, values = _fetch(answer)
    return dtype, values[0][0]


def cudnn() -> Facts:
    """Nothing: numba-cuda uses no cuDNN."""
    return {}


def _conv(image, weights, answer):  # type: ignore[no-untyped-def]
    i, j = cuda.grid(2)
    if i < answer.shape[0] and j < answer.shape[1]:
        value = numba.float32(0)
        for r in range(weights.shape[0]):
            for c in range(weights.shape[1]):
                value += image[i + r, j + c] * weights[r, c]
        answer[i, j] = value


def conv(image: Matrix, kernel: Matrix) -> Answer:
    """The valid cross-correlation of an image with a kernel."""
    rows, columns = len(image) - len(kernel) + 1, len(image[0]) - len(kernel[0]) + 1
    return _launch(_conv, rows, columns, _put(image), _put(kernel))


def _square_plus(x, answer):  # type: ignore[no-untyped-def]
    tile = cuda.shared.array((SIDE, SIDE), numba.float32)
    i, j = cuda.grid(2)
    if i < x.shape[0] and j < x.shape[1]:
        tile[cuda.threadIdx.x, cuda.threadIdx.y] = x[i, j]
    cuda.syncthreads()
    # Each thread answers for the one opposite, whose element is there only if the barrier works.
    other, another = SIDE - 1 - cuda.threadIdx.x, SIDE - 1 - cuda.threadIdx.y
    i, j = i - cuda.threadIdx.x + other, j - cuda.threadIdx.y + another
    if i < x.shape[0] and j < x.shape[1]:
        value = tile[other, another]
        answer[i, j] = value * value + value


def jit(values: Matrix) -> Answer:
    """x * x + x by element, through shared memory."""
    return _launch(_square_plus, len(values), len(values[0]), _put(values))


def bench(what: str, size: int, place: str) -> Callable[[int], None]:
    """A function that multiplies matrices so many times and waits for it; on the CPU, NumPy does."""
    a, b = (numpy.random.rand(size, size).astype(numpy.float32) for _ in range(2))
    if place == "cpu":

        def run(count: int) -> None:
            for _ in range(count):
                a @ b

        return run
    left, right, answer = (cuda.to_device(array) for array in (a, b, a))
    kernel = cuda.jit(_matmul)

    def launch(count: int) -> None:
        for _ in range(count):
            kernel[_blocks(size, size), (SIDE, SIDE)](left, right, answer)
        cuda.synchronize()

    return launch
