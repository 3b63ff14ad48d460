"""The version space: what the settings choose out of what there is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweep.builds import Build
from sweep.cuda import version_key
from sweep.errors import NothingToTestError
from sweep.model import GpuClass, VersionTuple
from sweep.schema import SpaceCounts
from sweep.settings import SpaceSettings
from sweep.space import Axes, choose_capabilities, choose_runtimes, choose_versions, compose

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


def test_versions_in_a_range_are_those_that_have_builds() -> None:
    assert choose_versions(">=2.9,<2.11", builds("2.9.1", "2.8", "2.10.0", "2.11"), 2, "pytorch") == ("2.10", "2.9")
    with pytest.raises(NothingToTestError, match=r"versions = '>=3' chooses none .*\(2\.9\); widen it"):
        choose_versions(">=3", builds("2.9.1"), 2, "pytorch")


def test_a_release_candidate_counts_only_when_it_is_asked_for() -> None:
    found = builds("2.10.0", "2.11.0rc1")
    assert choose_versions(1, found, 2, "pytorch") == ("2.10",)
    assert choose_versions(1, found, 2, "pytorch", prereleases=True) == ("2.11",)


def test_a_version_that_no_tuple_id_can_carry_is_no_candidate() -> None:
    assert choose_versions(5, builds("2.10.0", "1!2.0"), 2, "pytorch") == ("2.10",)


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


AXES = Axes(
    versions={"pytorch": ("2.10", "2.9"), "jax": ("0.6",)}, runtimes=("12.10", "12.9"), capabilities=("8.0", "10.0")
)


def ids(axes: Axes = AXES, **chosen: Any) -> list[str]:
    return [t.id for t in compose(axes, SpaceSettings.model_validate(chosen))[0]]


def counts(axes: Axes = AXES, **chosen: Any) -> SpaceCounts:
    return compose(axes, SpaceSettings.model_validate(chosen))[1]


def test_every_combination_once_in_a_stable_order() -> None:
    assert ids() == [
        f"{framework}-cuda{cuda}-sm{sm}"
        for framework in ("pytorch-2.10", "pytorch-2.9", "jax-0.6")
        for cuda in ("12.9", "12.10")
        for sm in ("80", "100")
    ]
    assert counts() == SpaceCounts(product=12)


def test_an_exclusion_takes_out_what_all_of_its_ranges_apply_to() -> None:
    left = ids(exclude=[{"framework": "pytorch", "version": ">=2.10", "cuda": "12.9"}, {"capability": ">9"}])
    assert left == [
        "pytorch-2.10-cuda12.10-sm80",
        "pytorch-2.9-cuda12.9-sm80",
        "pytorch-2.9-cuda12.10-sm80",
        "jax-0.6-cuda12.9-sm80",
        "jax-0.6-cuda12.10-sm80",
    ]
    assert counts(exclude=[{"capability": ">9"}]) == SpaceCounts(product=12, excluded=6)


def test_a_series_in_an_exclusion_is_not_a_prefix() -> None:
    assert not [i for i in ids(exclude=[{"version": "2.1"}]) if "2.10" not in i and "2.9" not in i and "jax" not in i]
    assert len(ids(exclude=[{"version": "2.1"}])) == 12


def test_an_inclusion_brings_back_what_was_excluded_and_adds_what_the_product_lacks() -> None:
    excluded = {"framework": "jax", "version": "0.6", "cuda": "12.9", "capability": "8.0"}
    beyond = {"framework": "pytorch", "version": "1.13", "cuda": "11.8", "capability": "3.5"}
    chosen = {"exclude": [{"framework": "jax"}], "include": [excluded, beyond, beyond]}
    assert ids(**chosen)[-2:] == ["jax-0.6-cuda12.9-sm80", "pytorch-1.13-cuda11.8-sm35"]
    assert counts(**chosen) == SpaceCounts(product=12, excluded=4, included=2)


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("pytorch-2.9-cuda12.9-sm80", 1),
        ("pytorch-2.*_cuda12.*", 8),
        ("*sm100", 6),
        ("*-2.9-*", 4),
        ("[j]ax*", 4),
        ("pytorch", 0),
        ("*cuda12.1*", 6),
    ],
)
def test_tuples_are_selected_by_globs_over_whole_ids(glob: str, found: int) -> None:
    if not found:
        with pytest.raises(NothingToTestError, match="--only pytorch matches none of the 12 tuples"):
            ids(only=[glob])
        return
    assert len(ids(only=[glob])) == found
    assert counts(only=[glob]) == SpaceCounts(product=12, not_selected=12 - found)


def test_several_globs_select_what_any_of_them_does() -> None:
    assert len(ids(only=["jax*sm80", "pytorch-2.9-cuda12.9*"])) == 4


def test_excluding_everything_is_an_error() -> None:
    with pytest.raises(NothingToTestError, match=r"space\.exclude leaves none of the 12 tuples"):
        ids(exclude=[{"capability": ">1"}])


def test_one_tuple_per_gpu_class_where_the_settings_say_so() -> None:
    """A capability without a device in the pool has no class, and stays one candidate."""
    classes = tuple(
        GpuClass(
            capability="8.0", device=device, memory_mb=memory, runtime="12.4", driver=driver, mig=False, devices=1,
            machines=("m",),
        )
        for device, memory, driver in [
            ("NVIDIA A100-SXM4-80GB", 81153, "550.54.15"),
            ("NVIDIA A100-SXM4-80GB", 40000, "550.54.15"),
            ("NVIDIA A100-SXM4-80GB", 81153, "570.86.15"),
            ("NVIDIA A30", 24062, None),
        ]
    )  # fmt: skip
    axes = Axes(versions={"jax": ("0.6",)}, runtimes=("12.9",), capabilities=("8.0", "9.0"), classes=classes)
    assert ids(axes) == ["jax-0.6-cuda12.9-sm80", "jax-0.6-cuda12.9-sm90"]
    assert ids(axes, one_per="gpu-class") == [
        "jax-0.6-cuda12.9-sm80-nvidia_a100_sxm4_80gb_r550.54.15",
        "jax-0.6-cuda12.9-sm80-nvidia_a100_sxm4_80gb_r570.86.15",
        "jax-0.6-cuda12.9-sm80-nvidia_a30_cuda12.4",
        "jax-0.6-cuda12.9-sm90",
    ]


VERSIONS = st.lists(st.builds("{}.{}".format, st.integers(0, 30), st.integers(0, 30)), max_size=4, unique=True)
CAPABILITIES = st.lists(st.sampled_from(["7.0", "8.0", "9.0", "12.0"]), unique=True)


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


EXCLUSIONS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"version": st.sampled_from(["<9", ">=20", "3"]), "capability": st.sampled_from(["<8", "9.0"])}
    ).filter(bool),
    max_size=3,
)
INCLUSIONS = st.lists(
    st.fixed_dictionaries(
        {
            "framework": st.just("jax"),
            "version": st.sampled_from(["0.6", "99.1"]),
            "cuda": st.just("12.4"),
            "capability": st.sampled_from(["8.0", "5.0"]),
        }
    ),
    max_size=3,
)


@settings(max_examples=80)
@given(VERSIONS, VERSIONS, CAPABILITIES, EXCLUSIONS, INCLUSIONS)
def test_every_candidate_is_counted_once_and_its_id_is_reversible(
    versions: list[str], runtimes: list[str], gpus: list[str], exclude: list[Any], include: list[Any]
) -> None:
    axes = Axes(versions={"jax": tuple(versions)}, runtimes=tuple(runtimes), capabilities=tuple(gpus))
    chosen = SpaceSettings(exclude=exclude, include=include)
    try:
        found, counted = compose(axes, chosen)
    except NothingToTestError:
        assert not include
        return
    assert len({t.id for t in found}) == len(found)
    assert [VersionTuple.parse(t.id) for t in found] == found
    assert counted.product == len(versions) * len(runtimes) * len(gpus)
    assert len(found) == counted.product - counted.excluded + counted.included - counted.not_selected
