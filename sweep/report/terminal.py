"""The tables on a terminal, or as plain lines where there is none (cron)."""

from __future__ import annotations

import sys
from collections.abc import Collection

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweep.diff import Diff
from sweep.model import Pool, Verdict
from sweep.report import changes, table
from sweep.schema import Outcomes

_STYLES = {
    Verdict.WORKS: "green",
    Verdict.MATCH_FAILURE: "blue",
    Verdict.RESOLVE_FAILURE: "yellow",
    Verdict.GPU_FAILURE: "red",
    Verdict.INCONCLUSIVE: "magenta",
}
_GLYPH_STYLES = {glyph: _STYLES[verdict] for verdict, glyph in table.GLYPHS.items()}
_WIDTH_WITHOUT_TERMINAL = 190
_LEFT_COLUMNS, _CELL = 18, 20  # characters: version and CUDA; the longest word with its glyph
_REASON_LIMIT = 200  # characters; outcomes.json and the Markdown have it whole


def console() -> Console:
    """Standard output; wide where it is not a terminal, because nothing there wraps."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False, soft_wrap=False)


def show(outcomes: Outcomes, where: str, since: Diff | str | None = None) -> None:
    """Print what changed since the last sweep, matrices, failures, funnel and where the files are."""
    out = console()
    if outcomes.simulated:
        out.print(Text("SIMULATED GPUs: the verdicts say nothing about real ones", style="bold reverse"))
    _changes(out, outcomes, since)
    for framework, part in table.parts(outcomes).items():
        out.print(_matrix(part, framework, changes.differing(since), out.width))
        if unbuilt := table.never_built(part):
            out.print(Text(f" {unbuilt}", style="dim"))
        out.print()
    out.print(Text(table.LEGEND, style="dim"))
    out.print()
    if any(group.outcomes[0].submitted for group in table.failures(outcomes)):
        out.print(_failures(outcomes))
    out.print(_funnel(outcomes))
    for note in outcomes.notes:
        out.print(Text(f"note: {note}", style="bold"))
    out.print(Text(table.headline(outcomes), style="bold"))
    out.print(Text(f"tables: {where}"))


def _changes(out: Console, outcomes: Outcomes, since: Diff | str | None) -> None:
    for each in changes.surprises(outcomes):
        out.print(Text(f"unexpected: {changes.shortened(each.names, 8)}: {each.reason}", style="bold"))
    if isinstance(since, Diff):
        for line in changes.lines(since):
            out.print(Text(line, style="" if line.startswith(" ") else "bold"))
        out.print()


def show_pool(pool: Pool) -> None:
    """Print the GPU classes and the slots that cannot be used."""
    out = console()
    grid = _table(f"GPUs of {pool.collector}, {pool.taken:%Y-%m-%d %H:%M} UTC ({pool.slots} slots with GPUs)")
    for title in ("capability", "device", "devices", "machines", "memory", "driver", "newest CUDA"):
        grid.add_column(title, justify="right" if title in ("devices", "machines", "memory") else "left")
    for c in pool.classes:
        name = Text(c.device) + (Text("  MIG", style="cyan") if c.mig else Text())
        count, machines, memory = str(c.devices), str(len(c.machines)), f"{c.memory_mb} MiB"
        grid.add_row(c.capability, name, count, machines, memory, Text(c.driver or "?"), c.runtime)
    out.print(grid)
    for problem in pool.problems:
        out.print(Text(f"not usable: {problem.slot}: {problem.problem}", style="yellow"))


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))


def _matrix(part: Outcomes, framework: str, changed: Collection[str], width: int) -> Table:
    matrix = table.matrix(part, changed)
    grid = _table(framework)
    narrow = width < _LEFT_COLUMNS + _CELL * len(matrix.places)
    grid.add_column("version")
    grid.add_column("CUDA")
    for place in matrix.places:
        grid.add_column(table.column_title(place, part.pool.classes), overflow="fold")
    for key, cells in matrix.rows.items():
        grid.add_row(*key, *(_styled(c, narrow) for c in cells))
    return grid


def _styled(cell: str, narrow: bool) -> Text:
    """A cell in its verdict's colour; in a narrow terminal it is broken after hyphens rather than cut off."""
    settled = cell.startswith("(")
    style = _GLYPH_STYLES.get(cell.lstrip("(")[:1], "")
    text = cell.replace("-", "-\n") if narrow else cell
    return Text(text, style=f"dim {style}" if settled else style)


def _failures(outcomes: Outcomes) -> Table:
    """What was submitted and does not work; what was pruned is in the matrix and the funnel."""
    grid = _table("What was tested and does not work")
    grid.add_column("cause")
    grid.add_column("tuples", overflow="fold", min_width=24, ratio=2)
    grid.add_column("reason", overflow="fold", ratio=3)
    grid.add_column("evidence", overflow="fold", ratio=2)
    for group in table.failures(outcomes):
        if group.outcomes[0].submitted:
            style = _STYLES[group.cause.verdict]
            reason = Text(group.reason[:_REASON_LIMIT])
            names = Text("\n".join(group.names))
            grid.add_row(Text(group.cause.value, style=style), names, reason, Text(group.evidence))
    return grid


def _funnel(outcomes: Outcomes) -> Table:
    grid = _table("The funnel")
    for title in ("stage", "tuples", "of which"):
        grid.add_column(title, justify="right" if title == "tuples" else "left")
    for row in outcomes.funnel:
        grid.add_row(Text(row.stage), str(row.count), row.detail)
    return grid
