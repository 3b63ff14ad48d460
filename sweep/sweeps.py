"""A sweep's life: made, submitted (or resumed), closed. One directory each, below the results directory."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from sweep import condor
from sweep.errors import AlreadyRunningError, BadFileError, PoolError, ResultsError, SubmitError
from sweep.files import locked, read_model, read_whole, write_atomic, write_model
from sweep.model import visible
from sweep.places import PARENT_DAG, PLAN, SETTINGS, planned
from sweep.schema import Plan
from sweep.settings import Settings

FAILURE = "plan.failed"


def new(settings: Settings, *, to_run: bool = True) -> Path:
    """Make the directory of a new sweep, with its settings and its copy of the parent DAG.

    A sweep that is meant to run now is refused while another one is in the queue; a dry run is not.

    Raises:
        ResultsError: the results directory cannot be written, or its path cannot stand in a DAG.
        AlreadyRunningError: a sweep into the same results directory is in the queue.
        SettingsError: a framework file is missing or wrong.
        PoolError: the schedd does not answer.
    """
    with _results_of(settings) as results:
        return _make(results, settings, to_run=to_run)


def submit(here: Path) -> str:
    """Submit a sweep, or resume an interrupted one: finished tuples are not repeated. Returns the job id.

    Raises:
        BadFileError: `here` is not a sweep's directory, or the sweep is finished.
        AlreadyRunningError: this sweep, or another one into the same results directory, is in the queue.
        SubmitError: the sweep's deadline has passed, or HTCondor refuses the DAG.
    """
    if not (here / PARENT_DAG).is_file():
        raise BadFileError(f"{here} has no {PARENT_DAG}; `sweep new` makes a sweep's directory")
    with _only_one(here.parent):
        return _send(here)


def start(settings: Settings) -> tuple[Path, str]:
    """Make a sweep and submit it; its directory and job id.

    Not `new` and then `submit`: of two commands at the same moment one would leave a directory that never runs.

    Raises:
        SweepError: what `new` and `submit` raise.
    """
    with _results_of(settings) as results:
        here = _make(results, settings, to_run=True)
        return here, _send(here)


def wait(here: Path, job: str, look: Callable[[], None], interval: float = 1.0) -> None:
    """Wait until a sweep has left the queue, calling `look` every so often.

    Raises:
        SubmitError: the sweep's DAG is on hold and would wait for ever.
    """
    while running := _in_queue(here.parent, job):
        if held := running[0]["held"]:
            raise SubmitError(f"job {job} of the sweep is on hold: {held}\n`condor_release {job}` lets it go on")
        look()
        time.sleep(interval)
    look()


def _in_queue(results: Path, job: str) -> list[dict[str, str]]:
    """The sweep's entry in the queue; a schedd that restarts is given a minute."""
    end = time.monotonic() + 60
    while True:
        try:
            return [sweep for sweep in condor.running_sweeps(results) if sweep["job"] == job]
        except PoolError:
            if time.monotonic() > end:
                raise
            time.sleep(5)


def dag_failed(here: Path) -> bool:
    """Whether a sweep that has left the queue ended otherwise than well, by DAGMan's own account."""
    try:
        return bool(json.loads((here / f"{PARENT_DAG}.metrics").read_text())["exitcode"])
    except (OSError, ValueError, KeyError, TypeError):
        return True  # removed, or killed before it could write one


def newest(results: Path, *, dry_runs: bool = False) -> Path:
    """The directory of the newest sweep below a results directory.

    A dry run counts only where there is nothing else, unless `dry_runs` says that it counts like the others.

    Raises:
        BadFileError: there is none.
    """
    found = sorted(p.parent for p in results.glob(f"*/{PARENT_DAG}") if not p.parent.is_symlink())
    if not found:
        raise BadFileError(f"no sweep below {results}; `sweep submit` starts one")
    submitted = [here for here in found if not dry_runs and (here / f"{PARENT_DAG}.condor.sub").exists()]
    return (submitted or found)[-1]


def note_failure(here: Path, why: str) -> None:
    """Leave word for the closing step that planning failed."""
    write_atomic(here / FAILURE, why + "\n")


def failure(here: Path) -> str:
    """Why there is no plan, in the words of the planning step, or as much as can be said without them."""
    path = here / FAILURE
    if path.is_file():
        return f"planning failed: {visible(path.read_text(errors='replace').strip())}"
    return f"planning did not end; {here / 'plan.log'} has what it said"


