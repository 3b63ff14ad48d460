"""A small workload, timed on the GPU and on the CPU: what a version does to the speed.

Each measure has a list of sizes. They are tried from small to large, as long as the next can be expected to run
within half a second. Real GPUs reach the last or nearly so, and alike ones the same: figures of one GPU class are of
the same work. A figure is the median of a few timings after a warm-up, each of them of runs that were waited for.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Callable, Dict, NamedTuple, Tuple

from .common import SHORT_CHARS, Facts, clean, describe

TARGET_SECONDS = 0.01  # a timing is of at least that
LONGEST_SECONDS = 0.5  # that a run may be expected to take
CLEAR_SECONDS = 0.005  # a shorter run says nothing about larger ones: it may be the cost of starting
TIMINGS = 3
BUDGET_SECONDS = 2.0  # for the timings of one measure in one place; the warm-up is not counted

Run = Callable[[int], None]  # runs the work so many times, and waits for it


class Measure(NamedTuple):
    """What is measured: an id, a unit, the sizes, and how many units one run of a size is."""

    metric: str
    unit: str
    sizes: Tuple[int, ...]
    amount: Callable[[int], float]


# Sizes: rows and columns of square matrices; so many images of 16 x 16 pixels in so many channels, of which 3 x 3
# weights make as many others; samples in a batch for a perceptron of 128-128-16; rows of a table of 16 columns, in 10
# rounds.
MEASURES: Dict[str, Measure] = {
    "matmul": Measure("matmul_tflops", "TFLOP/s", (64, 512, 1536, 4096), lambda n: 2e-12 * n**3),
    "conv": Measure("conv_tflops", "TFLOP/s", (4, 32, 96, 256), lambda n: 2e-12 * 9 * 14**2 * n**3),
    "train": Measure("train_samples_per_s", "samples/s", (1, 128, 2048, 65536), float),
    "boost": Measure("boost_rows_per_s", "rows/s", (1000, 10000, 100000, 1000000), lambda n: 10.0 * n),
}


def measure(probe: Any, report: Callable[[Facts], None]) -> None:
    """Measure everything that the framework's probe offers; what does not work is left out, and says why."""
    for name in probe.BENCHES:
        wanted = MEASURES[name]
        try:
            size, value = _throughput(probe, name, wanted, "gpu")
            _, cpu = _throughput(probe, name, wanted, "cpu")
        except Exception as error:
            print("speed: %s: %s: %s" % (name, type(error).__name__, clean(describe(error), SHORT_CHARS)))
            continue
        figures = {"metric": wanted.metric, "unit": wanted.unit, "size": size}
        figures.update(value=_round(value), cpu=_round(cpu), ratio=_round(value / cpu))
        report({"event": "measure", "measure": figures})


def _throughput(probe: Any, name: str, wanted: Measure, place: str) -> Tuple[int, float]:
    """The size that was reached, and units per second."""
    for size, larger in zip(wanted.sizes, (*wanted.sizes[1:], None)):
        run: Run = probe.bench(name, size, place)
        run(1)  # compiles, loads libraries, chooses algorithms
        seconds = min(_timed(run, 1), _timed(run, 1))  # a busy machine may interrupt one of them
        if larger is None:
            break
        expected = seconds * wanted.amount(larger) / wanted.amount(size)
        if seconds > CLEAR_SECONDS and expected > LONGEST_SECONDS:
            break
    count = max(1, round(TARGET_SECONDS / max(seconds, 1e-7)))
    timings = [seconds] if count == 1 else []
    while len(timings) < TIMINGS and sum(timings) < BUDGET_SECONDS:
        timings.append(_timed(run, count))
    return size, wanted.amount(size) * count / statistics.median(timings)


def _timed(run: Run, count: int) -> float:
    began = time.perf_counter()
    run(count)
    return time.perf_counter() - began


def _round(value: float) -> float:
    """Four digits are more than such a measure is worth."""
    return float("%.4g" % value)
