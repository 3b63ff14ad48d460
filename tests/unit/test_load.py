"""The order of a sweep's tuples, and how many of a kind may be in the queue at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_advise import gpu

from sweep.load import categories, most_telling_first, one_by_one, remarks
from sweep.model import Cause, VersionTuple
from sweep.schema import PlannedTuple, Prediction
from sweep.settings import LoadSettings

POOL = [gpu("7.0", devices=2), gpu("8.0", "A100", 4), gpu("8.0", "A100 MIG", 3), gpu("9.0", devices=1)]


def tuple_(
    version: str,
    capability: str,
    cuda: str = "12.9",
    framework: str = "pytorch",
    expected: bool = False,
    **more: object,
) -> PlannedTuple:
    asked = VersionTuple(
        framework=framework, version=version, cuda=cuda, capability=capability, gpu=more.pop("gpu", None)
    )
    prediction = Prediction(rule="a-rule", cause=Cause.NO_JIT, reason="so") if expected else None
    return PlannedTuple(id=asked.id, **asked.model_dump(), submitted=True, prediction=prediction, **more)


def ids(tuples: list[PlannedTuple]) -> list[str]:
    return [t.id for t in most_telling_first(tuples, POOL)]


def test_the_newest_version_comes_first_and_of_it_the_gpus_that_the_pool_has_most_of() -> None:
    tuples = [tuple_(v, c) for v in ("2.4", "2.10", "2.5") for c in ("9.0", "7.0", "8.0")]
    assert [(t.version, t.capability) for t in most_telling_first(tuples, POOL)] == [
        (v, c) for v in ("2.10", "2.5", "2.4") for c in ("8.0", "7.0", "9.0")
    ]


def test_every_version_comes_with_its_newest_runtime_before_any_comes_with_an_older_one() -> None:
    tuples = [tuple_(v, "8.0", cuda) for v in ("2.4", "2.5") for cuda in ("11.8", "12.4", "12.10")]
    assert [(t.version, t.cuda) for t in most_telling_first(tuples, POOL)] == [
        (v, cuda) for cuda in ("12.10", "12.4", "11.8") for v in ("2.5", "2.4")
    ]


def test_frameworks_take_turns() -> None:
    tuples = [tuple_(v, "8.0", framework=f) for f in ("jax", "pytorch") for v in ("0.4", "0.5")]
    assert [t.framework for t in most_telling_first(tuples, POOL)] == ["jax", "pytorch", "jax", "pytorch"]


def test_audits_come_before_all_and_what_is_expected_to_fail_after_its_equals() -> None:
    tuples = [
        tuple_("2.5", "8.0", expected=True),
        tuple_("2.5", "9.0"),
        tuple_("2.4", "7.0", expected=True, audit=True),
        tuple_("2.4", "8.0"),
    ]
    assert ids(tuples) == [tuples[n].id for n in (2, 1, 0, 3)]


VERSIONS = st.sampled_from(["2.4", "2.5", "2.10", "2.8.1"])
TUPLES = st.lists(
    st.builds(tuple_, VERSIONS, st.sampled_from(["7.0", "8.0", "12.0"]), st.sampled_from(["11.8", "12.9"])),
    unique_by=lambda t: t.id,
)


@given(TUPLES, st.randoms())
def test_the_order_loses_nothing_and_does_not_depend_on_that_of_the_plan(tuples: list[PlannedTuple], chance) -> None:
    shuffled = list(tuples)
    chance.shuffle(shuffled)
    assert ids(shuffled) == ids(tuples)
    assert sorted(ids(tuples)) == sorted(t.id for t in tuples)


# --------------------------------------------------------------------------- shares


@pytest.mark.parametrize(
    ("share", "capability", "limit"),
    [(0.5, "8.0", 3), (0.5, "7.0", 1), (0.5, "9.0", 1), (0.1, "8.0", 1), (0.99, "8.0", 6), (0.5, "12.0", 1)],
)
def test_a_capability_gives_its_share_and_at_least_one_device(share: float, capability: str, limit: int) -> None:
    one = tuple_("2.4", capability)
    settings = LoadSettings(share=share, share_of="capability")
    assert categories([one], POOL, settings)[one.id].limit == limit


@pytest.mark.parametrize(("devices", "limit"), [((4, 3), 1), ((4, 1), 2), ((40, 4), 2), ((1, 1, 1), 1), ((1,), 1)])
def test_no_more_at_once_than_one_class_may_give_if_all_land_on_it(devices: tuple[int, ...], limit: int) -> None:
    one = tuple_("2.4", "8.0")
    pool = [gpu("8.0", f"A100 {n}", d) for n, d in enumerate(devices)]
    assert categories([one], pool, LoadSettings(share=0.5))[one.id].limit == limit


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.floats(0.01, 0.99))
def test_wherever_jobs_land_no_class_gives_more_than_its_share_or_one_device(
    devices: list[int], share: float
) -> None:
    one = tuple_("2.4", "8.0")
    pool = [gpu("8.0", f"A100 {n}", d) for n, d in enumerate(devices)]
    limit = categories([one], pool, LoadSettings(share=share))[one.id].limit
    assert 1 <= limit <= max(1, share * sum(devices))
    for count in devices:
        assert min(limit, count) <= max(1, share * count)


@pytest.mark.parametrize(
    ("devices", "jobs", "limits"),
    [((8, 8), 20, (4, 4)), ((100, 8), 20, (16, 4)), ((100, 100, 2), 20, (9, 10, 1)), ((4, 4, 4), 2, (1, 1, 1))],
)
def test_no_more_are_in_the_queue_in_all_than_the_schedd_offers_to_slots(
    devices: tuple[int, ...], jobs: int, limits: tuple[int, ...]
) -> None:
    """So that a capability whose devices are all busy does not hold up the others; the large ones give way."""
    capabilities = ("7.0", "8.0", "9.0")[: len(devices)]
    tuples = [tuple_("2.4", capability) for capability in capabilities]
    pool = [gpu(c, devices=d) for c, d in zip(capabilities, devices, strict=True)]
    found = categories(tuples, pool, LoadSettings(share=0.5, jobs=jobs))
    assert tuple(found[t.id].limit for t in tuples) == limits


def test_a_small_class_that_narrows_a_capability_is_named_and_so_is_a_budget_of_nothing() -> None:
    pool = [gpu("8.0", "A100", 40), gpu("8.0", "A100 old", 2), gpu("9.0", "H100", 4)]
    tuples = [tuple_("2.4", "8.0"), tuple_("2.4", "9.0")]
    said = remarks(tuples, pool, LoadSettings(share=0.5, gpu_hours_of={"9.0": 1.0, "9.1": 5.0}))
    assert said == [
        f"no more than 1 on sm80 at once, since GPU class {pool[1].label} has 2 devices; "
        'share_of = "capability" would let 21 run, perhaps all there',
        "load.gpu_hours_of: no tuple of capability 9.1 is submitted",
    ]
    for settings in (LoadSettings(share=0.5, share_of="capability"), LoadSettings(share=1.0)):
        assert remarks(tuples, pool, settings) == []


@pytest.mark.parametrize("share_of", ["gpu-class", "capability"])
def test_where_gpu_classes_are_tested_each_gives_its_own_share(share_of: str) -> None:
    a100, mig = (tuple_("2.4", "8.0", gpu=c.label) for c in POOL[1:3])
    found = categories([a100, mig], POOL, LoadSettings(share=0.5, share_of=share_of))
    assert (found[a100.id].limit, found[mig.id].limit) == (2, 1)
    assert found[a100.id].name != found[mig.id].name


@given(TUPLES, st.integers(1, 4))
def test_a_chain_leaves_as_many_at_once_as_may_run_and_keeps_the_order(
    tuples: list[PlannedTuple], limit: int
) -> None:
    pool = [gpu(capability, devices=limit) for capability in ("7.0", "8.0", "12.0")]
    found = categories(tuples, pool, LoadSettings(share=1.0))
    pairs = one_by_one(tuples, found, {"7.0", "8.0"})
    order = [t.id for t in tuples]
    assert all(order.index(before) < order.index(after) for before, after in pairs)
    for capability in ("7.0", "8.0", "12.0"):
        ids = {t.id for t in tuples if t.capability == capability}
        free = ids - {after for _, after in pairs}
        assert len(free) == (len(ids) if capability == "12.0" else min(limit, len(ids)))
        assert len({after for _, after in pairs} & ids) == len([after for _, after in pairs if after in ids])


@given(TUPLES, st.floats(0.01, 1.0))
def test_a_category_has_one_limit_and_a_name_that_dagman_takes(tuples: list[PlannedTuple], share: float) -> None:
    found = categories(tuples, POOL, LoadSettings(share=share))
    assert set(found) == {t.id for t in tuples}
    names = {c.name: c.limit for c in found.values()}
    assert len(names) == len(set(found.values()))
    assert all(name.replace("_", "").isalnum() for name in names)
