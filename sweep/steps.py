"""The three steps that the parent DAG runs: plan, classify, report. Each reads files, writes files, and says little.

A person can run each of them by hand, at any time and any number of times.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sweep import alarm, condor, earlier, events, gate, notify, packing, relook, sweeps
from sweep.config import load_stored
from sweep.diff import Diff
from sweep.errors import BadFileError, SweepError
from sweep.files import locked, write_model
from sweep.model import VersionTuple
from sweep.places import EVENTS, OUTCOMES, PARENT_DAG, PLAN, SETTINGS
from sweep.schema import Outcomes, Plan
from sweep.verdict import classify

Say = Callable[[str], None]  # tells whoever waits what is going on

# After a removal the schedd writes the last events a moment after DAGMan has gone on; seconds.
_PATIENCE = 20.0


def plan_step(here: Path, say: Say) -> Plan:
    """Plan the sweep; on failure leave word for the closing step.

    Raises:
        SweepError: whatever kept the plan from being made.
    """
    from sweep.plan import make_plan  # rattler and the pool are needed here only

    settings = here / SETTINGS
    if not any((here / name).is_file() for name in (SETTINGS, PLAN, PARENT_DAG)):
        raise BadFileError(f"{here} is not a sweep's directory; `sweep new` makes one")
    try:
        with locked(here / ".plan.lock", wait=True):
            if settings.is_file():
                condor.use(load_stored(settings).pool.condor_config)
                sweeps.refuse_a_later_one(here)
            plan = make_plan(here, say)
    except SweepError as error:
        with contextlib.suppress(SweepError):  # an unwritable directory is what the error itself says
            sweeps.note_failure(here, str(error))
        raise
    (here / sweeps.FAILURE).unlink(missing_ok=True)
    return plan


def gate_step(here: Path, tuple_id: str) -> bool:
    """Whether the first tuple of an environment shows that the others need no job; then they get none.

    Raises:
        BadFileError: there is no usable plan, or it has no such tuple.
        ResultsError: the sweep's directory cannot be written.
    """
    try:
        environment = VersionTuple.parse(tuple_id).environment
    except ValueError as error:
        raise BadFileError(f"{here / PLAN} has no tuple {tuple_id}") from error
    alike = classify(here, only=environment).tuples
    first = next((outcome for outcome in alike if outcome.id == tuple_id), None)
    if first is None:
        raise BadFileError(f"{here / PLAN} has no tuple {tuple_id}")
    return gate.close(here, first, alike)


def classify_step(here: Path, returned: int | None) -> Outcomes:
    """Classify and write outcomes.json.

    `returned` is what the tuples' DAG returned, negative if it was removed; None when a person asks, at any later
    time. Only in the DAG is the pool looked at again: what it is next month says nothing about this sweep.
    """
    if returned is not None and returned < 0:
        _let_the_log_settle(here)
    outcomes = classify(here)
    if returned is not None and (ids := relook.open_questions(outcomes)):
        relook.look(here, ids)
        outcomes = classify(here)
    write_model(here / OUTCOMES, outcomes)
    return outcomes


def report_step(here: Path, dag_status: int | None, failed_nodes: int | None) -> Outcomes | None:
    """Write the tables; None when there is no plan to report on.

    By hand, and where something failed before it, it classifies once more; else the step before it just did. A sweep
    that ended as it should becomes `latest`, and the feed tells of it. The two numbers are DAGMan's own, absent by
    hand; only in the DAG is anybody told.

    Raises:
        BadFileError: `here` is not a sweep's directory; nothing is written there.
    """
    from sweep.report import feed, files  # pandas is needed here only

    if not any((here / name).is_file() for name in (PLAN, PARENT_DAG)):
        raise BadFileError(f"{here} has neither {PLAN} nor {PARENT_DAG}; name a sweep's directory")
    ended_well = dag_status == 0 and not failed_nodes
    try:
        if ended_well and (here / OUTCOMES).is_file():
            outcomes = earlier.read(here)
        else:
            # A sweep that was removed never came to its own classification.
            outcomes = classify_step(here, -1 if dag_status == 4 else None)
    except SweepError as error:
        why = sweeps.failure(here) if not (here / PLAN).is_file() else str(error)
        files.write_failure(here, why)
        if dag_status is not None:
            _tell(here, None, "")
        return None
    since = earlier.since_last(here, outcomes)
    files.write_tables(here, outcomes, since)
    if ended_well:
        files.point_latest(here)
        feed.write(here.parent, outcomes.pool.collector)
    if dag_status is not None:
        _tell(here, outcomes, since)
        if ended_well and outcomes.state == "complete":
            _pack(here, outcomes)
    return outcomes


def _pack(here: Path, outcomes: Outcomes) -> None:
    """Pack the logs of the tuples that work, if the settings say so; the tables do not depend on it."""
    try:
        if load_stored(here / SETTINGS).pack_logs:
            packing.pack(here, outcomes.tuples)
    except SweepError as error:
        print(error, file=sys.stderr)


def _tell(here: Path, outcomes: Outcomes | None, since: Diff | str) -> None:
    """Send the summary to those whom the settings name, if there is something to tell."""
    try:
        settings = load_stored(here / SETTINGS).notify
    except SweepError:
        return  # it is said elsewhere, and nobody is known to be told
    if settings.when == "changes" and not alarm.noteworthy(outcomes, since):
        return
    text = (here / "summary.txt").read_text()
    notify.tell(settings, f"[sweep] {text.partition(chr(10))[0]}", text, lambda line: print(line, file=sys.stderr))


def _let_the_log_settle(here: Path) -> None:
    """Wait until every job in the event log has ended, but not for ever."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        histories = events.read(here / EVENTS).histories.values()
        if all(history.last.state.over for history in histories):
            return
        time.sleep(0.5)
