"""Arrays of float32, computed in plain Python: small, slow and right. Standard library only.

Sums are kept in double precision and rounded once at the end, which is at least as exact as a GPU.
"""

import operator
from array import array


def flatten(values):
    """Nested lists as (flat float32 array, shape)."""
    shape = []
    level = values
    while isinstance(level, (list, tuple)):
        shape.append(len(level))
        level = level[0] if level else 0.0
    flat = [values]
    for size in shape:
        if any(len(row) != size for row in flat):
            raise ValueError("the nested lists are not rectangular")
        flat = [item for row in flat for item in row]
    return array("f", flat), tuple(shape)


def nest(flat, shape):
    """The inverse of `flatten`; a number for the empty shape."""
    level = list(flat)
    for size in reversed(shape[1:]):
        level = [level[i : i + size] for i in range(0, len(level), size)]
    return level if shape else level[0]


def matmul(a, a_shape, b, b_shape):
    """The product of two matrices."""
    (rows, inner), (depth, columns) = a_shape, b_shape
    if inner != depth:
        raise ValueError(f"shapes {a_shape!r} and {b_shape!r} cannot be multiplied")
    left = [a[i * inner : (i + 1) * inner].tolist() for i in range(rows)]
    right = [b[j::columns].tolist() for j in range(columns)]
    return array("f", [sum(map(operator.mul, row, column)) for row in left for column in right]), (rows, columns)


def total(flat):
    """The sum of all elements, as float32."""
    return array("f", [sum(flat)])


def add(a, b):
    """Element by element."""
    return array("f", list(map(operator.add, a, b)))


def multiply(a, b):
    """Element by element."""
    return array("f", list(map(operator.mul, a, b)))


def conv2d(image, image_shape, kernel, kernel_shape):
    """Valid cross-correlation with stride 1; one image and one filter of one channel each (shapes are 2-D)."""
    (height, width), (kernel_height, kernel_width) = image_shape, kernel_shape
    taps = [(y, x, kernel[y * kernel_width + x]) for y in range(kernel_height) for x in range(kernel_width)]
    shape = (height - kernel_height + 1, width - kernel_width + 1)
    answer = [
        sum(weight * image[(top + y) * width + left + x] for y, x, weight in taps)
        for top in range(shape[0])
        for left in range(shape[1])
    ]
    return array("f", answer), shape
