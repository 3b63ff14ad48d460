"""The version space: what the settings choose out of what there is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.builds import Build
from sweep.cuda import version_key
from sweep.errors import NothingToTestError
from sweep.space import choose_capabilities, choose_runtimes, choose_versions, enumerate_tuples

OFFERED = ("12.9", "11.8", "12.10", "13.0", "12.4", "11.8")


def builds(*versions: str) -> list[Build]:
    return [Build("pytorch", version, "h_0", 0) for version in versions]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (1, ("13.0",)),
        (3, ("12.9", "12.10", "13.0")),
        (100, ("11.8", "12.4", "12.9", "12.10", "13.0")),
        (">=12,<13", ("12.4", "12.9", "12.10")),
        (">=12.9", ("12.9", "12.10", "13.0")),
        ("==11.8", ("11.8",)),
        ("!=12.4, <13", ("11.8", "12.9", "12.10")),
        (["12.10", "12.9", "9.0"], ("9.0", "12.9", "12.10")),
    ],
)
def test_runtimes(wanted: int | str | list[str], chosen: tuple[str, ...]) -> None:
    assert choose_runtimes(wanted, OFFERED) == chosen


@pytest.mark.parametrize(
    ("wanted", "offered", "words"),
    [
        (4, (), "cuda.runtimes = 4 chooses none .*none at all"),
        (">=14", OFFERED, r"cuda.runtimes = '>=14' chooses none .*11\.8, 12\.4, 12\.9, 12\.10, 13\.0"),
    ],
)
def test_no_runtime_at_all_is_an_error(wanted: int | str, offered: tuple[str, ...], words: str) -> None:
    with pytest.raises(NothingToTestError, match=words) as caught:
        choose_runtimes(wanted, offered)
    assert "check conda.channels" in str(caught.value)


def test_the_newest_versions_are_the_greatest_by_number() -> None:
    found = builds("2.9.1", "2.10.0", "2.8.0", "2.11.0rc1", "2.10.1")
    assert choose_versions(2, found, 2, "pytorch") == ("2.10", "2.9")
    assert choose_versions(2, found, 3, "pytorch") == ("2.10.1", "2.10.0")
    assert choose_versions(50, found, 2, "pytorch") == ("2.10", "2.9", "2.8")


def test_versions_that_are_named_are_taken_as_they_are() -> None:
    """One that has no build becomes a tuple with the verdict no-build; it does not vanish."""
    assert choose_versions(["2.9.1", "7.7"], builds("2.9.1"), 2, "pytorch") == ("2.9.1", "7.7")


@pytest.mark.parametrize("found", [(), ("2.11.0rc1", "master")])
@pytest.mark.parametrize("wanted", [3, ["2.5"]])
def test_no_version_at_all_is_an_error(found: tuple[str, ...], wanted: int | list[str]) -> None:
    with pytest.raises(NothingToTestError, match=r"no released version of pytorch; check conda\.channels"):
        choose_versions(wanted, builds(*found), 2, "pytorch")


def test_capabilities() -> None:
    assert choose_capabilities("pool", ("8.0", "12.0", "7.5")) == ("7.5", "8.0", "12.0")
    assert choose_capabilities(["9.0", "3.5"], ("8.0",)) == ("3.5", "9.0")


def test_every_combination_once_in_a_stable_order() -> None:
    found = enumerate_tuples({"pytorch": ("2.10", "2.9"), "jax": ("0.6",)}, ["12.10", "12.9"], ["8.0", "10.0"])
    assert [t.id for t in found] == [
        f"{framework}-cuda{cuda}-sm{sm}"
        for framework in ("pytorch-2.10", "pytorch-2.9", "jax-0.6")
        for cuda in ("12.9", "12.10")
        for sm in ("80", "100")
    ]


VERSIONS = st.lists(st.builds("{}.{}".format, st.integers(0, 30), st.integers(0, 30)), max_size=4, unique=True)


@settings(max_examples=40)
@given(VERSIONS, st.integers(1, 8))
def test_the_n_most_recent_are_the_last_of_the_order(offered: list[str], count: int) -> None:
    if not offered:
        with pytest.raises(NothingToTestError):
            choose_runtimes(count, offered)
        return
    chosen = choose_runtimes(count, offered)
    assert len(chosen) == min(count, len(offered))
    assert list(chosen) == sorted(chosen, key=version_key)
    left = set(offered) - set(chosen)
    assert all(version_key(x) < version_key(chosen[0]) for x in left)


@settings(max_examples=40)
@given(VERSIONS, VERSIONS, st.lists(st.sampled_from(["7.0", "8.0", "9.0", "12.0"]), unique=True))
def test_as_many_tuples_as_there_are_combinations(versions: list[str], runtimes: list[str], gpus: list[str]) -> None:
    found = enumerate_tuples({"jax": tuple(versions)}, runtimes, gpus)
    assert len({t.id for t in found}) == len(found) == len(versions) * len(runtimes) * len(gpus)
