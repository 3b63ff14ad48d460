"""Stand-in for TensorFlow: the calls that the probe makes, answered as the real build would on a simulated GPU.

What the real one writes to standard error from C++ is written there too. Arithmetic is done for real.
"""

from . import config, errors, math, nn, sysconfig, test
from ._build import BUILD
from ._device import device
from ._function import function
from ._tensor import Tensor, constant, float32
from .math import matmul, reduce_sum

__version__ = BUILD.version

__all__ = [
    "Tensor",
    "config",
    "constant",
    "device",
    "errors",
    "float32",
    "function",
    "math",
    "matmul",
    "nn",
    "reduce_sum",
    "sysconfig",
    "test",
]
