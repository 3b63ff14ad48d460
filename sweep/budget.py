"""The GPU-hours that a sweep may spend: counted from its event log while it runs, what happens when they are gone.

A service node of the tuples' DAG watches. At the limit it halts DAGMan, which then submits nothing more, and removes
the jobs that wait; what runs finishes. So a sweep spends no more than its budget and what was running.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sweep import condor
from sweep.errors import PoolError
from sweep.events import Tracker
from sweep.files import read_if_usable, read_model, write_atomic, write_model
from sweep.history import History
from sweep.places import EVENTS, PLAN, SPENT, TUPLES_DAG
from sweep.schema import Plan, Spent

INTERVAL = 5.0  # seconds between two looks at the event log
TOKEN = "sweep:over-budget"  # noqa: S105 - the reason of a removal, as verdicts read it


def gpu_hours(histories: Mapping[str, History], now: int) -> float:
    """What all attempts held so far, in GPU-hours; those that still run until `now` (Unix seconds)."""
    return sum(a.gpu_seconds(now) for history in histories.values() for a in history.attempts) / 3600


def watch(here: Path, say: Callable[[str], None]) -> None:
    """Look at the event log until the budget is gone, then stop the sweep; goes on until it is told to go.

    Jobs that DAGMan had submitted by then are removed too, so it stays until DAGMan ends it.

    Raises:
        BadFileError: the plan cannot be read.
    """
    plan = read_model(here / PLAN, Plan, "sweep plan")
    if plan.budget is None:
        return
    log = Tracker(here / EVENTS)
    while True:
        now = datetime.now(UTC)
        spent = gpu_hours(log.update().histories, int(now.timestamp()))
        if spent >= plan.budget:
            if not (here / SPENT).is_file():
                say(f"{spent:.4g} GPU-hours are spent; the budget is {plan.budget:g}: nothing more is started")
                write_model(here / SPENT, Spent(taken=now, budget=plan.budget, spent=round(spent, 4)))
            # DAGMan takes the file's being there as its sign; condor_submit_dag removes it.
            write_atomic(here / f"{TUPLES_DAG}.halt", "")
            try:
                condor.remove_waiting(here / EVENTS, TOKEN)
            except PoolError as error:  # the next look tries again
                say(str(error))
        time.sleep(INTERVAL)


def stored(here: Path) -> Spent | None:
    """What the watch left behind; None when the budget lasted, or the file is damaged."""
    return read_if_usable(here / SPENT, Spent)
