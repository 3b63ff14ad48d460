"""A running sweep at a glance: where its tuples stand, from the event log and nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sweep import events
from sweep.files import read_model
from sweep.places import EVENTS, PLAN, TABLES
from sweep.schema import Plan
from sweep.sweeps import FAILURE


@dataclass(frozen=True)
class Progress:
    """Counts of the submitted tuples by state, per framework; `phase` is a word for the whole sweep."""

    sweep: str
    phase: str
    by_framework: dict[str, Counter[str]]
    settled: int

    @property
    def total(self) -> Counter[str]:
        """All frameworks together."""
        return sum(self.by_framework.values(), Counter())

    def line(self) -> str:
        """One plain line."""
        counts = ", ".join(f"{count} {state}" for state, count in sorted(self.total.items()))
        return f"{self.sweep}: {self.phase}; {counts or 'no tuple submitted'}; {self.settled} settled without a job"


def progress(here: Path) -> Progress:
    """Where the sweep in `here` stands.

    Raises:
        BadFileError: the plan is damaged.
    """
    if not (here / PLAN).is_file():
        phase = "planning failed" if (here / FAILURE).is_file() else "not planned yet"
        return Progress(here.name, phase, {}, 0)
    plan = read_model(here / PLAN, Plan, "sweep plan")
    histories = events.read(here / EVENTS).histories
    found: dict[str, Counter[str]] = {}
    for planned in plan.tuples:
        if planned.submitted:
            history = histories.get(planned.id)
            state = history.last.state.value if history else "waiting"
            found.setdefault(planned.framework, Counter())[_word(state)] += 1
    total = sum(found.values(), Counter())
    phase = "reported" if _newer(here / TABLES, here / EVENTS) else "running"
    if phase == "running" and not total["running"] + total["idle"] + total["held"] + total["waiting"]:
        phase = "classifying"
    return Progress(here.name, phase, found, sum(not t.submitted for t in plan.tuples))


def _newer(file: Path, than: Path) -> bool:
    """Whether a file is there and not older than another: a resumed sweep still has its first report."""
    try:
        return file.stat().st_mtime >= (than.stat().st_mtime if than.exists() else 0)
    except OSError:
        return False


def _word(state: str) -> str:
    return "done" if state in ("exited", "signalled") else state
