"""The finished sweeps of a results directory, and what changed since the one before.

Tries have a results directory of their own, and dry runs have no outcomes, so neither is among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from sweep.diff import Diff, diff
from sweep.errors import BadFileError
from sweep.files import read_model
from sweep.places import OUTCOMES, sweeps_of
from sweep.schema import Outcomes


def read(here: Path) -> Outcomes:
    """The outcomes of the sweep in directory `here`.

    Raises:
        BadFileError: there are none, or they are damaged or of another schema; the text says what to do.
    """
    return read_model(here / OUTCOMES, Outcomes, "sweep classify")


def classified(results: Path) -> list[Path]:
    """The directories of the sweeps that have outcomes, the newest first."""
    return [here for here in sweeps_of(results) if (here / OUTCOMES).is_file()]


def finished(results: Path, skipped: Callable[[str], None]) -> Iterator[Outcomes]:
    """The outcomes of the sweeps that came to an end, the newest first; read one by one, as they are asked for.

    `skipped` hears of those that cannot be read.
    """
    for here in classified(results):
        try:
            outcomes = read(here)
        except BadFileError as error:
            skipped(str(error))
            continue
        if outcomes.state != "unfinished":
            yield outcomes


def pair(
    results: Path, old: str | None, new: str | None, skipped: Callable[[str], None]
) -> tuple[Outcomes, Outcomes]:
    """Two sweeps to compare, older first: each a directory or a name below `results`.

    For a missing `new` the newest finished sweep is taken, for a missing `old` the one of the same kind before it.

    Raises:
        BadFileError: there are no two, or one of them cannot be read.
    """
    sweeps = finished(results, skipped)
    later = read(named(results, new)) if new else next(sweeps, None)
    if old and later:
        return read(named(results, old)), later
    earlier = next((each for each in sweeps if later and each.simulated is later.simulated), None)
    if later is None or earlier is None:
        raise BadFileError(f"{results} has no two finished sweeps to compare; name their directories")
    return earlier, later


def named(results: Path, name: str) -> Path:
    """The directory that a person means by a path, or by the name of a sweep."""
    return Path(name) if Path(name).is_dir() else results / name


def since_last(here: Path, outcomes: Outcomes) -> Diff | str:
    """What changed since the last finished sweep before this one, or why that cannot be said."""
    try:
        for earlier in classified(here.parent):
            if earlier.name >= here.name:
                continue
            old = read(earlier)
            if old.state != "unfinished" and old.simulated is outcomes.simulated:
                return diff(old, outcomes)
    except BadFileError as error:
        return f"not compared with the sweep before it: {error}"
    return "none to tell, this is the first finished sweep here"
