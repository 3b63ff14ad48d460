"""The numeric checks of the probe: right answers pass exactly, and every kind of wrong one is seen."""

from __future__ import annotations

import math
import struct

import pytest

from sweep.probe.driver import checks
from sweep.probe.driver.checks import FORMATS, check, random_matrix, reference_conv, reference_matmul, reference_step
from sweep.probe.driver.common import WrongResult

WANT = [[1.0, 2.0], [3.0, 4.0]]


def test_the_references_are_right() -> None:
    assert reference_matmul([[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]) == [[19.0, 22.0], [43.0, 50.0]]
    image = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
    assert reference_conv(image, [[1.0, 0.0], [0.0, -1.0]]) == [[-4.0, -4.0], [-4.0, -4.0]]
    # The slope of (2 w - 3)^2 at w = 1 is -4.
    assert reference_step([[2.0]], [[1.0]], [[3.0]], 0.25) == [[2.0]]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "not of the kind"),
        (WANT, "not of the kind"),
        (("float32", None), "not a 2 x 2 matrix"),
        (("float32", WANT[:1]), "not a 2 x 2 matrix"),
        (("float32", [[1.0], [3.0]]), "not a 2 x 2 matrix"),
        (("float64", WANT), "of type float64 instead of float32"),
        (("float32", [[1.0, 2.0], [3.0, math.nan]]), "[1][1] is nan instead of 4.0; 1 of 4 elements"),
        (("float32", [[1.0, 2.0], [math.inf, 4.0]]), "[1][0] is inf"),
        (("float32", [[1.0, "2.0"], [3.0, 4.0]]), "[0][1] is '2.0'"),
        (("float32", [[1.0, 2.002], [3.0, 4.0]]), "[0][1] is 2.002"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(answer: object, words: str) -> None:
    with pytest.raises(WrongResult, match="x: ") as raised:
        check("x", answer, WANT)
    assert words in str(raised.value)


def test_a_sum_is_checked_like_a_matrix() -> None:
    check("sum", ("float32", 2.0), 2.0)
    with pytest.raises(WrongResult):
        check("sum", ("float32", 2.25), 2.0)
    with pytest.raises(WrongResult):
        check("sum", ("float16", 2.0), 2.0)


def test_an_algorithm_that_transforms_its_input_may_round() -> None:
    check("x", ("float32", [[1.0, 2.0005], [3.0, 4.0]]), WANT)


@pytest.mark.parametrize("form", FORMATS)
def test_inputs_are_fresh(form: str) -> None:
    size, steps = FORMATS[form].size, FORMATS[form].steps
    first, second = random_matrix(size, size, steps), random_matrix(size, size, steps)
    assert first != second
    assert all((x * steps).is_integer() and -1 <= x <= 1 for row in first for x in row)


# Bits of the significand: IEEE 754 for float16; NVIDIA's A100 white paper for the others.
PRECISION = {"float32": 24, "tf32": 11, "float16": 11, "bfloat16": 8}
ACCUMULATED = {"float32": 24, "tf32": 24, "float16": 11, "bfloat16": 8}


@pytest.mark.parametrize("form", FORMATS)
def test_every_partial_sum_of_any_order_can_be_written_exactly(form: str) -> None:
    """Even if the accumulator is of the format itself: the largest sum, counted in the smallest steps."""
    size, steps, summed = FORMATS[form].size, FORMATS[form].steps, FORMATS[form].summed
    assert steps <= 2 ** PRECISION[form]
    assert size * steps**2 <= 2 ** ACCUMULATED[form]
    assert summed * size * steps <= 2 ** ACCUMULATED[form]


@pytest.mark.parametrize("form", ["float32", "tf32"])
def test_the_lowest_bit_that_can_differ_is_seen(form: str) -> None:
    a, b = (random_matrix(64, 64, FORMATS[form].steps) for _ in range(2))
    right = reference_matmul(a, b)
    for row in (0, 63):
        wrong = [list(each) for each in right]
        wrong[row][5] += 1 / 256
        with pytest.raises(WrongResult, match=rf"\[{row}\]\[5\]"):
            check("x", ("float32", wrong), right)


def test_a_flipped_bit_of_a_float32_is_seen_unless_it_is_far_below_the_tolerance() -> None:
    right = reference_matmul(random_matrix(64, 64), random_matrix(64, 64))
    for bit in range(32):
        (bits,) = struct.unpack("<I", struct.pack("<f", right[1][2]))
        (flipped,) = struct.unpack("<f", struct.pack("<I", bits ^ 1 << bit))
        wrong = [list(row) for row in right]
        wrong[1][2] = flipped
        if abs(flipped - right[1][2]) <= checks.TOLERANCE:
            check("x", ("float32", wrong), right)
        else:
            with pytest.raises(WrongResult):
                check("x", ("float32", wrong), right)
