"""A diff in words: alike changes together, so that a driver that broke forty tuples is told once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sweep.diff import VERDICTS_DIFFER, Change, Diff, Kind, Side
from sweep.ids import sm
from sweep.likely import likely
from sweep.model import Cause, Verdict
from sweep.report import table
from sweep.schema import Outcome, Outcomes

# How the first line of everything counts the kinds.
_COUNTED = {
    Kind.NEWLY_BROKEN: "newly broken",
    Kind.NEWLY_WORKS: "newly working",
    Kind.CAUSE_CHANGED: "with another cause",
    Kind.NEW: "new",
    Kind.GONE: "gone",
    Kind.NOT_COMPARABLE: "not comparable",
}


@dataclass(frozen=True)
class Group:
    """Changes of one kind, from the same cause to the same cause, for the same likely reason."""

    kind: Kind
    old: str
    new: str
    reason: str
    changes: tuple[Change, ...]

    @property
    def unexpected(self) -> bool:
        """Whether any of them differs from the last sweep or from its prediction."""
        return any(change.unexpected for change in self.changes)

    @property
    def one_sided(self) -> bool:
        """Whether only one of the sweeps has these tuples."""
        return self.kind in (Kind.NEW, Kind.GONE)

    @property
    def names(self) -> list[str]:
        """Enough to write every tuple's id, an environment each; of what came or went as a whole, its name."""
        if not self.one_sided:
            return table.names(change.id for change in self.changes)
        found: dict[str, list[Change]] = {}
        for change in self.changes:
            found.setdefault(_whole(change), []).append(change)
        return [f"{name} ({len(alike)} tuples, {_working(alike)} work)" for name, alike in found.items()]

    @property
    def turn(self) -> str:
        """`works → crashed`, or the side that there is."""
        return " → ".join(filter(None, (self.old, self.new)))


@dataclass(frozen=True)
class Surprise:
    """Tested tuples that all ended in one way, although a rule said another."""

    rule: str
    said: Cause
    cause: Cause
    outcomes: tuple[Outcome, ...]

    @property
    def names(self) -> list[str]:
        """Enough to write every tuple's id, an environment each."""
        return table.names(o.id for o in self.outcomes)

    @property
    def reason(self) -> str:
        """What went otherwise."""
        return f"{table.word(self.cause)}, against rule {self.rule}, which says {table.word(self.said)}"


def surprises(outcomes: Outcomes) -> list[Surprise]:
    """What went against a prediction, whether or not it did so in the last sweep too."""
    found: dict[tuple[str, Cause, Cause], list[Outcome]] = {}
    for o in outcomes.tuples:
        if o.surprise and o.prediction is not None:
            found.setdefault((o.prediction.rule, o.prediction.cause, o.cause), []).append(o)
    return [Surprise(*key, tuple(alike)) for key, alike in found.items()]


def differing(since: Diff | str | None) -> frozenset[str]:
    """The tuples whose verdict or cause is not what it was: those that a table marks."""
    found = since.changes if isinstance(since, Diff) else ()
    return frozenset(change.id for change in found if change.kind in VERDICTS_DIFFER)


def kinds(since: Diff | str | None) -> dict[str, str]:
    """By tuple, the kind of its change."""
    return {change.id: change.kind.value for change in since.changes} if isinstance(since, Diff) else {}


def groups(diff: Diff) -> list[Group]:
    """The changes, alike ones together, in the order of the diff."""
    found: dict[tuple[Kind, str, str, str], list[Change]] = {}
    for change in diff.changes:
        # What came or went did so as a whole, however each tuple of it ended.
        sides = ("", "") if change.kind in (Kind.NEW, Kind.GONE) else (_word(change.old), _word(change.new))
        found.setdefault((change.kind, *sides, likely(change)), []).append(change)
    return [Group(*key, tuple(alike)) for key, alike in found.items()]


def _whole(change: Change) -> str:
    """What came or went with a tuple: its GPUs, its version, its runtime, or its environment alone."""
    if change.axis in ("capability", "gpu"):
        return " ".join(filter(None, (sm(change.capability), change.gpu)))
    if change.axis == "version":
        return f"{change.framework} {change.version}"
    return f"{change.framework} CUDA {change.cuda}" if change.axis == "cuda" else change.environment.id


def _working(changes: list[Change]) -> int:
    return sum(side.verdict is Verdict.WORKS for c in changes for side in (c.old, c.new) if side)


def _word(side: Side | None) -> str:
    return table.word(side.cause) if side else ""


def headline(since: Diff | str | None) -> str:
    """What changed since the last sweep, in one sentence; empty where nobody asked."""
    if not isinstance(since, Diff):
        return f"Changes: {since}." if since else ""
    if since.apart:
        apart = "; ".join(f"{each.what}: {each.old} → {each.new}" for each in since.apart)
        return f"Not comparable with sweep {since.old} ({apart})."
    counts = Counter(change.kind for change in since.changes)
    said = ", ".join(f"{counts[kind]} {words}" for kind, words in _COUNTED.items() if counts[kind])
    return f"Since sweep {since.old}: {said or 'nothing changed'}; {since.alike} as before."


def lines(diff: Diff, *, names: int = 12) -> Iterator[str]:
    """The whole diff as plain lines, at most `names` environments to a group."""
    yield headline(diff)
    kind = None
    for group in groups(diff):
        if group.kind is not kind:
            kind = group.kind
            yield ""
            yield f"{kind.capitalize()}{' (unexpected)' if kind in VERDICTS_DIFFER else ''}"
        turn = f"{group.turn}: " if group.turn else ""
        yield f"  {turn}{shortened(group.names, names)}"
        yield f"      {group.reason}"


def shortened(names: list[str], limit: int) -> str:
    """Names with commas between them; of a long list the beginning, and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")
