"""CUDA runtimes and drivers: order, encoding, and which driver a runtime needs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.cuda import DriverPolicy, decode_runtime, driver_floor, encode_runtime, in_order, version_key

RUNTIMES = st.builds("{}.{}".format, st.integers(7, 99), st.integers(0, 99))


def test_versions_are_ordered_by_number_not_by_letter() -> None:
    assert in_order(["12.10", "12.9", "11.8", "12.0", "11.8"]) == ("11.8", "12.0", "12.9", "12.10")
    assert in_order(["10.0", "8.6", "12.1", "3.5"]) == ("3.5", "8.6", "10.0", "12.1")
    assert in_order([]) == ()


def test_a_version_that_is_none_has_no_place() -> None:
    with pytest.raises(ValueError):
        version_key("12.x")


@pytest.mark.parametrize(("runtime", "number"), [("12.4", 12040), ("11.8", 11080), ("12.0", 12000), ("13.0", 13000)])
def test_runtimes_as_the_driver_writes_them(runtime: str, number: int) -> None:
    assert encode_runtime(runtime) == number
    assert decode_runtime(number) == runtime


@given(RUNTIMES)
def test_encoding_is_reversible_and_keeps_the_order(runtime: str) -> None:
    assert decode_runtime(encode_runtime(runtime)) == runtime
    for other in ("11.8", "12.4", "12.10"):
        assert (encode_runtime(runtime) < encode_runtime(other)) == (version_key(runtime) < version_key(other))


@pytest.mark.parametrize(
    ("runtime", "minor"),
    [("12.4", "12.0"), ("12.0", "12.0"), ("11.8", "11.0"), ("13.1", "13.0"), ("10.2", "10.2"), ("9.0", "9.0")],
)
def test_the_oldest_driver_by_policy(runtime: str, minor: str) -> None:
    assert driver_floor(runtime, DriverPolicy.MINOR) == minor
    assert driver_floor(runtime, DriverPolicy.STRICT) == runtime


@given(RUNTIMES, st.sampled_from(DriverPolicy))
def test_no_policy_asks_for_a_driver_newer_than_the_runtime_or_of_another_major(
    runtime: str, policy: DriverPolicy
) -> None:
    floor = driver_floor(runtime, policy)
    assert version_key(floor) <= version_key(runtime)
    assert version_key(floor)[0] == version_key(runtime)[0]
