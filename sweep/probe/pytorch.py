"""PyTorch's calls for the probe, one function per rung; the driver calls them in a child process.

Everything of PyTorch that is used, and nothing else is:

    torch.__version__, torch.version.cuda
    torch.cuda.get_arch_list() (from 1.6 on), .init(), .device_count(), .get_device_name(0),
        .get_device_capability(0), .synchronize()
    torch.device(name), torch.float32, .float16, .bfloat16, torch.tensor(nested lists, dtype=, device=),
        torch.full(shape, value, dtype=, device=), torch.rand(*shape, device=), torch.no_grad()
    torch.mm(a, b, out=), a @ b, a * a + a, a - b, .sum(), .cpu().tolist(), .item(), .dtype, .data_ptr(),
        .requires_grad_(), .backward(), .grad, .relu()
    torch.backends.cuda.matmul.allow_tf32 (from 1.7 on)
    torch.backends.cudnn.is_available(), .version(), .allow_tf32 (from 1.7 on)
    torch.nn.functional.conv2d(input NCHW, weight OIHW)
    torch.compile(function), or torch.jit.script(function) where there is no torch.compile (before 2.0)
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, Dict, List, Tuple

Facts = Dict[str, Any]
Matrix = List[List[float]]
Answer = Tuple[str, Any]

PLACE = "cuda:0"
FORMATS = ("float32", "float16", "bfloat16", "tf32")
BENCHES = ("matmul", "conv", "train")
LACKS: Dict[str, str] = {}

torch: Any = None  # set by load()


class CpuBuild(Exception):  # noqa: N818 (the name is what the verdict's rules read)
    """The package was built without CUDA."""


class NoDevice(Exception):  # noqa: N818
    """The framework sees no GPU and does not say why."""


def load() -> Facts:
    """Import the framework; what it says of itself."""
    global torch
    torch = importlib.import_module("torch")
    return {"version": torch.__version__}


def cuda_build() -> Facts:
    """The CUDA runtime and the architectures that the build was made for."""
    if not torch.version.cuda:
        raise CpuBuild("torch.version.cuda is None: this PyTorch %s has no CUDA" % torch.__version__)
    # The list is empty where no device is usable; the next rung says why.
    archs: List[str] = getattr(torch.cuda, "get_arch_list", list)()
    return {"cuda": torch.version.cuda, "archs": archs}


def device() -> Facts:
    """The device that the framework sees, and how many."""
    # is_available() turns the reason into a warning; init() raises it.
    torch.cuda.init()
    count = torch.cuda.device_count()
    if count == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise NoDevice("torch.cuda.device_count() is 0; CUDA_VISIBLE_DEVICES=%s" % visible)
    major, minor = torch.cuda.get_device_capability(0)
    return {
        "count": count,
        "device": torch.cuda.get_device_name(0),
        "capability": "%d.%d" % (major, minor),
    }


def _put(values: Any, dtype: str = "float32") -> Any:
    return torch.tensor(values, dtype=getattr(torch, dtype), device=torch.device(PLACE))


def _fetch(tensor: Any) -> Answer:
    _wait(PLACE)  # an error of a kernel is raised here, and not at some later call
    return str(tensor.dtype).replace("torch.", ""), tensor.cpu().tolist()


def _wait(place: str) -> None:
    if place != "cpu":
        torch.cuda.synchronize()


def _poisoned(rows: int, columns: int, dtype: str) -> Any:
    return torch.full((rows, columns), float("nan"), dtype=getattr(torch, dtype), device=torch.device(PLACE))


def _allow_tf32(allowed: bool) -> None:
    torch.backends.cudnn.allow_tf32 = allowed  # before 1.7 nothing reads it
    matmul = getattr(getattr(torch.backends, "cuda", None), "matmul", None)
    if matmul is not None:
        matmul.allow_tf32 = allowed


def copy(values: Matrix) -> Answer:
    """Nested lists to the device and back."""
    return _fetch(_put(values))


def matmul(a: Matrix, b: Matrix, form: str) -> Answer:
    """The product of two matrices, through cuBLAS, into memory full of NaN."""
    dtype = "float32" if form == "tf32" else form
    _allow_tf32(form == "tf32")
    try:
        answer = _poisoned(len(a), len(b[0]), dtype)
        torch.mm(_put(a, dtype), _put(b, dtype), out=answer)
        return _fetch(answer)
    finally:
        _allow_tf32(False)


def total(a: Matrix, form: str) -> Answer:
    """The sum of all elements, through a kernel of the framework's own."""
    dtype = "float32" if form == "tf32" else form
    values = _put(a, dtype)
    _poisoned(1, 1, dtype)  # the allocator hands the memory that this frees to the sum
    return _fetch(values.sum())


def cudnn() -> Facts:
    """The version of cuDNN that is loaded."""
    if not torch.backends.cudnn.is_available():
        raise RuntimeError("torch.backends.cudnn.is_available() is False")
    # Loads the library and raises when it does not fit the build.
    return {"cudnn": str(torch.backends.cudnn.version())}


def conv(image: Matrix, kernel: Matrix) -> Answer:
    """The valid cross-correlation of an image with a kernel, through cuDNN."""
    _allow_tf32(False)  # which cuDNN may use unless it is told not to
    pixels, weights = _put([[image]]), _put([[kernel]])
    _poisoned(len(image) - len(kernel) + 1, len(image[0]) - len(kernel[0]) + 1, "float32")
    dtype, values = _fetch(torch.nn.functional.conv2d(pixels, weights))
    return dtype, values[0][0]


def gradient(x: Matrix, w: Matrix, t: Matrix, rate: float) -> Answer:
    """`w` after one step along the gradient of the sum of squares of `x w - t`."""
    weights = _put(w).requires_grad_()
    errors = _put(x) @ weights - _put(t)
    (errors * errors).sum().backward()
    with torch.no_grad():
        return _fetch(weights - weights.grad * rate)


# torch.jit.script takes an argument without annotation for a tensor.
def _square_plus(x):  # type: ignore[no-untyped-def]
    return x * x + x


def jit(values: Matrix) -> Answer:
    """x * x + x by element, compiled by the framework's just-in-time compiler."""
    compiler = getattr(torch, "compile", None) or torch.jit.script
    return _fetch(compiler(_square_plus)(_put(values)))


def bench(what: str, size: int, place: str) -> Callable[[int], None]:
    """A function that does the work so many times and waits for it; see the driver's `speed`."""
    where = PLACE if place == "gpu" else "cpu"

    def rand(*shape: int) -> Any:
        return torch.rand(*shape, device=torch.device(where))

    if what == "matmul":
        a, b = rand(size, size), rand(size, size)
        step: Callable[[], Any] = lambda: a @ b  # noqa: E731
    elif what == "conv":
        image, weights = rand(size, size, 16, 16), rand(size, size, 3, 3)
        step = lambda: torch.nn.functional.conv2d(image, weights)  # noqa: E731
    else:
        step = _training(size, rand)

    def run(count: int) -> None:
        for _ in range(count):
            step()
        _wait(where)

    return run


def _training(size: int, rand: Callable[..., Any]) -> Callable[[], None]:
    x, t = rand(size, 128), rand(size, 16)
    layers = [(rand(*shape) * 0.01).requires_grad_() for shape in ((128, 128), (128, 16))]

    def step() -> None:
        errors = (x @ layers[0]).relu() @ layers[1] - t
        (errors * errors).sum().backward()
        with torch.no_grad():
            for weights in layers:
                weights -= weights.grad * 1e-6
                weights.grad = None

    return step
