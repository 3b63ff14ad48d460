"""Stand-in for TensorFlow: the calls that the probe makes, answered as the real build would on a simulated GPU.

What the real one writes to standard error from C++ is written there too. Arithmetic is done for real.
"""

from . import config, errors, math, nn, random, sysconfig, test
from ._build import BUILD
from ._device import device
from ._function import function
from ._tape import GradientTape
from ._tensor import Tensor, bfloat16, cast, constant, fill, float16, float32
from .math import matmul, reduce_sum

__version__ = BUILD.version

__all__ = [
    "GradientTape",
    "Tensor",
    "bfloat16",
    "cast",
    "config",
    "constant",
    "device",
    "errors",
    "fill",
    "float16",
    "float32",
    "function",
    "math",
    "matmul",
    "nn",
    "random",
    "reduce_sum",
    "sysconfig",
    "test",
]
