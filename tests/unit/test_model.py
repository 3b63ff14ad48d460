"""The words of the house: ids that can be read back, causes with one verdict each, values that stay values."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sweep.ids import CAPABILITY_PATTERN, NAME_PATTERN, RUNTIME_PATTERN, VERSION_PATTERN
from sweep.model import (
    MEANING_OF,
    VERDICT_OF,
    Cause,
    EnvironmentKey,
    GpuClass,
    Pool,
    Verdict,
    VersionTuple,
)
from sweep.render import node_name


def matching(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True).filter(lambda text: "\n" not in text)


TUPLES = st.builds(
    VersionTuple,
    framework=matching(NAME_PATTERN),
    version=matching(VERSION_PATTERN),
    cuda=matching(RUNTIME_PATTERN),
    capability=matching(CAPABILITY_PATTERN),
)


def tuple_of(**changes: str) -> VersionTuple:
    return VersionTuple(**{"framework": "pytorch", "version": "2.5", "cuda": "12.4", "capability": "8.0"} | changes)


def test_an_id_is_readable() -> None:
    assert tuple_of().id == "pytorch-2.5-cuda12.4-sm80"
    assert tuple_of(capability="12.0", version="2.10.1").id == "pytorch-2.10.1-cuda12.4-sm120"
    assert tuple_of().environment == EnvironmentKey(framework="pytorch", version="2.5", cuda="12.4")
    assert tuple_of().environment.id == "pytorch-2.5-cuda12.4"


@given(TUPLES)
def test_an_id_is_reversible_and_safe_wherever_it_goes(tuple_: VersionTuple) -> None:
    assert VersionTuple.parse(tuple_.id) == tuple_
    # A file name, a word of a shell and of a submit file, and after the dots are gone a DAG node.
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", tuple_.id)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", node_name(tuple_.id))


@given(st.lists(TUPLES, min_size=2, max_size=6, unique=True))
def test_different_tuples_have_different_ids_and_node_names(tuples: list[VersionTuple]) -> None:
    assert len({t.id for t in tuples}) == len(tuples)
    assert len({node_name(t.id) for t in tuples}) == len(tuples)


def test_capabilities_that_look_alike_stay_apart() -> None:
    ids = [tuple_of(capability=c).id for c in ("1.0", "10.0", "1.2", "12.0", "12.1")]
    assert len(set(ids)) == len(ids)
    assert [VersionTuple.parse(i).capability for i in ids] == ["1.0", "10.0", "1.2", "12.0", "12.1"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pytorch",
        "pytorch-2.5-cuda12.4",
        "pytorch-2.5-cuda12.4-sm8",
        "pytorch-2.5-cuda12.4-sm80\n",
        " pytorch-2.5-cuda12.4-sm80",
        "pytorch-2.5-cuda12.4-sm80/../x",
        "pytorch-2..5-cuda12.4-sm80",
        "pytorch-2.5-cuda12-sm80",
        "pytorch-2.5-cuda1.2.4-sm80",
        "pytorch-2.5-cuda12.4-sm8000",
        "PyTorch-2.5-cuda12.4-sm80",
        "py torch-2.5-cuda12.4-sm80",
        "pytorch-2.5-cuda12.4-sm٨0",
    ],
)
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(ValueError):
        VersionTuple.parse(text)


@given(st.text(alphabet="ab1.-_cudasm 0\n", max_size=40) | TUPLES.map(lambda t: t.id + "x"))
def test_whatever_can_be_parsed_is_its_own_id(text: str) -> None:
    try:
        parsed = VersionTuple.parse(text)
    except ValueError:
        return
    assert parsed.id == text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("framework", "PyTorch"),
        ("framework", "py-torch"),
        ("framework", "x" * 42),
        ("version", "2.5 "),
        ("version", "v2.5"),
        ("version", "2.5\n"),
        ("version", "2.5;queue"),
        ("cuda", "12"),
        ("cuda", "12.4.1"),
        ("capability", "8"),
        ("capability", "8.00"),
    ],
)
def test_values_that_would_not_be_safe_are_refused(field: str, value: str) -> None:
    with pytest.raises(ValidationError):
        tuple_of(**{field: value})


def test_values_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError):
        tuple_of().version = "2.6"
    with pytest.raises(ValidationError):
        tuple_of(other="x")
    assert len({tuple_of(), tuple_of(), tuple_of(version="2.6")}) == 2


# --------------------------------------------------------------------------- verdicts and causes


def test_every_cause_has_one_verdict_and_a_meaning() -> None:
    assert set(VERDICT_OF) == set(MEANING_OF) == set(Cause)
    assert {cause.verdict for cause in Cause} == set(Verdict)
    assert len(set(MEANING_OF.values())) == len(Cause)
    for cause in Cause:
        assert cause.meaning == MEANING_OF[cause]


@pytest.mark.parametrize(
    ("cause", "verdict"),
    [
        ("all-rungs", "works"),
        ("no-jit", "works"),
        ("waited-out", "match-failure"),
        ("cpu-build", "resolve-failure"),
        ("install-failed", "resolve-failure"),
        ("no-kernel-image", "gpu-failure"),
        ("hung", "gpu-failure"),
        ("no-result", "inconclusive"),
        ("over-budget", "inconclusive"),
    ],
)
def test_verdicts_as_the_design_lists_them(cause: str, verdict: str) -> None:
    assert Cause(cause).verdict == verdict


# --------------------------------------------------------------------------- the pool


def gpu(capability: str, device: str = "NVIDIA A100") -> GpuClass:
    return GpuClass(
        capability=capability,
        device=device,
        memory_mb=1,
        runtime="12.4",
        driver=None,
        mig=False,
        devices=1,
        machines=("a",),
    )


def pool(*classes: GpuClass) -> Pool:
    return Pool(taken=datetime.now(UTC), collector="", slots=len(classes), classes=classes)


def test_the_capabilities_of_a_pool() -> None:
    assert pool(gpu("10.0"), gpu("8.6"), gpu("8.6", "other"), gpu("3.5")).capabilities == ("3.5", "8.6", "10.0")
    assert pool().capabilities == ()


def test_one_simulated_device_makes_the_pool_simulated() -> None:
    assert pool(gpu("8.0"), gpu("8.0", "NVIDIA A100 (simulated)")).simulated
    assert not pool(gpu("8.0")).simulated
