"""A matrix of one metric of the workload.

The figures say what a version does to the speed, on GPUs that are alike. They are no benchmark of GPUs: the work is
small, and how large it is depends on how fast the device is.
"""

from __future__ import annotations

from typing import Final

import pandas as pd
from tabulate import tabulate

from sweep.errors import SettingsError
from sweep.report import table
from sweep.schema import Measure, Outcomes

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
    measured = pd.DataFrame(
        [
            (o.framework, o.version, o.cuda, table.place_of(o), _said(measure))
            for o in outcomes.tuples
            for measure in o.speed
            if measure.metric == metric
        ],
        columns=["framework", "version", "CUDA", "place", "said"],
    ).drop_duplicates(["framework", "version", "CUDA", "place"])  # a node may say anything, and say it twice
    matrices = [f"{name}\n{_matrix(own, outcomes)}" for name, own in measured.groupby("framework", sort=False)]
    return "\n\n".join([title, *matrices])


def _matrix(measured: pd.DataFrame, outcomes: Outcomes) -> str:
    """What was measured of a framework, with rows and columns in the order of the table of verdicts."""
    places = table.in_order(measured["place"])
    matrix = measured.pivot(index=["version", "CUDA"], columns="place", values="said")
    rows = pd.MultiIndex.from_frame(measured[["version", "CUDA"]].drop_duplicates())
    matrix = matrix.reindex(index=rows, columns=places).fillna("").reset_index()
    titles = [table.column_title(place, outcomes.pool.classes) for place in places]
    return tabulate(matrix.to_numpy().tolist(), ["version", "CUDA", *titles], disable_numparse=True)


def _said(measure: Measure) -> str:
    return f"{measure.value:.4g} ×{measure.ratio:.3g}"
