"""What a sweep will cost, as far as earlier ones tell."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweepdir import POOL, Sweep, one, result, submitted

from sweep.cuda import DriverPolicy
from sweep.estimate import ASSUMED_SECONDS, earlier_sweep, estimate
from sweep.model import GpuClass
from sweep.schema import EnvironmentState, Outcomes, PlannedEnvironment, PlannedTuple
from sweep.settings import LoadSettings

A100 = POOL.classes[0]
OLD_A100 = A100.model_copy(update={"driver": "525.60.13", "runtime": "12.0", "devices": 6})
L40 = A100.model_copy(update={"device": "NVIDIA L40", "capability": "8.9", "devices": 1})


def environments(*tuples: PlannedTuple, size: int = 1_500_000_000) -> dict[str, PlannedEnvironment]:
    keys = {f"{t.framework}-{t.version}-cuda{t.cuda}": t for t in tuples}
    return {
        id_: PlannedEnvironment(
            id=id_, framework=t.framework, version=t.version, cuda=t.cuda, state=EnvironmentState.RESOLVED,
            specs=("x",), size=size,
        )
        for id_, t in keys.items()
    }  # fmt: skip


def cost(
    ids: list[str],
    classes: list[GpuClass],
    policy: DriverPolicy = DriverPolicy.MINOR,
    earlier: Outcomes | None = None,
) -> tuple[float, int, dict[str, tuple[int, float]]]:
    tuples = [submitted(id_) for id_ in ids]
    found = estimate(tuples, environments(*tuples), classes, policy, LoadSettings(), earlier)
    assert found.jobs == len(ids)
    return found.gpu_hours, found.downloads, {c.label: (c.jobs, c.gpu_hours) for c in found.classes}


def test_without_an_earlier_sweep_a_job_is_assumed_to_take_ten_minutes_and_the_plan_says_so() -> None:
    tuples = [submitted("pytorch-2.5-cuda12.4-sm80"), submitted("pytorch-2.5-cuda12.4-sm89")]
    found = estimate(tuples, environments(*tuples), [A100, L40], DriverPolicy.MINOR, LoadSettings(), None)
    assert found.gpu_hours == pytest.approx(2 * ASSUMED_SECONDS / 3600, abs=0.01)
    assert found.basis == "no earlier sweep; 10 minutes a job assumed"
    # Each job downloads its own copy.
    assert found.downloads == 2 * 1_500_000_000


def test_jobs_are_spread_over_the_classes_that_could_take_them_by_their_devices() -> None:
    hours, _, shares = cost(["pytorch-2.5-cuda12.4-sm80"] * 1, [A100, OLD_A100, L40])
    assert shares == {A100.label: (1, round(hours * 2 / 8, 2)), OLD_A100.label: (1, 0.12), L40.label: (0, 0.0)}


def test_a_driver_that_the_policy_does_not_allow_gets_no_job() -> None:
    _, _, shares = cost(["pytorch-2.5-cuda12.4-sm80"], [A100, OLD_A100], DriverPolicy.STRICT)
    assert shares[OLD_A100.label] == (0, 0.0)
    assert shares[A100.label][0] == 1


def test_a_tuple_of_one_gpu_class_goes_there_alone() -> None:
    _, _, shares = cost([f"pytorch-2.5-cuda12.4-sm80-{OLD_A100.label}"], [A100, OLD_A100])
    assert (shares[A100.label][0], shares[OLD_A100.label][0]) == (0, 1)


def test_the_newest_earlier_sweep_that_ran_jobs_gives_the_times(tmp_path: Path) -> None:
    earlier = one(tmp_path, "retried", result())
    measured = earlier.classify()
    Sweep(tmp_path, "2026-11-21T060000").plan([])  # a newer one, without outcomes
    assert earlier_sweep(tmp_path, simulated=False) is None
    found = earlier_sweep(tmp_path, simulated=True)
    assert found is not None and found.sweep == earlier.here.name
    (outcome,) = measured.tuples
    assert outcome.gpu_seconds == 3
    # A framework that it did not have takes the median of those that it had.
    tuples = [submitted(f"{name}-2.{n}-cuda12.4-sm80") for name in ("pytorch", "jax") for n in range(600)]
    cost = estimate(tuples, environments(*tuples), [A100], DriverPolicy.MINOR, LoadSettings(), found)
    assert cost.gpu_hours == 1.0
    assert cost.basis == f"medians per framework of sweep {earlier.here.name}"


def test_an_outcomes_file_that_cannot_be_read_does_not_stop_the_estimate(tmp_path: Path) -> None:
    (tmp_path / "2026-01-01T000000").mkdir()
    (tmp_path / "2026-01-01T000000" / "outcomes.json").write_text('{"schema": "sweep.outcomes/99"}')
    assert earlier_sweep(tmp_path, simulated=True) is None


def test_a_sweep_takes_as_long_as_the_longest_of_its_categories() -> None:
    """Four tuples for the one A100 of two that it may have, two for the only L40."""
    ids = [f"pytorch-2.{v}-cuda12.4-sm80" for v in range(4)] + [f"pytorch-2.{v}-cuda12.4-sm89" for v in range(2)]
    tuples = [submitted(id_) for id_ in ids]
    for share, at_once in ((0.5, 1), (1.0, 2)):
        settings = LoadSettings(share=share)
        found = estimate(tuples, environments(*tuples), [A100, L40], DriverPolicy.MINOR, settings, None)
        assert found.at_once == {"sm80": at_once, "sm89": 1}
        assert found.hours == pytest.approx(4 / at_once * ASSUMED_SECONDS / 3600, abs=0.01)
