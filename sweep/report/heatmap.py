"""The heat maps, one for each framework: GPUs down, versions across and together by CUDA runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby

from sweep.cuda import version_key
from sweep.ids import sm
from sweep.model import Cause, GpuClass
from sweep.report import table
from sweep.schema import Outcome, Outcomes

SIMULATED = " (simulated)"  # the page says so once, at its top


@dataclass(frozen=True)
class Column:
    """A version for a CUDA runtime; `unbuilt` when the channels have no build of it for any GPU."""

    cuda: str
    version: str
    unbuilt: bool


@dataclass(frozen=True)
class Group:
    """Columns beside each other with one CUDA runtime, those with builds apart from those without."""

    cuda: str
    unbuilt: bool
    span: int


@dataclass(frozen=True)
class Cell:
    """A tuple in the map: its place among the outcomes, and what is shown of it."""

    index: int
    outcome: Outcome
    glyph: str
    word: str
    signs: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """A capability or a GPU class: its name, how many devices the pool has, and what they are called."""

    name: str
    devices: int
    models: tuple[str, ...]
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Map:
    """The map of one framework; `unbuilt` says in a sentence what its hidden columns are."""

    framework: str
    groups: tuple[Group, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    unbuilt: str


def of(outcomes: Outcomes, changed: Collection[str]) -> list[Map]:
    """The map of each framework; `changed` are the tuples to be marked as such."""
    indices = {o.id: index for index, o in enumerate(outcomes.tuples)}
    return [_map(part, framework, indices, changed) for framework, part in table.parts(outcomes).items()]


def _map(part: Outcomes, framework: str, indices: Mapping[str, int], changed: Collection[str]) -> Map:
    cells: dict[tuple[str, str, str], Cell] = {}
    for o in part.tuples:
        signs = tuple(table.signs(o, changed=o.id in changed))
        cell = Cell(indices[o.id], o, table.GLYPHS[o.verdict], table.word(o.cause), signs)
        cells[o.cuda, o.version, table.place_of(o)] = cell
    columns = _columns([cell.outcome for cell in cells.values()])
    places = table.in_order(place for _, _, place in cells)
    return Map(
        framework,
        tuple(Group(*key, len(list(alike))) for key, alike in groupby(columns, key=lambda c: (c.cuda, c.unbuilt))),
        columns,
        tuple(_row(place, part.pool.classes, columns, cells) for place in places),
        table.never_built(part),
    )


def _columns(outcomes: list[Outcome]) -> tuple[Column, ...]:
    """By CUDA runtime, newest first; in each what has builds first, in the plan's order of versions."""
    built = {(o.cuda, o.version) for o in outcomes if o.cause is not Cause.NO_BUILD}
    pairs = dict.fromkeys((o.cuda, o.version) for o in outcomes)
    found = [Column(cuda, version, (cuda, version) not in built) for cuda, version in pairs]
    return tuple(sorted(found, key=lambda c: ([-part for part in version_key(c.cuda)], c.unbuilt)))


def _row(
    place: str, classes: tuple[GpuClass, ...], columns: tuple[Column, ...], cells: dict[tuple[str, str, str], Cell]
) -> Row:
    capability, _, gpu = place.partition(" ")
    alike = [c for c in classes if c.capability == capability and gpu in ("", c.label)]
    models: dict[str, int] = {}
    for c in alike:
        # Two classes of one model differ by their drivers.
        driver = f", driver {c.driver or 'unknown'}" if gpu else ""
        name = c.device.removesuffix(SIMULATED) + driver
        models[name] = models.get(name, 0) + c.devices
    return Row(
        sm(capability),
        sum(models.values()),
        tuple(f"{name} ×{count}" if len(models) > 1 else name for name, count in models.items()),
        tuple(cells.get((c.cuda, c.version, place)) for c in columns),
    )
