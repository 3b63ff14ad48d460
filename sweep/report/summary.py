"""summary.txt: ten lines for cron's mail, the first of which says what changed."""

from __future__ import annotations

from pathlib import Path

from sweep.diff import VERDICTS_DIFFER, Diff
from sweep.places import PAGE
from sweep.report import changes, table
from sweep.schema import Outcomes

_LINES = 10
_LONGEST = 200  # characters of a line


def render(here: Path, outcomes: Outcomes, since: Diff | str | None = None) -> str:
    """At most ten lines: changes, the sweep as a whole, what is unexpected, notes, and where the tables are."""
    first = changes.headline(since)
    head = [*([first] if first else []), table.headline(outcomes)]
    last = f"Tables: {here}/{PAGE} .md .csv .json"
    notes = [f"note: {note}" for note in outcomes.notes]
    unexpected = [*_surprises(outcomes), *_unexpected(since)]
    room = _LINES - len(head) - 1
    # Whatever leaves lines unused leaves them to the other one.
    told = _fit(unexpected, max(room // 2, room - len(notes)), "more unexpected changes")
    return "\n".join([*head, *map(_clipped, [*told, *_fit(notes, room - len(told), "more notes")]), last]) + "\n"


def _surprises(outcomes: Outcomes) -> list[str]:
    return [f"unexpected: {changes.shortened(s.names, 2)}: {s.reason}" for s in changes.surprises(outcomes)]


def _unexpected(since: Diff | str | None) -> list[str]:
    if not isinstance(since, Diff):
        return []
    return [
        f"{group.kind}: {group.turn}: {changes.shortened(group.names, 2)}: {group.reason}"
        for group in changes.groups(since)
        if group.kind in VERDICTS_DIFFER
    ]


def _fit(lines: list[str], room: int, rest: str) -> list[str]:
    """As many lines as there is room for; the last one then says how many there are besides."""
    if len(lines) <= room:
        return lines
    return [*lines[: room - 1], f"and {len(lines) - room + 1} {rest}"]


def _clipped(line: str) -> str:
    return "  " + (line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…")
