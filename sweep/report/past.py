"""How one tuple fared from sweep to sweep, a line each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sweep.errors import BadFileError
from sweep.report import table
from sweep.schema import Outcome, Outcomes


def lines(sweeps: Iterable[Outcomes], tuple_id: str) -> Iterator[str]:
    """A line for each sweep, in the order in which they come.

    Raises:
        BadFileError: none of them has such a tuple.
    """
    known = False
    for outcomes in sweeps:
        outcome = next((o for o in outcomes.tuples if o.id == tuple_id), None)
        known = known or outcome is not None
        kind = "  (simulated GPUs)" if outcomes.simulated else ""
        yield f"{outcomes.sweep}  {_told(outcome) if outcome else '-  no such tuple in this sweep'}{kind}"
    if not known:
        raise BadFileError(f"no finished sweep has a tuple {tuple_id}; `sweep plan --list` shows the candidates")


def _told(outcome: Outcome) -> str:
    """Cell, device, driver and lock; the reason where it does not simply work."""
    where = f"{outcome.device}, driver {outcome.driver or 'unknown'}" if outcome.device else ""
    lock = f"lock {outcome.lock_sha256[:12]}" if outcome.lock_sha256 else ""
    why = "" if table.word(outcome.cause) == "works" else outcome.reason
    return "  ".join(filter(None, (table.cell(outcome), where, lock, why)))
