"""tf.math: product and sum."""


def matmul(a, b):
    """The product of two matrices."""
    return a @ b


def reduce_sum(a):
    """The sum of all elements."""
    return a._total()
