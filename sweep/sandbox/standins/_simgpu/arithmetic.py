"""Arrays of float32, computed in plain Python: small, slow and right. Standard library only.

Sums are kept in double precision and rounded once at the end, which is at least as exact as a GPU.
"""

import operator
import random
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


def negate(a):
    """Element by element."""
    return array("f", list(map(operator.neg, a)))


def transpose(a, shape):
    """A matrix with rows and columns exchanged."""
    rows, columns = shape
    return array("f", [a[i * columns + j] for j in range(columns) for i in range(rows)]), (columns, rows)


def uniform(shape):
    """Random numbers from 0 to 1."""
    return array("f", [random.random() for _ in range(count(shape))]), tuple(shape)  # noqa: S311


def full(shape, value):
    """The same number everywhere."""
    return array("f", [value]) * count(shape), tuple(shape)


def count(shape):
    """How many elements a shape has."""
    elements = 1
    for size in shape:
        elements *= size
    return elements


def conv(images, shape, filters, filters_shape):
    """Valid cross-correlation with stride 1: images NCHW, filters OIHW."""
    (number, channels, height, width), (outputs, inputs, *window) = shape, filters_shape
    if channels != inputs:
        raise ValueError(f"images of {channels} channels and filters of {inputs}")
    pixels, taps = height * width, window[0] * window[1]
    answer = array("f")
    for n in range(number):
        for o in range(outputs):
            planes = []
            for c in range(channels):
                image = images[(n * channels + c) * pixels :][:pixels]
                weights = filters[(o * channels + c) * taps :][:taps]
                planes.append(conv2d(image, (height, width), weights, window)[0])
            answer.extend(map(sum, zip(*planes)))
    return answer, (number, outputs, height - window[0] + 1, width - window[1] + 1)


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
