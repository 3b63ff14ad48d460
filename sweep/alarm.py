"""Whether what changed since the last sweep deserves somebody's attention: for exit codes, mail and webhooks."""

from __future__ import annotations

from enum import StrEnum

from sweep.diff import VERDICTS_DIFFER, Change, Diff, Kind
from sweep.errors import RegressionError
from sweep.schema import Outcomes

_NAMED = 10  # tuples in a message


class FailOn(StrEnum):
    """What counts as an error: tuples that worked and do not any more, or whatever is not as expected."""

    REGRESSIONS = "regressions"
    UNEXPECTED = "unexpected"


def alarming(since: Diff | str, what: FailOn) -> list[Change]:
    """The changes that count; none where there is no sweep to compare with."""
    if not isinstance(since, Diff):
        return []
    if what is FailOn.REGRESSIONS:
        return list(since.of(Kind.NEWLY_BROKEN))
    return [change for change in since.changes if change.unexpected]


def fail_on(since: Diff | str, what: FailOn) -> None:
    """Nothing, where nothing counts.

    Raises:
        RegressionError: something does; the first ten tuples are named.
    """
    found = alarming(since, what)
    if not found:
        return
    assert isinstance(since, Diff)
    names = ", ".join(change.id for change in found[:_NAMED])
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    kind = "newly broken" if what is FailOn.REGRESSIONS else "not as expected"
    raise RegressionError(
        f"{len(found)} tuple(s) {kind} since sweep {since.old}: {names}{more}; `sweep diff` says why"
    )


def noteworthy(outcomes: Outcomes | None, since: Diff | str) -> bool:
    """Whether a sweep that has ended says anything new: no table, an early end, a change, a surprise."""
    if outcomes is None or outcomes.state != "complete":
        return True
    changed = isinstance(since, Diff) and any(change.kind in VERDICTS_DIFFER for change in since.changes)
    return changed or any(outcome.surprise for outcome in outcomes.tuples)
