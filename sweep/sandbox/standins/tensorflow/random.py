"""tf.random: uniform numbers."""

from ._simgpu import arithmetic
from ._tensor import Tensor, launch


def uniform(shape):
    """Random numbers from 0 to 1."""
    return Tensor(*arithmetic.uniform(shape), launch("RandomUniform"))
