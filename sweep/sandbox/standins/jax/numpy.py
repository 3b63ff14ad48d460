"""jax.numpy: arrays of float32."""

from jaxlib._simgpu import arithmetic
from jaxlib.xla_client import Buffer, devices

float32 = "float32"


def asarray(values, dtype=float32):
    """An array of nested lists, on the default device: the first GPU, or else the CPU."""
    if dtype != float32:
        raise NotImplementedError("the stand-in has float32 only")
    try:
        device = devices("gpu")[0]
    except RuntimeError:
        device = devices("cpu")[0]
    flat, shape = arithmetic.flatten(values)
    return Buffer(flat, shape, device)


def matmul(a, b):
    """The product of two matrices."""
    return a._result(*arithmetic.matmul(a._flat, a.shape, b._flat, b.shape))


def sum(a):
    """The sum of all elements."""
    return a._result(arithmetic.total(a._flat), ())
