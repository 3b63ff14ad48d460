"""A matrix of one metric of the workload.

The figures say what a version does to the speed, on GPUs that are alike. They are no benchmark of GPUs: the work is
small, and how large it is depends on how fast the device is.
"""

from __future__ import annotations

from typing import Final

from tabulate import tabulate

from sweep.errors import SettingsError
from sweep.report import table
from sweep.schema import Outcome, Outcomes

CAUTION: Final = "comparable across versions on the same GPU class only; ×: times the same node's processor"


def metrics(outcomes: Outcomes) -> list[str]:
    """The metrics that any tuple of the sweep has."""
    return list(dict.fromkeys(measure.metric for o in outcomes.tuples for measure in o.speed))


def render(outcomes: Outcomes, metric: str) -> str:
    """The matrices of one metric, with a line on what the figures can be compared with.

    Raises:
        SettingsError: no tuple of the sweep has the metric.
    """
    if metric not in (known := metrics(outcomes)):
        there = f"there are {', '.join(known)}" if known else "nothing was measured"
        raise SettingsError(f"--metric {metric}: no tuple of sweep {outcomes.sweep} has it; {there}")
    unit = next(m.unit for o in outcomes.tuples for m in o.speed if m.metric == metric)
    simulated = "; SIMULATED GPUs: the figures are those of plain Python" if outcomes.simulated else ""
    title = f"{metric} in {unit}: {CAUTION}{simulated}"
    matrices = [(name, _matrix(outcomes, name, metric)) for name in table.frameworks(outcomes)]
    return "\n\n".join([title, *(f"{name}\n{matrix}" for name, matrix in matrices if matrix)])


def _matrix(outcomes: Outcomes, framework: str, metric: str) -> str:
    """Rows and columns as in the table of verdicts, without rows that have no figure."""
    own = (o for o in outcomes.tuples if o.framework == framework)
    cells = {(o.version, o.cuda, table.place_of(o)): _cell(o, metric) for o in own}
    verdicts = table.matrix(outcomes, framework)
    places = list(verdicts.columns)
    rows = [[*key, *(cells.get((*key, place), "") for place in places)] for key in verdicts.index]
    titles = [table.column_title(place, outcomes.pool.classes) for place in places]
    measured = [row for row in rows if any(row[2:])]
    return tabulate(measured, ["version", "CUDA", *titles], disable_numparse=True) if measured else ""


def _cell(outcome: Outcome, metric: str) -> str:
    measure = next((m for m in outcome.speed if m.metric == metric), None)
    return f"{measure.value:.4g} ×{measure.ratio:.3g}" if measure else ""
