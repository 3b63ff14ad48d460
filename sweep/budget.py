"""The GPU-hours that a sweep may spend: counted from its event log while it runs, what happens when they are gone.

A service node of the tuples' DAG watches. When the sweep's budget is spent it halts DAGMan, which then submits
nothing more; when that of a capability is, gate.sh passes over its tuples. Either way the jobs that wait are removed,
and what runs finishes. So a sweep spends no more than its budget and what was running.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sweep import condor
from sweep.errors import PoolError
from sweep.events import Tracker
from sweep.files import read_if_usable, read_model, write_atomic, write_model
from sweep.history import History
from sweep.places import EVENTS, PLAN, SPENT, TUPLES_DAG, spent_of
from sweep.schema import Plan, Spent

INTERVAL = 5.0  # seconds between two looks at the event log
TOKEN = "sweep:over-budget"  # noqa: S105 - the reason of a removal, as verdicts read it


def gpu_hours(histories: Iterable[History], now: int) -> float:
    """What all jobs held so far, in GPU-hours; those that still do until `now` (Unix seconds)."""
    return sum(job.gpu_seconds(now) for history in histories for job in history.jobs) / 3600


def watch(here: Path, say: Callable[[str], None]) -> None:
    """Look at the event log until a budget is gone, then stop what it was for; goes on until it is told to go.

    Jobs that DAGMan had submitted by then are removed too, so it stays until DAGMan ends it.

    Raises:
        BadFileError: the plan cannot be read.
    """
    plan = read_model(here / PLAN, Plan, "sweep plan")
    budgets = plan.all_budgets
    capabilities = {t.id: t.capability for t in plan.tuples}
    log = Tracker(here / EVENTS)
    while budgets:
        now = datetime.now(UTC)
        histories = log.update().histories
        for capability, budget in budgets.items():
            of_it = (h for id_, h in histories.items() if capability in (None, capabilities.get(id_)))
            spent = gpu_hours(of_it, int(now.timestamp()))
            if spent >= budget:
                gone = Spent(taken=now, budget=budget, spent=round(spent, 4), capability=capability)
                _stop(here, gone, say)
        time.sleep(INTERVAL)


def _stop(here: Path, gone: Spent, say: Callable[[str], None]) -> None:
    """Let nothing more start of what a budget was for."""
    file = here / spent_of(gone.capability)
    if not file.is_file():
        what = f"for capability {gone.capability}" if gone.capability else "for the sweep"
        say(f"{gone.spent:.4g} GPU-hours are spent; the budget {what} is {gone.budget:g}: nothing more is started")
        write_model(file, gone)
    if gone.capability is None:
        # DAGMan takes the file's being there as its sign; condor_submit_dag removes it.
        write_atomic(here / f"{TUPLES_DAG}.halt", "")
    try:
        condor.remove_waiting(here / EVENTS, TOKEN, gone.capability)
    except PoolError as error:  # the next look tries again
        say(str(error))


def stored(here: Path) -> Mapping[str | None, Spent]:
    """What the watch left behind, by capability, None being the whole sweep; without what is damaged."""
    found = (read_if_usable(path, Spent) for path in here.glob(spent_of("*")))
    return {spent.capability: spent for spent in (read_if_usable(here / SPENT, Spent), *found) if spent}
