"""From rungs to a finding, where rungs are lacking, of an older ladder, or of another device than the log's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweepdir import one, result

from sweep.model import Cause, Rung, Verdict
from sweep.schema import Outcome


def outcome_of(directory: Path, data: dict[str, Any]) -> Outcome:
    return one(directory, "exit-0", data).only()


def with_rung(rung: Rung, record: dict[str, Any] | None) -> dict[str, Any]:
    """A result whose rungs all passed, but for one that is another record, or missing."""
    data = result()
    rungs = [r for r in data["rungs"] if record is not None or r["rung"] != rung]
    return data | {"rungs": [{"rung": rung.value, **(record or {})} if r["rung"] == rung else r for r in rungs]}


def test_a_result_of_before_the_rung_gradient_still_works(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, with_rung(Rung.GRADIENT, None))
    assert (outcome.verdict, outcome.cause) == (Verdict.WORKS, Cause.ALL_RUNGS)


@pytest.mark.parametrize("rung", [Rung.LIBRARY, Rung.GRADIENT])
def test_a_rung_that_the_framework_has_nothing_for_is_no_obstacle(tmp_path: Path, rung: Rung) -> None:
    outcome = outcome_of(tmp_path, with_rung(rung, {"outcome": "skipped", "message": "there is no such thing"}))
    assert (outcome.verdict, outcome.cause) == (Verdict.WORKS, Cause.ALL_RUNGS)


@pytest.mark.parametrize("rung", [Rung.LIBRARY, Rung.GRADIENT])
def test_a_rung_that_was_not_reached_is_one(tmp_path: Path, rung: Rung) -> None:
    outcome = outcome_of(tmp_path, with_rung(rung, {"outcome": "skipped"}))
    assert (outcome.cause, outcome.rung) == (Cause.NO_RESULT, rung)


@pytest.mark.parametrize("rung", [Rung.IMPORT, Rung.DEVICE, Rung.COPY, Rung.KERNEL])
def test_no_framework_may_lack_a_kernel(tmp_path: Path, rung: Rung) -> None:
    outcome = outcome_of(tmp_path, with_rung(rung, {"outcome": "skipped", "message": "there is no such thing"}))
    assert (outcome.cause, outcome.rung) == (Cause.NO_RESULT, rung)


@pytest.mark.parametrize(
    ("exception", "message", "cause"),
    [
        ("WrongResult", "step along the gradient: element [0][0] is 1.0 instead of 2.0", Cause.WRONG_RESULT),
        (
            "RuntimeError",
            "CUDA error: no kernel image is available for execution on the device",
            Cause.NO_KERNEL_IMAGE,
        ),
        ("RuntimeError", "undefined symbol: cublasLtMatmul", Cause.LIBRARY_MISSING),
    ],
)
def test_a_gradient_that_fails_is_a_failure_of_the_gpu(
    tmp_path: Path, exception: str, message: str, cause: Cause
) -> None:
    broken = {"rung": "gradient", "exception": exception, "message": message}
    outcome = outcome_of(tmp_path, result(broken=broken))
    assert (outcome.verdict, outcome.cause, outcome.rung) == (Verdict.GPU_FAILURE, cause, Rung.GRADIENT)


# --------------------------------------------------------------------------- the driver's own library as a witness


def seen_by_driver(uuid: str | None, capability: str = "8.0", count: int = 1) -> dict[str, Any]:
    data = result()
    devices = [{"uuid": uuid, "capability": capability}] * count
    return data | {"node": data["node"] | {"library": {"loads": True, "runtime": "12.4", "devices": devices}}}


LOGGED = "e53d89aa-5b59-523a-9367-ba137a0847df"


def on_whole_gpu(directory: Path, data: dict[str, Any]) -> Outcome:
    """As the recorded job, but on a GPU where that had a MIG slice."""
    sweep = one(directory, "exit-0", data)
    log = sweep.here / "events.log"
    log.write_text(log.read_text().replace("MIG-e53d89aa", "GPU-e53d89aa").replace("MIG_e53d89aa", "GPU_e53d89aa"))
    return sweep.only()


def test_the_device_that_the_driver_shows_must_be_the_event_logs(tmp_path: Path) -> None:
    assert on_whole_gpu(tmp_path / "same", seen_by_driver(f"GPU-{LOGGED}")).verdict is Verdict.WORKS
    other = on_whole_gpu(tmp_path / "other", seen_by_driver("GPU-ffffffff-0000-1111-2222-333344445555"))
    assert (other.cause, other.rule) == (Cause.INFRASTRUCTURE, "wrong-device")
    assert "the driver shows device GPU-ffffffff" in other.reason


def test_for_a_slice_an_old_driver_names_the_gpu_that_it_is_of(tmp_path: Path) -> None:
    assert outcome_of(tmp_path, seen_by_driver("GPU-ffffffff-0000-1111-2222-333344445555")).verdict is Verdict.WORKS


def test_the_capability_that_the_driver_shows_must_be_the_tuples(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, seen_by_driver(None, "7.5"))
    assert (outcome.cause, outcome.rule) == (Cause.INFRASTRUCTURE, "wrong-device")
    assert "the driver says capability 7.5" in outcome.reason


@pytest.mark.parametrize("count", [0, 2])
def test_a_driver_that_shows_none_or_several_devices_says_nothing_of_the_jobs(tmp_path: Path, count: int) -> None:
    assert outcome_of(tmp_path, seen_by_driver("GPU-ffffffff-0000", "7.5", count)).verdict is Verdict.WORKS


# --------------------------------------------------------------------------- speed

MEASURE = {"metric": "matmul_tflops", "unit": "TFLOP/s", "size": 4096, "value": 52.5, "cpu": 0.5, "ratio": 105.0}


def test_the_speed_of_what_works_stands_in_its_outcome(tmp_path: Path) -> None:
    outcome = outcome_of(tmp_path, result(speed=[MEASURE]))
    assert [measure.model_dump() for measure in outcome.speed] == [MEASURE]


def test_the_speed_of_what_does_not_work_is_left_out(tmp_path: Path) -> None:
    broken = {"rung": "library", "outcome": "crashed", "signal": 11}
    assert outcome_of(tmp_path, result(broken=broken, speed=[MEASURE])).speed == ()


@pytest.mark.parametrize(
    "change",
    [
        {"metric": "../x"},
        {"metric": "Matmul"},
        {"value": float("nan")},
        {"value": -1.0},
        {"ratio": 1e300},
        {"unit": "x" * 301},
        {"size": -1},
        {"value": "52"},
    ],
)
def test_a_forged_measure_makes_the_result_unusable(tmp_path: Path, change: dict[str, Any]) -> None:
    assert outcome_of(tmp_path, result(speed=[MEASURE | change])).cause is Cause.NO_RESULT
