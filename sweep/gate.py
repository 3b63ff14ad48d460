"""The stage gate: one tuple of each environment goes first, and what it proves of the environment is not run again.

Where packages do not install, the framework does not import or has no CUDA, no GPU changes that. The gate closes: the
DAG passes over the environment's other tuples, and classification settles them by inference from the first one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field

from sweep.causes import GENERIC
from sweep.files import read_if_usable, write_model
from sweep.model import Cause, Frozen, Shown, Verdict
from sweep.schema import Outcome, PlannedTuple

HOLDS_ON_EVERY_GPU = frozenset({Cause.INSTALL_FAILED, Cause.IMPORT_FAILED, Cause.CPU_BUILD})
# What these rules name may be one node's doing: its own libraries or its disk. Other machines have to agree.
_PERHAPS_THE_NODE = frozenset({"abi-libstdcxx", "signal-at-import", f"{GENERIC}import", f"{GENERIC}install"})
RULE = "same-environment"
FILE = "gate.json"


class Closed(Frozen):
    """gate.json, in an environment's directory: the tuple that went first, and what it proved."""

    schema_: Literal["sweep.gate/1"] = Field(default="sweep.gate/1", alias="schema")
    first: Shown
    cause: Cause

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def first_of_each(tuples: Sequence[PlannedTuple], apart: Collection[str] = ()) -> Mapping[str, list[str]]:
    """By the tuple that goes first, the others of its environment; `tuples` are in the order in which they run.

    Audits wait for nobody: they are there to contradict what is believed. Nor do tuples of a capability that is
    `apart` wait for one of another: they look at the gate when their turn comes.
    """
    by_environment: dict[str, list[PlannedTuple]] = {}
    for tuple_ in tuples:
        if not tuple_.audit:
            by_environment.setdefault(tuple_.environment.id, []).append(tuple_)
    return {
        first.id: [t.id for t in others if t.capability not in apart or t.capability == first.capability]
        for first, *others in by_environment.values()
        if others
    }


def close(here: Path, first: Outcome, alike: Sequence[Outcome]) -> bool:
    """Close the gate of an environment if what became of its first tuple holds on every GPU, else open it.

    `alike` are the environment's tuples, the first among them. Returns whether the gate is closed.

    Raises:
        ResultsError: the sweep's directory cannot be written.
    """
    if not _proves(first, alike):
        _file(here, first).unlink(missing_ok=True)
        return False
    write_model(_file(here, first), Closed(first=first.id, cause=first.cause))
    return True


def reopen(here: Path, outcomes: Sequence[Outcome]) -> None:
    """Open the gates that another look at the tuples that went first does not confirm."""
    by_environment = _by_environment(outcomes)
    for alike in by_environment.values():
        first = next((o for o in alike if o.id == _first(here, o)), None)
        if first is None or not _proves(first, alike):
            _file(here, alike[0]).unlink(missing_ok=True)


def inferred(here: Path, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, with those settled whose environment's gate was closed before they had a job.

    The first tuple's outcome has the last word: what another look at it does not confirm settles nothing.
    """
    by_id = {outcome.id: outcome for outcome in outcomes}
    by_environment = _by_environment(outcomes)
    found = []
    for outcome in outcomes:
        first = None
        if outcome.submitted and not outcome.attempts and outcome.verdict is Verdict.INCONCLUSIVE:
            first = by_id.get(_first(here, outcome) or "")
        if first is None or not _proves(first, by_environment[outcome.environment.id]):
            found.append(outcome)
            continue
        settled = {name: getattr(first, name) for name in ("verdict", "cause", "evidence", "rung")}
        reason = f"as with {first.id}, whose environment it shares: {first.reason}"
        update = {"submitted": False, "rule": RULE, "reason": reason, "prediction": None, "surprise": False}
        found.append(outcome.model_copy(update=settled | update))
    return found


def _proves(first: Outcome, alike: Sequence[Outcome]) -> bool:
    """Whether a tuple's outcome holds for the whole environment; not against another tuple that came further."""
    if first.cause not in HOLDS_ON_EVERY_GPU or first.rule in _PERHAPS_THE_NODE:
        return False
    return not any(o.verdict in (Verdict.WORKS, Verdict.GPU_FAILURE) for o in alike if o.submitted)


def _by_environment(outcomes: Sequence[Outcome]) -> Mapping[str, list[Outcome]]:
    found: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault(outcome.environment.id, []).append(outcome)
    return found


def _file(here: Path, outcome: Outcome) -> Path:
    return here / "environments" / outcome.environment.id / FILE


def _first(here: Path, outcome: Outcome) -> str | None:
    """The tuple that closed the gate of this one's environment; None where it is open, or the file is damaged."""
    closed = read_if_usable(_file(here, outcome), Closed)
    return closed.first if closed else None
