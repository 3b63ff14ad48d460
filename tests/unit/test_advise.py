"""Advice: which environment is picked, and that the submit lines ask for exactly the GPUs on which it works."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from classad2 import ClassAd, ExprTree
from hypothesis import given
from hypothesis import strategies as st

from sweep.advise import MOST, Standing, advise, chosen, gpu_lines, within_settings
from sweep.cuda import encode_runtime
from sweep.errors import SettingsError
from sweep.files import read_model
from sweep.model import Cause, GpuClass, Pool, VersionTuple
from sweep.schema import Evidence, Outcome, Outcomes, PlannedEnvironment, Prediction
from sweep.settings import GpuSettings

EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example" / "outcomes.json"
NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)


def gpu(
    capability: str, device: str = "", devices: int = 1, runtime: str = "13.0", driver: str | None = None
) -> GpuClass:
    return GpuClass(
        capability=capability,
        device=device or f"GPU of {capability}",
        memory_mb=16000,
        runtime=runtime,
        driver=driver,
        mig=False,
        devices=devices,
        machines=("a",),
    )


def outcome(
    version: str, capability: str, cause: Cause = Cause.ALL_RUNGS, cuda: str = "12.9", expected: Cause | None = None
) -> Outcome:
    tuple_ = VersionTuple(framework="pytorch", version=version, cuda=cuda, capability=capability)
    return Outcome(
        id=tuple_.id,
        **tuple_.model_dump(),
        verdict=cause.verdict,
        cause=cause,
        reason="because",
        evidence=Evidence(file="events.log"),
        submitted=cause is not Cause.NO_SUCH_SLOT,
        prediction=Prediction(rule="a-rule", cause=expected, reason="so") if expected else None,
        device=f"GPU of {capability}" if cause is Cause.ALL_RUNGS else None,
    )


def sweep_of(classes: list[GpuClass], *tuples: Outcome) -> Outcomes:
    return Outcomes(
        sweep="2026-11-20T060000",
        created=NOW,
        state="complete",
        simulated=False,
        driver_policy="minor",
        pool=Pool(taken=NOW, collector="", slots=len(classes), classes=tuple(classes)),
        funnel=(),
        gpu_hours=0.0,
        tuples=tuples,
    )


def environment(version: str, python: str, cuda: str = "12.9") -> PlannedEnvironment:
    return PlannedEnvironment(
        id=f"pytorch-{version}-cuda{cuda}",
        framework="pytorch",
        version=version,
        cuda=cuda,
        state="resolved",
        specs=(),
        python=python,
    )


def picks(outcomes: Outcomes, **narrowed: str) -> dict[str, str]:
    """Title -> version of what is advised."""
    advice = advise(outcomes, (), "pytorch", **narrowed)
    return {title: pick.reach.key.version for pick in advice.picks for title in pick.titles}


FOUR = [gpu("7.0", devices=1), gpu("8.0", devices=6), gpu("9.0", devices=3)]


def test_the_newest_everywhere_the_newest_on_most_and_the_newest_at_all_are_told_apart() -> None:
    found = picks(
        sweep_of(
            FOUR,
            *(outcome("2.4", c) for c in ("7.0", "8.0", "9.0")),
            *(outcome("2.5", c) for c in ("8.0", "9.0")),
            outcome("2.5", "7.0", Cause.CRASHED),
            outcome("2.10", "9.0"),
            *(outcome("2.10", c, Cause.CRASHED) for c in ("7.0", "8.0")),
        )
    )
    assert found == {
        "newest that works on every GPU": "2.4",
        "newest that works on at least 90% of the GPUs": "2.5",
        "newest that works at all": "2.10",
    }
    assert MOST == 0.9


def test_where_nothing_works_on_most_gpus_the_widest_is_named() -> None:
    failed = [
        outcome(v, c, Cause.CRASHED) for v, c in (("2.4", "7.0"), ("2.4", "9.0"), ("2.5", "7.0"), ("2.5", "8.0"))
    ]
    found = picks(sweep_of(FOUR, outcome("2.4", "8.0"), outcome("2.5", "9.0"), *failed))
    assert found == {"works on more GPUs than any other": "2.4", "newest that works at all": "2.5"}


def test_where_nothing_works_nothing_is_advised() -> None:
    assert picks(sweep_of(FOUR, outcome("2.4", "8.0", Cause.CRASHED))) == {}


def test_one_environment_that_is_all_of_it_is_named_once() -> None:
    (pick,) = advise(sweep_of([gpu("8.0")], outcome("2.4", "8.0")), (), "pytorch").picks
    assert len(pick.titles) == 3


def test_of_the_same_version_the_runtime_with_more_gpus_comes_first() -> None:
    narrow, wide = outcome("2.5", "9.0", cuda="12.9"), outcome("2.5", "8.0", cuda="12.4")
    failed = [outcome("2.5", c, Cause.CRASHED, cuda) for c, cuda in (("8.0", "12.9"), ("9.0", "12.4"))]
    found = advise(sweep_of(FOUR, narrow, wide, *failed), (), "pytorch")
    assert [p.reach.key.cuda for p in found.picks] == ["12.4"]


def test_devices_whose_driver_no_job_would_get_do_not_count() -> None:
    old, new = gpu("8.0", "old", 2, runtime="11.4"), gpu("8.0", "new", 3)
    (pick,) = advise(sweep_of([old, new], outcome("2.4", "8.0")), (), "pytorch").picks
    assert (pick.reach.devices, pick.reach.total) == (3, 5)
    assert "11.4" in pick.reach.places[old].why


def test_gpus_that_the_sweep_had_no_tuple_for_are_neither_yes_nor_no() -> None:
    (pick,) = advise(sweep_of(FOUR, outcome("2.4", "8.0")), (), "pytorch").picks
    assert pick.reach.on(Standing.UNASKED) == (FOUR[0], FOUR[2])
    assert (pick.reach.devices, pick.reach.total) == (6, 6)


def test_gpus_that_the_settings_keep_jobs_away_from_do_not_count() -> None:
    small = gpu("8.0", "small").model_copy(update={"memory_mb": 4000})
    slice_ = gpu("8.0", "A100 MIG 1g.10gb").model_copy(update={"mig": True})
    sweep = sweep_of([gpu("8.0"), small, slice_], outcome("2.4", "8.0"))
    for settings, left in (
        (GpuSettings(), 3),
        (GpuSettings(mig=False), 2),
        (GpuSettings(mig=False, minimum_memory="8GB"), 1),
    ):
        (pick,) = advise(within_settings(sweep, settings), (), "pytorch").picks
        assert pick.reach.devices == left


@pytest.mark.parametrize(
    ("cause", "expected", "standing"),
    [
        (Cause.WAITED_OUT, None, Standing.PREDICTED),
        (Cause.EVICTED, None, Standing.PREDICTED),
        (Cause.WAITED_OUT, Cause.NO_JIT, Standing.PREDICTED),
        (Cause.WAITED_OUT, Cause.NO_KERNEL_IMAGE, Standing.FAILS),
        (Cause.NO_SUCH_SLOT, None, Standing.FAILS),
        (Cause.NO_KERNEL_IMAGE, None, Standing.FAILS),
        (Cause.NO_JIT, None, Standing.WORKS),
    ],
)
def test_untested_is_not_no_and_not_yes(cause: Cause, expected: Cause | None, standing: Standing) -> None:
    sweep = sweep_of(FOUR, outcome("2.4", "9.0"), outcome("2.4", "8.0", cause, expected=expected))
    reach = advise(sweep, (), "pytorch").picks[0].reach
    assert reach.places[FOUR[1]].standing is standing


def test_a_python_narrows_the_choice_and_one_that_is_not_there_is_told() -> None:
    sweep = sweep_of([gpu("8.0")], outcome("2.4", "8.0"), outcome("2.5", "8.0"))
    environments = [environment("2.4", "3.11.9"), environment("2.5", "3.12.1")]
    (pick,) = advise(sweep, environments, "pytorch", python="3.11").picks
    assert pick.reach.key.version == "2.4"
    with pytest.raises(
        SettingsError, match=r"no environment of pytorch with Python 3\.1; it has Python 3\.11\.9, 3\.12\.1"
    ):
        advise(sweep, environments, "pytorch", python="3.1")


@pytest.mark.parametrize("word", ["v100", "V100", "7.0", "sm70", " Tesla v100 "])
def test_a_gpu_is_named_by_a_part_of_its_name_or_its_capability(word: str) -> None:
    sweep = sweep_of(
        [gpu("7.0", "Tesla V100-SXM2"), gpu("8.0", "A100")], outcome("2.4", "7.0"), outcome("2.5", "8.0")
    )
    assert set(picks(sweep, gpu=word).values()) == {"2.4"}


def test_a_word_of_a_name_comes_before_a_part_of_one() -> None:
    pool = [gpu("8.6", "NVIDIA A10"), gpu("8.0", "NVIDIA A100-SXM4"), gpu("8.9", "NVIDIA L40")]
    assert chosen(pool, "a10") == (pool[0],)
    assert chosen(pool, "A100") == (pool[1],)
    assert chosen(pool, "NVIDIA A1") == (pool[0], pool[1])
    assert chosen(pool, "l4") == (pool[2],)


@pytest.mark.parametrize("word", ["H100", "", "6.0"])
def test_a_gpu_that_the_pool_does_not_have_is_told_with_those_that_it_has(word: str) -> None:
    with pytest.raises(SettingsError, match=r"GPU of 7\.0 \(7\.0\), GPU of 8\.0"):
        advise(sweep_of(FOUR, outcome("2.4", "8.0")), (), "pytorch", gpu=word or " ")


def test_a_framework_that_was_not_tested_is_told() -> None:
    with pytest.raises(SettingsError, match="did you mean pytorch"):
        advise(sweep_of(FOUR, outcome("2.4", "8.0")), (), "pytroch")


def test_a_real_sweep_is_advised_about() -> None:
    outcomes = read_model(EXAMPLE, Outcomes, "make demo")
    for framework in ("pytorch", "tensorflow", "jax"):
        for pick in advise(outcomes, (), framework).picks:
            works = {
                o.capability
                for o in outcomes.tuples
                if o.id.startswith(f"{pick.reach.key.id}-") and o.verdict == "works"
            }
            assert set(pick.reach.capabilities) == works


# --------------------------------------------------------------------------- the submit lines


def accepted(lines: list[str], classes: list[GpuClass]) -> set[GpuClass]:
    """The classes whose devices satisfy submit lines, with HTCondor's own ClassAds.

    As condor_submit does it: of its own bounds those are left out that `require_gpus` speaks of.
    """
    commands = {name: value for name, _, value in (re.split(r"(\s*=\s*)", line, maxsplit=1) for line in lines)}
    required = commands.get("require_gpus", "")
    clauses = [f"({required})"] if required else []
    for command, attribute, operator in (
        ("gpus_minimum_capability", "Capability", ">="),
        ("gpus_maximum_capability", "Capability", "<="),
        ("gpus_minimum_runtime", "MaxSupportedVersion", ">="),
    ):
        if command in commands and attribute not in required:
            value = commands[command]
            bound = encode_runtime(value) if attribute == "MaxSupportedVersion" else value
            clauses.append(f"{attribute} {operator} {bound}")
    found = set()
    for each in classes:
        ad = ClassAd(
            {
                "Capability": float(each.capability),
                "DeviceName": each.device,
                "MaxSupportedVersion": encode_runtime(each.runtime),
            }
        )
        if each.driver:
            ad["NvidiaDriver"] = each.driver
        ad["Takes"] = ExprTree(" && ".join(clauses))
        if ad.eval("Takes") is True:
            found.add(each)
    return found


CLASSES = st.lists(
    st.builds(
        gpu,
        st.sampled_from(["3.5", "7.0", "8.0", "8.6", "9.0", "12.0"]),
        st.sampled_from(["Tesla V100", 'odd "name" (1)', "NVIDIA A100", "NVIDIA A100 80GB", "L40 é"]),
        st.just(1),
        st.sampled_from(["11.4", "12.2", "13.0"]),
        st.sampled_from(["550.54.14", "580.65.06"]),
    ),
    min_size=1,
    unique_by=lambda c: (c.capability, c.device, c.driver),
)


@given(CLASSES, st.data())
def test_the_lines_ask_for_exactly_the_devices_on_which_it_works(
    classes: list[GpuClass], data: st.DataObject
) -> None:
    verdicts = {c.capability: data.draw(st.sampled_from([Cause.ALL_RUNGS, Cause.CRASHED])) for c in classes}
    sweep = sweep_of(classes, *(outcome("2.4", c, cause) for c, cause in verdicts.items()))
    for pick in (advice := advise(sweep, (), "pytorch")).picks:
        assert accepted(gpu_lines(advice, pick, "12.0", classes), classes) == set(pick.reach.on(Standing.WORKS))


@given(CLASSES, st.data())
def test_the_lines_for_chosen_gpus_leave_the_others_alone(classes: list[GpuClass], data: st.DataObject) -> None:
    sweep = sweep_of(classes, *(outcome("2.4", c) for c in {c.capability for c in classes}))
    word = data.draw(st.sampled_from([c.device for c in classes]))
    for pick in (advice := advise(sweep, (), "pytorch", gpu=word)).picks:
        assert accepted(gpu_lines(advice, pick, "12.0", classes), classes) == set(pick.reach.on(Standing.WORKS))


def test_slices_are_left_out_where_the_sweep_left_them_out() -> None:
    (pick,) = (advice := advise(sweep_of([gpu("8.0")], outcome("2.4", "8.0")), (), "pytorch")).picks
    lines = gpu_lines(advice, pick, "12.0", [gpu("8.0")], mig=False)
    sliced = gpu("8.0", "A100 MIG 1g.10gb")
    assert accepted(lines, [gpu("8.0"), sliced]) == {gpu("8.0")}
