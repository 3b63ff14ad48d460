"""Stand-in for PyTorch: the calls that the probe makes, answered as the real build would on a simulated GPU.

Its own words and error classes are kept. Arithmetic is done for real, in plain Python.
"""

from . import _build, _dynamo, _inductor, backends, cuda, nn, version
from ._compile import compile
from ._tensor import Tensor, bfloat16, device, float16, float32, full, mm, no_grad, rand, tensor

if _build.BUILD.missing():
    # The dynamic linker's words: the real package is linked against its libraries.
    raise ImportError(f"{_build.BUILD.missing()[0]}: cannot open shared object file: No such file or directory")

__version__ = version.__version__
AcceleratorError = _build.AcceleratorError

__all__ = [
    "AcceleratorError",
    "Tensor",
    "_dynamo",
    "_inductor",
    "backends",
    "bfloat16",
    "compile",
    "cuda",
    "device",
    "float16",
    "float32",
    "full",
    "mm",
    "nn",
    "no_grad",
    "rand",
    "tensor",
    "version",
]