@contextlib.contextmanager
def _results_of(settings: Settings) -> Iterator[Path]:
    """The results directory, with its lock held, for settings that can be run."""
    from sweep import render  # what makes a sweep's files is not needed to submit one
    from sweep.framework import load_frameworks

    results = Path(render.safe_path(settings.results.resolve()))
    load_frameworks(settings)  # better now than in the DAG
    with _only_one(results):
        yield results


def _make(results: Path, settings: Settings, *, to_run: bool) -> Path:
    from sweep import render

    if to_run:
        _refuse_a_second(results)
    here = _fresh_directory(results)
    write_model(here / SETTINGS, settings)
    # Not resolved: the link inside a virtual environment is what makes Python find its packages.
    python = Path(sys.executable).absolute()
    write_atomic(here / PARENT_DAG, render.parent_dag(here, python, settings.limits.deadline))
    return here


def _send(here: Path) -> str:
    _refuse_a_second(here.parent)
    submitted_before = (here / f"{PARENT_DAG}.condor.sub").exists()
    if submitted_before and not dag_failed(here):
        raise BadFileError(
            f"the sweep in {here} was submitted before and left nothing to resume; `sweep submit` starts another"
        )
    _refuse_after_deadline(here)
    if planned(here):
        _leave_planning_out(here / PARENT_DAG)
    if submitted_before:
        from sweep import rescue  # what reads verdicts is needed here only

        rescue.prepare(here)
    condor.check_dag(here / PARENT_DAG)
    return condor.submit_dag(here / PARENT_DAG, f"sweep {here.name}")


def _leave_planning_out(dag: Path) -> None:
    """Take the planning script out of the DAG of a sweep that has its plan: it would only see that, in a second."""
    write_atomic(dag, re.sub(rb"^SCRIPT .* PRE tuples .*\n", b"", read_whole(dag), flags=re.MULTILINE))


def _refuse_a_second(results: Path) -> None:
    for other in condor.running_sweeps(results):
        raise _in_the_way(other)


def refuse_a_later_one(here: Path) -> None:
    """Stop a sweep that is in the queue behind another one: `condor_submit_dag` itself does not look.

    Raises:
        AlreadyRunningError: an older sweep into the same results directory is in the queue.
    """
    try:
        queue = condor.running_sweeps(here.parent)
    except PoolError:
        return  # a dry run where no schedd is; a sweep in the queue has one
    own = [int(sweep["job"]) for sweep in queue if sweep["directory"] == str(here)]
    for other in queue:
        if own and int(other["job"]) < min(own):
            raise _in_the_way(other)


def _in_the_way(other: dict[str, str]) -> AlreadyRunningError:
    state = f"on hold ({other['held']}; `condor_release {other['job']}`)" if other["held"] else "in the queue"
    return AlreadyRunningError(
        f"the sweep in {other['directory']} is {state} as job {other['job']}; wait for it "
        f"(`sweep status {other['directory']}`) or remove it (`condor_rm {other['job']}`)"
    )


def _refuse_after_deadline(here: Path) -> None:
    if not (here / PLAN).is_file():
        return
    plan = read_model(here / PLAN, Plan, "sweep plan")
    if plan.deadline <= datetime.now(UTC):
        raise SubmitError(
            f"the deadline of the sweep in {here} was {plan.deadline:%Y-%m-%d %H:%M} UTC, so no time is left to "
            f"resume it; `sweep report {here}` writes its table from what there is, `sweep submit` starts another one"
        )


def _fresh_directory(results: Path) -> Path:
    """A directory named after the time, in UTC so that names sort by age."""
    for _ in range(5):
        here = results / datetime.now(UTC).strftime("%Y-%m-%dT%H%M%S")
        try:
            here.mkdir(parents=True)
        except FileExistsError:
            time.sleep(1)
            continue
        except OSError as error:
            raise ResultsError(f"cannot make {here}: {error.strerror}; choose another sweep.results") from error
        return here
    raise ResultsError(f"cannot find a free name below {results}; are other sweeps being made all the time?")


@contextlib.contextmanager
def _only_one(results: Path) -> Iterator[None]:
    """Hold the results directory's lock: two commands at the same moment must not both see an empty queue."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(results / ".lock", wait=False))
        except BlockingIOError as error:
            raise AlreadyRunningError(
                f"another sweep command is at work in {results}; try again in a moment"
            ) from error
        yield
