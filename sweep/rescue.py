"""What DAGMan needs to take up an interrupted sweep: rescue DAGs, made from the jobs' own log where it left none.

DAGMan writes them when it is removed or a node fails. One that was killed, or lost its power, and then removed has
written none. The tuples' DAG writes none if all its nodes are done, though not all of them need have a verdict; the
parent's then takes it for done.
"""

from __future__ import annotations

import re
from pathlib import Path

from sweep import events, gate
from sweep.files import read_model, write_atomic
from sweep.model import Verdict
from sweep.places import EVENTS, PARENT_DAG, PLAN, TUPLES_DAG, planned
from sweep.render import node_name
from sweep.schema import Plan
from sweep.verdict import classify

_HEADER = "# Written by `sweep submit`: what is done already, by the jobs' own log.\n"


def prepare(here: Path) -> None:
    """Make a sweep that is not in the queue resumable without repeating its finished tuples.

    Raises:
        BadFileError: the plan is damaged.
        ResultsError: the directory cannot be written.
    """
    for dag in (PARENT_DAG, TUPLES_DAG):
        # Left by a DAGMan that was killed; the next one would follow its node log to the removal of its jobs.
        (here / f"{dag}.lock").unlink(missing_ok=True)
    parents = _rescues(here, PARENT_DAG)
    if not parents or _done(parents):
        write_atomic(here / f"{PARENT_DAG}.rescue{_number(parents) + 1:03}", _HEADER)
    if not planned(here):
        return  # planning comes first, and decides what there is to do
    rescues = _rescues(here, TUPLES_DAG)
    known = _done(rescues)
    done = (known - _passed_over(here)) | _finished(here)
    if done != known:
        lines = "".join(f"DONE {node}\n" for node in sorted(done))
        write_atomic(here / f"{TUPLES_DAG}.rescue{_number(rescues) + 1:03}", _HEADER + lines)


def _finished(here: Path) -> set[str]:
    """The nodes of the tuples whose job reached a verdict."""
    plan = read_model(here / PLAN, Plan, "sweep plan")
    histories = events.read(here / EVENTS).histories
    submitted = (t.id for t in plan.tuples if t.submitted and t.id in histories)
    return {node_name(name) for name in submitted if histories[name].decisive.exit_code == 0}


def _passed_over(here: Path) -> set[str]:
    """The nodes of the stage gate that DAGMan may take for done although nothing is known of their tuples.

    The script after a first tuple always succeeds, and a closed gate passes over the others. Gates that were closed
    for a reason that does not hold any longer are opened.
    """
    gated = set(re.findall(r"^SCRIPT (?:PRE|POST) (\S+)", (here / TUPLES_DAG).read_text(), re.M))
    if not gated:
        return set()
    outcomes = classify(here).tuples
    gate.reopen(here, outcomes)
    unknown = {node_name(o.id) for o in outcomes if o.submitted and o.verdict is Verdict.INCONCLUSIVE}
    return gated & unknown


def _rescues(here: Path, dag: str) -> list[Path]:
    """The rescue DAGs of a DAG, oldest first."""
    return sorted(here.glob(f"{dag}.rescue[0-9][0-9][0-9]"))


def _done(rescues: list[Path]) -> set[str]:
    """The nodes that the newest of some rescue DAGs says are done."""
    return set(re.findall(r"^DONE (\S+)", rescues[-1].read_text(), re.M)) if rescues else set()


def _number(rescues: list[Path]) -> int:
    return int(rescues[-1].name[-3:]) if rescues else 0
