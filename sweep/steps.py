"""The steps of a sweep. Each reads files, writes files, and says little.

The parent DAG plans and closes; a person may plan, classify and report at any time and any number of times.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sweep import alarm, condor, earlier, gate, packing, relook, sweeps
from sweep.config import load_stored
from sweep.diff import Diff
from sweep.errors import BadFileError, SweepError
from sweep.events import EventLog, read_at_the_end
from sweep.files import locked, read_model, write_model
from sweep.model import VersionTuple
from sweep.places import EVENTS, OUTCOMES, PARENT_DAG, PLAN, SETTINGS, planned
from sweep.schema import Outcomes, Plan
from sweep.verdict import classify

Say = Callable[[str], None]  # tells whoever waits what is going on

_REMOVED = 4  # $DAG_STATUS of a DAG that somebody, or its own limit, removed


def plan_step(here: Path, say: Say) -> Plan:
    """Plan the sweep; on failure leave word for the closing step. A finished plan is kept.

    Raises:
        SweepError: whatever kept the plan from being made.
    """
    settings = here / SETTINGS
    if not any((here / name).is_file() for name in (SETTINGS, PLAN, PARENT_DAG)):
        raise BadFileError(f"{here} is not a sweep's directory; `sweep new` makes one")
    try:
        with locked(here / ".plan.lock", wait=True):
            if settings.is_file():
                condor.use(load_stored(settings).pool.condor_config)
                sweeps.refuse_a_later_one(here)
            if planned(here):
                say(f"{here / PLAN} is there already and is kept")
                plan = read_model(here / PLAN, Plan, "sweep plan")
            else:
                from sweep.plan import make_plan  # rattler is needed here only

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


def classify_step(here: Path) -> Outcomes:
    """Classify from what there is, and write outcomes.json; for a person, who may ask at any time.

    Raises:
        BadFileError: there is no usable plan.
    """
    outcomes = classify(here)
    write_model(here / OUTCOMES, outcomes)
    return outcomes


def report_step(here: Path) -> Outcomes | None:
    """Classify, and write the tables; None when there is no plan to report on. For a person, too.

    Raises:
        BadFileError: `here` is not a sweep's directory; nothing is written there.
    """
    outcomes, _ = _reported(here, classify_step)
    return outcomes


def close_step(here: Path, dag_status: int, log: Callable[[], EventLog] | None = None) -> bool:
    """Close a sweep, however it went: outcomes, tables, and word to those who want to know. Whether it has ended.

    A sweep that has ended becomes `latest`, and the feed tells of it. One that has not can be resumed: its planning
    failed, its tuples were interrupted, or it was removed as a whole. `dag_status` is what DAGMan thinks of it; that
    a tuple got no slot is an error to DAGMan, so only its word on a removal counts here. `log` gives the event log as
    it is at the end, where somebody reads it already.

    Raises:
        SweepError: the tables cannot be written.
    """
    from sweep.report import feed, files, page  # what makes tables is needed here only

    page.prepare()  # while the log is read
    log = log or partial(read_at_the_end, here / EVENTS, troubled=dag_status != 0)
    outcomes, since = _reported(here, partial(_at_the_end, log=log))
    if outcomes is None or outcomes.state == "unfinished" or dag_status == _REMOVED:
        _tell(here, outcomes, since)
        return False
    files.point_latest(here)
    feed.write(here.parent, outcomes.pool.collector)
    _tell(here, outcomes, since)
    if outcomes.state == "complete":
        _pack(here, outcomes)
    return True


def _at_the_end(here: Path, log: Callable[[], EventLog]) -> Outcomes:
    """Classify a sweep as its DAG ends, and look at the pool again: what it is next month says nothing about it."""
    read = log()
    outcomes = classify(here, log=read)
    if ids := relook.open_questions(outcomes):
        relook.look(here, ids)
        outcomes = classify(here, log=read)
    write_model(here / OUTCOMES, outcomes)
    return outcomes


def _reported(here: Path, classified: Callable[[Path], Outcomes]) -> tuple[Outcomes | None, Diff | str]:
    """Write the tables, or in their place why there are none; the outcomes, and what changed since the last sweep."""
    from sweep.report import files  # what makes tables is needed here only

    if not any((here / name).is_file() for name in (PLAN, PARENT_DAG)):
        raise BadFileError(f"{here} has neither {PLAN} nor {PARENT_DAG}; name a sweep's directory")
    try:
        outcomes = classified(here)
    except SweepError as error:
        files.write_failure(here, sweeps.failure(here) if not (here / PLAN).is_file() else str(error))
        return None, ""
    since = earlier.since_last(here, outcomes)
    files.write_tables(here, outcomes, since)
    return outcomes, since


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
    nobody = not settings.mail and settings.webhook_file is None
    if nobody or (settings.when == "changes" and not alarm.noteworthy(outcomes, since)):
        return
    from sweep import notify  # mail and HTTP are needed here only

    text = (here / "summary.txt").read_text()
    notify.tell(settings, f"[sweep] {text.partition(chr(10))[0]}", text, lambda line: print(line, file=sys.stderr))
