"""What the channels have of a framework, as a table: versions, CUDA, Pythons and dates."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from rich import box
from rich.table import Table
from rich.text import Text

from sweep.builds import Build, CudaOfBuild, python_of, series_of, versions_in_series
from sweep.cuda import in_order, version_key
from sweep.model import visible
from sweep.offer import Offer, runtime_ranges
from sweep.report.terminal import console


@dataclass(frozen=True)
class BuildRow:
    """Builds of one version or series that are alike in CUDA and channel.

    `compiled` is the CUDA that they were compiled with, `runtimes` the range that they take; both None for the builds
    of a version that has CPU builds alone (`cuda` is false), `compiled` also where the metadata do not say. `pythons`
    is newest first, and empty where any Python will do. `newest` is the date of the newest build, in UTC.
    """

    package: str
    version: str
    cuda: bool
    compiled: str | None
    runtimes: str | None
    pythons: tuple[str, ...]
    builds: int
    newest: datetime | None
    channel: str


def rows(offer: Offer, parts: int | None = None, prereleases: bool = False) -> list[BuildRow]:
    """The CUDA builds of every version, newest first; CPU builds only of versions that have no other.

    `parts` is how many numbers of a version make a series (3 tells 2.5.0 from 2.5.1); by default the framework's own.
    """
    chosen = versions_in_series(offer.builds, parts or offer.framework.series, prereleases)
    series = set(chosen)
    groups: dict[str, dict[tuple[CudaOfBuild, str], list[Build]]] = {s: defaultdict(list) for s in chosen}
    belongs = {version: series_of(version) & series for version in {b.version for b in offer.builds}}
    for build, cuda in zip(offer.builds, offer.cuda, strict=True):
        for name in belongs[build.version]:
            groups[name][cuda, build.channel].append(build)
    package = offer.package
    return [row for name in chosen for row in _of_version(package, name, groups[name])]


def cpu_only(found: Sequence[BuildRow]) -> tuple[str, ...]:
    """The versions that exist only as CPU builds, in the rows' order."""
    return tuple(dict.fromkeys(row.version for row in found if not row.cuda))


def _of_version(package: str, version: str, groups: dict[tuple[CudaOfBuild, str], list[Build]]) -> list[BuildRow]:
    has_cuda = any(cuda.cuda for cuda, _ in groups)
    # Ranges that read the same are one row: `<13` and `<13.0a0` differ only in the recipe's age.
    merged: dict[tuple[bool, str | None, str | None, str], list[Build]] = defaultdict(list)
    for (cuda, channel), builds in groups.items():
        if cuda.cuda or not has_cuda:
            ranges = runtime_ranges(frozenset({cuda}))
            merged[cuda.cuda, cuda.compiled, ranges[0] if ranges else None, channel] += builds
    made = [
        BuildRow(package, version, cuda, compiled, runtimes, _pythons(builds), len(builds), _newest(builds), channel)
        for (cuda, compiled, runtimes, channel), builds in merged.items()
    ]
    order = [None, *runtime_ranges(frozenset(cuda for cuda, _ in groups))]
    return sorted(made, key=lambda row: (version_key(row.compiled or "0"), order.index(row.runtimes)), reverse=True)


def _pythons(builds: Sequence[Build]) -> tuple[str, ...]:
    return in_order(python for build in builds if (python := python_of(build)))[::-1]


def _newest(builds: Sequence[Build]) -> datetime | None:
    return max((build.timestamp for build in builds if build.timestamp), default=None)


def as_json(found: Sequence[BuildRow]) -> str:
    """The rows as a JSON list of objects; dates as ISO 8601 in UTC."""
    return json.dumps([asdict(row) for row in found], indent=1, default=datetime.isoformat)


def show(found: Sequence[BuildRow]) -> None:
    """Print the rows, and which versions exist only as CPU builds."""
    out = console()
    if not found:
        out.print(Text("the channels have no build of it; check conda.channels and the framework's file"))
        return
    title = Text(f"CUDA builds of {found[0].package}")
    grid = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for column in ("version", "compiled with", "takes CUDA", "python", "builds", "newest", "channel"):
        grid.add_column(column, justify="right" if column == "builds" else "left", overflow="fold")
    previous = None
    for row in found:
        if row.cuda:
            grid.add_row(*_cells(row, repeated=row.version == previous))
            previous = row.version
    out.print(grid)
    if names := cpu_only(found):
        out.print(Text(f"only as CPU builds: {', '.join(names)}", style="yellow"))
    out.print(
        Text("A version that is not here is not in these channels; that does not say it was never built.", "dim")
    )


def _cells(row: BuildRow, repeated: bool) -> list[Text]:
    texts = (
        "" if repeated else row.version,
        row.compiled or "?",
        row.runtimes or "",
        " ".join(row.pythons) or "any",
        str(row.builds),
        row.newest.date().isoformat() if row.newest else "",
        row.channel,
    )
    return [Text(visible(text)) for text in texts]
