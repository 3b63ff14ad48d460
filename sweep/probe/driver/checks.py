"""Inputs whose answers are exact, references in float64, and the comparison.

Every input is a random multiple of a power of two, so small that the inputs, all products and every partial sum can
be written exactly in the format that is tested. So neither the order of summation nor the tensor cores' formats make
a difference, and a right answer is exactly right. The precisions, in bits of the significand: float32 24, float16
and TF32 11, bfloat16 8 (IEEE 754-2019 for the first two; NVIDIA A100 white paper, 2020, for TF32 and bfloat16).

    float32, TF32      multiples of 1/16 in [-1, 1], 64 terms: products are multiples of 1/256, sums of up to 2^14
    float16, bfloat16  multiples of 1/2 in [-1, 1], 32 terms: products are multiples of 1/4, sums of up to 2^7

A sum is of as many elements as keeps it exact. The tolerance of 1e-3 leaves room for the algorithms of convolutions
that transform their input (Winograd, FFT), whose errors are of the order of 1e-6 here (Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", 2015); the smallest error that a wrong sum can show is 1/256. What is
transformed is no longer exact in TF32, where the same algorithms would err by up to 3e-2; so the probes switch TF32
off for the convolution.
"""

from __future__ import annotations

import math
import random
from typing import Any, List, NamedTuple, Tuple

from .common import WrongResult

Matrix = List[List[float]]
Answer = Tuple[str, Any]  # what a probe gives back: the name of the element type, nested lists (a number for a sum)

TOLERANCE = 1e-3


class Format(NamedTuple):
    """How inputs are drawn for a number format, and in which element type its answers come."""

    dtype: str
    steps: int  # inputs are multiples of 1/steps
    size: int  # rows and columns of the matrices
    summed: int  # rows of `size` elements that are summed up


FORMATS = {
    "float32": Format("float32", 16, 64, 64),
    "tf32": Format("float32", 16, 64, 64),
    "float16": Format("float16", 2, 32, 4),
    "bfloat16": Format("bfloat16", 2, 32, 4),
}

# The lowest compute capability whose devices calculate in the format (CUDA C++ Programming Guide: arithmetic
# instructions, tensor cores' element types).
LOWEST = {"float16": (5, 3), "bfloat16": (8, 0), "tf32": (8, 0)}


def random_matrix(rows: int, columns: int, steps: int = 16) -> Matrix:
    """Nested lists of random multiples of 1/steps in [-1, 1]."""
    generator = random.SystemRandom()
    return [[generator.randint(-steps, steps) / steps for _ in range(columns)] for _ in range(rows)]


def reference_matmul(a: Matrix, b: Matrix) -> Matrix:
    """The product of two matrices in float64."""
    columns = list(zip(*b))
    return [[math.fsum(x * y for x, y in zip(row, column)) for column in columns] for row in a]


def reference_conv(image: Matrix, kernel: Matrix) -> Matrix:
    """The valid cross-correlation, which is what the frameworks call a convolution, in float64."""
    height, width = len(kernel), len(kernel[0])
    return [
        [
            math.fsum(image[r + i][c + j] * kernel[i][j] for i in range(height) for j in range(width))
            for c in range(len(image[0]) - width + 1)
        ]
        for r in range(len(image) - height + 1)
    ]


def reference_step(x: Matrix, w: Matrix, t: Matrix, rate: float) -> Matrix:
    """`w` after one step of gradient descent on the sum of squares of `x w - t`, in float64."""
    errors = [[p - q for p, q in zip(*rows)] for rows in zip(reference_matmul(x, w), t)]
    slopes = reference_matmul([list(column) for column in zip(*x)], errors)
    return [[value - rate * 2 * slope for value, slope in zip(*rows)] for rows in zip(w, slopes)]


def check(what: str, answer: Any, expected: Any, dtype: str = "float32") -> None:
    """Compare an answer: its element type, its shape, and each element within the tolerance; NaN is wrong.

    Raises:
        WrongResult: naming the first element that differs, and how many do.
    """
    if not isinstance(answer, tuple) or len(answer) != 2:
        raise WrongResult("%s: the answer is not of the kind that a probe gives" % what)
    if answer[0] != dtype:
        raise WrongResult("%s: the answer is of type %s instead of %s" % (what, answer[0], dtype))
    values = answer[1] if isinstance(expected, list) else [[answer[1]]]
    check_matrix(what, values, expected if isinstance(expected, list) else [[expected]])


def check_matrix(what: str, values: Any, expected: Matrix) -> None:
    """Compare nested lists.

    Raises:
        WrongResult: as `check` does.
    """
    shape = "%d x %d" % (len(expected), len(expected[0]))
    if not isinstance(values, list) or len(values) != len(expected):
        raise WrongResult("%s: the answer is not a %s matrix" % (what, shape))
    wrong = []
    for r, (got_row, want_row) in enumerate(zip(values, expected)):
        if not isinstance(got_row, list) or len(got_row) != len(want_row):
            raise WrongResult("%s: the answer is not a %s matrix" % (what, shape))
        for c, (got, want) in enumerate(zip(got_row, want_row)):
            if not near(got, want):
                wrong.append((r, c, got, want))
    if wrong:
        r, c, got, want = wrong[0]
        raise WrongResult(
            "%s: element [%d][%d] is %r instead of %r; %d of %d elements differ by more than %g"
            % (what, r, c, got, want, len(wrong), len(expected) * len(expected[0]), TOLERANCE)
        )


def near(got: Any, want: float) -> bool:
    """Whether a number is the expected one; written so that a NaN is not."""
    return isinstance(got, (int, float)) and abs(got - want) <= TOLERANCE
