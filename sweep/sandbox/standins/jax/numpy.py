"""jax.numpy: arrays."""

from jaxlib._simgpu import arithmetic
from jaxlib.xla_client import Buffer, devices

float32, float16, bfloat16 = "float32", "float16", "bfloat16"


def _default():
    """The first GPU, or else the CPU."""
    try:
        return devices("gpu")[0]
    except RuntimeError:
        return devices("cpu")[0]


def asarray(values, dtype=float32):
    """An array of nested lists, on the default device."""
    return Buffer(*arithmetic.flatten(values), _default(), dtype)


def full(shape, fill_value, dtype=float32):
    """An array of one number, on the default device."""
    made = Buffer(*arithmetic.full(shape, fill_value), _default(), dtype)
    made._start("broadcast")
    return made


def matmul(a, b, precision=None):
    """The product of two matrices."""
    return a @ b


def maximum(a, number):
    """The elements, and 0 instead of negative ones."""
    if number != 0:
        raise NotImplementedError("the stand-in compares with 0 only")
    return a._rectified()


def sum(a):
    """The sum of all elements."""
    return a._total()
