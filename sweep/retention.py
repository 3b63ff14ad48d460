"""Which sweeps a results directory keeps whole, and which are reduced to what history and comparisons read.

Of a sweep that is not kept whole outcomes.json, changes.json, settings.json and the tables stay; jobs' files,
environments and logs go. Nothing of a sweep goes that is in the queue, that never ended, or that `latest` points at.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import ResultsError
from sweep.files import read_if_usable
from sweep.places import CHANGES, OUTCOMES, SETTINGS, sweeps_of
from sweep.schema import Outcomes

_STAYS = frozenset({OUTCOMES, SETTINGS, CHANGES, "summary.txt"})
_TABLES = "compatibility."  # in all of their forms


@dataclass(frozen=True)
class Reduction:
    """A sweep that is to be reduced: what goes, and how many bytes that is."""

    here: Path
    goes: tuple[Path, ...]
    size: int


@dataclass(frozen=True)
class Retention:
    """What is to be reduced, and by directory why each other sweep stays as it is; the newest first."""

    reductions: tuple[Reduction, ...]
    stays: dict[Path, str]


def retention(results: Path, keep: int, running: Collection[str]) -> Retention:
    """What keeping the newest `keep` finished sweeps whole comes to; nothing is changed.

    `running` are the directories of the sweeps in the queue.

    Raises:
        ResultsError: `keep` is less than one.
    """
    if keep < 1:
        raise ResultsError(f"--keep {keep}: the newest sweep always stays; keep at least 1")
    latest = (results / "latest").resolve()
    stays: dict[Path, str] = {}
    reductions = []
    whole = 0
    for here in map(Path.resolve, sweeps_of(results)):
        if str(here) in running:
            stays[here] = "it is in the queue"
        elif not _ended(here):
            stays[here] = "it never ended; remove it by hand if it is not needed"
        elif whole < keep:
            whole += 1
            stays[here] = f"one of the newest {keep}"
        elif here == latest:
            stays[here] = "`latest` points at it"
        elif goes := tuple(path for path in sorted(here.iterdir()) if not _kept(path)):
            reductions.append(Reduction(here, goes, sum(map(_size, goes))))
        else:
            stays[here] = "reduced already"
    return Retention(tuple(reductions), stays)


def reduce(reduction: Reduction) -> None:
    """Remove what goes.

    Raises:
        ResultsError: something cannot be removed; running it again goes on.
    """
    for path in reduction.goes:
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ResultsError(f"{path} cannot be removed: {error.strerror}; check its permissions") from error


def _ended(here: Path) -> bool:
    """Whether a sweep has outcomes of its end; those that cannot be read count as none."""
    outcomes = read_if_usable(here / OUTCOMES, Outcomes)
    return outcomes is not None and outcomes.state != "unfinished"


def _kept(path: Path) -> bool:
    return path.name in _STAYS or path.name.startswith(_TABLES)


def _size(path: Path) -> int:
    """Bytes in a file or a tree; links are not followed."""
    if path.is_dir() and not path.is_symlink():
        return sum(_size(each) for each in path.iterdir())
    return path.lstat().st_size
