"""The workload's measuring, on a clock of our own: sizes grow until a run can be timed, and medians count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sweep.probe.driver import speed
from sweep.probe.driver.speed import MEASURES


class Device:
    """A probe whose work takes as long as we say; `seconds` is that of one run, by size, place and run."""

    BENCHES = ("train",)

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int, str, int], float]) -> None:
        self.now = 0.0
        self.runs: list[tuple[int, str]] = []
        self.seconds = seconds
        monkeypatch.setattr(speed.time, "perf_counter", lambda: self.now)

    def bench(self, what: str, size: int, place: str) -> Callable[[int], None]:
        def run(count: int) -> None:
            for _ in range(count):
                self.runs.append((size, place))
                self.now += self.seconds(size, place, len(self.runs))

        return run

    def measured(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        speed.measure(self, lambda message: found.append(message["measure"]))
        return found


def test_the_largest_size_is_reached_where_the_device_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, lambda size, place, n: 1e-6 if place == "gpu" else 1e-4)
    (found,) = device.measured()
    largest = MEASURES["train"].sizes[-1]
    assert found == {
        "metric": "train_samples_per_s",
        "unit": "samples/s",
        "size": largest,
        "value": pytest.approx(largest / 1e-6, rel=1e-3),
        "cpu": pytest.approx(largest / 1e-4, rel=1e-3),
        "ratio": pytest.approx(100, rel=1e-3),
    }


def test_a_slow_device_stops_before_a_size_that_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, lambda size, place, n: size * 1e-3)
    (found,) = device.measured()
    assert found["size"] == 128  # 2048 would take two seconds
    assert found["value"] == pytest.approx(1000, rel=1e-3)
    assert max(size for size, _ in device.runs) == 128


def test_a_small_run_that_a_busy_machine_interrupts_does_not_end_the_growth(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, lambda size, place, n: 0.1 if n == 2 else 1e-6)
    assert device.measured()[0]["size"] == MEASURES["train"].sizes[-1]


def test_one_interrupted_timing_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    smooth = Device(monkeypatch, lambda size, place, n: 0.02).measured()
    rough = Device(monkeypatch, lambda size, place, n: 1.0 if n == 4 else 0.02).measured()
    assert rough == smooth


def test_work_that_takes_very_long_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(monkeypatch, lambda size, place, n: 30.0)
    device.measured()
    assert device.runs == [(1, "gpu")] * 3 + [(1, "cpu")] * 3  # to warm up, and two timings, of which one counts


def test_what_the_metric_counts_does_not_depend_on_the_size() -> None:
    for measure in MEASURES.values():
        work = [measure.amount(size) for size in measure.sizes]
        assert work == sorted(work) and len(set(work)) == len(work)
    assert MEASURES["matmul"].amount(1000) == pytest.approx(2e9 * 1e-12)
