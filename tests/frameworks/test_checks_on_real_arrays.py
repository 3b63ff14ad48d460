"""The rungs that compute, through real frameworks on the CPU: right answers pass, and each kind of wrong one is seen.

The code is the driver's and the probes' own; only the place of the arrays is another one. numba computes in its own
simulator of CUDA. CuPy has no arrays on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

ALL = ("float32", "float16", "bfloat16", "tf32")
THREE = ["matmul", "conv", "train"]
# Where a framework's arrays lie on the CPU, the number formats that it calculates in there, whether it derives, and
# the parts of the workload.
PLACES = {
    "jax": ("cpu", ALL, True, THREE),
    "tensorflow": ("/CPU:0", ALL, True, THREE),
    "pytorch": ("cpu", ("float32", "bfloat16", "tf32"), True, THREE),  # float16 came to its CPU with 2.1
    "xgboost": ("cpu", ("float32",), False, ["boost"]),
    "numba": ("cpu", ("float32",), False, ["matmul"]),
}


@pytest.mark.parametrize("name", PLACES)
def test_right_answers_pass_and_the_workload_runs(on_cpu: Callable[..., dict[str, Any]], name: str) -> None:
    place, formats, derives, workload = PLACES[name]
    found = on_cpu(name, place, formats)
    assert found.pop("version")
    assert found == {
        "copy": "passed",
        "kernel": dict.fromkeys(formats, "passed"),
        "library": "passed",
        "gradient": "passed" if derives else "lacking",
        "jit": "passed",
        "workload": workload,
    }


DAMAGES = {
    "bit-flip": "matrix product: element [3][4] is ",
    "unwritten": "element [63][63] is nan",
    "wrong-type": "the answer is of type float64 instead of float32",
    "wrong-shape": "the answer is not a 64 x 64 matrix",
    "transposed": "matrix product: element [0][1]",
    "zeros": "is 0.0 instead of",
}


@pytest.mark.parametrize("name", ["jax", "pytorch"])
def test_a_wrong_answer_of_a_real_framework_is_seen(on_cpu: Callable[..., dict[str, Any]], name: str) -> None:
    found = on_cpu(name, "cpu", ALL, *DAMAGES)
    for damage, words in DAMAGES.items():
        assert found[damage].startswith("WrongResult: ")
        assert words in found[damage]
