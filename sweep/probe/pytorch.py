"""PyTorch's calls for the probe, one function per rung; `driver.py` calls them in a child process.

Everything of PyTorch that is used, and nothing else is:

    torch.__version__, torch.version.cuda
    torch.cuda.get_arch_list(), .init(), .device_count(), .get_device_name(0), .get_device_capability(0),
        .synchronize()
    torch.device("cuda:0"), torch.float32, torch.tensor(nested lists, dtype=, device=)
    a @ b, a * a + a, .sum(), .cpu().tolist(), .item()
    torch.backends.cudnn.is_available(), .version()
    torch.nn.functional.conv2d(input NCHW, weight OIHW)
    torch.compile(function), or torch.jit.script(function) where there is no torch.compile (before 2.0)

TF32 is left as it is: the driver's inputs are exact in it.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Dict, List

Facts = Dict[str, Any]
Matrix = List[List[float]]

torch: Any = None  # set by load()


class CpuBuild(Exception):  # noqa: N818 (the name is what the verdict's rules read)
    """The package was built without CUDA."""


class NoDevice(Exception):  # noqa: N818
    """The framework sees no GPU and does not say why."""


def load() -> Facts:
    """Import the framework; what it says of itself."""
    global torch
    # The compiler's default cache lies in /tmp under the user's name, and slot users may have none.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.abspath("inductor-cache"))
    torch = importlib.import_module("torch")
    return {"version": torch.__version__}


def cuda_build() -> Facts:
    """The CUDA runtime and the architectures that the build was made for."""
    if not torch.version.cuda:
        raise CpuBuild("torch.version.cuda is None: this PyTorch %s has no CUDA" % torch.__version__)
    # The list is empty where no device is usable; the next rung says why.
    return {"cuda": torch.version.cuda, "archs": list(torch.cuda.get_arch_list())}


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


def _put(values: Any) -> Any:
    return torch.tensor(values, dtype=torch.float32, device=torch.device("cuda:0"))


def copy(values: Matrix) -> Any:
    """Nested lists to the device and back."""
    tensor = _put(values)
    torch.cuda.synchronize()
    return tensor.cpu().tolist()


def matmul(a: Matrix, b: Matrix) -> Any:
    """The product of two matrices, through cuBLAS."""
    return (_put(a) @ _put(b)).cpu().tolist()


def total(a: Matrix) -> Any:
    """The sum of all elements, through a kernel of the framework's own."""
    return _put(a).sum().item()


def cudnn() -> Facts:
    """The version of cuDNN that is loaded."""
    if not torch.backends.cudnn.is_available():
        raise RuntimeError("torch.backends.cudnn.is_available() is False")
    # Loads the library and raises when it does not fit the build.
    return {"cudnn": str(torch.backends.cudnn.version())}


def conv(image: Matrix, kernel: Matrix) -> Any:
    """The valid cross-correlation of an image with a kernel, through cuDNN."""
    answer = torch.nn.functional.conv2d(_put([[image]]), _put([[kernel]]))
    return answer.cpu().tolist()[0][0]


# torch.jit.script takes an argument without annotation for a tensor.
def _square_plus(x):  # type: ignore[no-untyped-def]
    return x * x + x


def jit(values: Matrix) -> Any:
    """x * x + x by element, compiled by the framework's just-in-time compiler."""
    compiler = getattr(torch, "compile", None) or torch.jit.script
    return compiler(_square_plus)(_put(values)).cpu().tolist()
