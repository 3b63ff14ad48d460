"""What the workload came to, as columns of the table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sweep.probe.driver.speed import MEASURES
from sweep.schema import Outcome

UNITS: Final = {measure.metric: measure.unit for measure in MEASURES.values()}


def columns(outcome: Outcome) -> dict[str, float | None]:
    """The columns of one tuple, for the metrics of the built-in probes; empty where nothing was measured."""
    found: dict[str, float | None] = {}
    measured = {measure.metric: measure for measure in outcome.speed}
    for metric in UNITS:
        measure = measured.get(metric)
        found[metric] = measure.value if measure else None
        found[f"{metric}_cpu"] = measure.cpu if measure else None
        found[f"{metric}_ratio"] = measure.ratio if measure else None
    return found


def described() -> Iterator[tuple[str, tuple[str, str]]]:
    """Each of these columns: its name, its type and what it means."""
    for metric, unit in UNITS.items():
        name = metric.partition("_")[0]
        yield metric, ("number", f"the workload `{name}` on the GPU, {unit}; comparable on the same GPU class only")
        yield f"{metric}_cpu", ("number", f"the same on the node's processor, {unit}")
        yield f"{metric}_ratio", ("number", "the one divided by the other")
