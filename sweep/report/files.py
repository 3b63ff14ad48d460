"""outcomes.json and what is derived from it, written beside each other in the sweep's directory."""

from __future__ import annotations

import csv
import io
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from sweep.aside import Aside
from sweep.config import load_stored
from sweep.diff import Diff
from sweep.errors import ResultsError, SweepError
from sweep.facts import Facts, load_facts
from sweep.files import write_atomic, write_model
from sweep.model import visible
from sweep.places import CHANGES, PAGE, SETTINGS, TABLES
from sweep.report import advice, changes, columns, junit, markdown, page, summary, table, whatif
from sweep.schema import Outcomes


def write_tables(here: Path, outcomes: Outcomes, since: Diff | str | None = None) -> None:
    """Write everything that is derived from a sweep's outcomes.

    `since` is its difference to the last sweep, or why there is none.

    Raises:
        ResultsError: the directory cannot be written.
    """
    # The page takes longer than all the others together.
    with Aside(partial(_write_page, here, outcomes, since)) as the_page:
        rows = table.rows(outcomes, changes.kinds(since))
        write_atomic(here / "compatibility.json", to_json({"schema": columns.SCHEMA, "rows": rows}, indent=1) + b"\n")
        write_atomic(here / "compatibility.csv", _csv(rows))
        write_atomic(here / "junit.xml", junit.render(outcomes))
        tables = markdown.render(outcomes, since)
        the_page.value()
    if isinstance(since, Diff) and outcomes.state != "unfinished":  # the feed tells of finished sweeps
        write_model(here / CHANGES, since)
    else:
        (here / CHANGES).unlink(missing_ok=True)
    write_atomic(here / TABLES, tables)
    write_atomic(here / "summary.txt", summary.render(here, outcomes, since))


def _write_page(here: Path, outcomes: Outcomes, since: Diff | str | None) -> None:
    told, forecasts = advice.for_page(here, outcomes), whatif.for_page(outcomes, _facts(here))
    write_atomic(here / PAGE, page.render(outcomes, since, here, told, forecasts))


def _facts(here: Path) -> Facts:
    """The tables of facts that the sweep was planned with; the built-in ones where its own cannot be read."""
    try:
        return load_facts(load_stored(here / SETTINGS).rules.facts)
    except SweepError:
        return load_facts()


def write_failure(here: Path, why: str) -> None:
    """Say in the tables' place why there is no table, so that nobody takes an older one for this sweep's."""
    text = visible(f"Sweep {here.name} has no table: {why}")
    write_atomic(here / "summary.txt", text + "\n")
    write_atomic(here / TABLES, f"{markdown.TITLE}\n\n{markdown.plain(text)}\n")
    write_atomic(here / PAGE, page.failure(text))


def point_latest(here: Path) -> None:
    """Make results/latest point at this sweep, by rename, unless it points at a newer one.

    Raises:
        ResultsError: something that is not a link stands in its place, or the directory cannot be written.
    """
    latest = here.parent / "latest"
    if latest.exists() and not latest.is_symlink():
        raise ResultsError(f"{latest} is not a link; move it away, the sweeps themselves are untouched")
    if latest.is_symlink() and latest.readlink().name > here.name:
        return
    temporary = here.parent / f".latest.{here.name}"
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(here.name)
        temporary.replace(latest)
    except OSError as error:
        raise ResultsError(f"cannot write {latest}: {error.strerror}; check the directory's permissions") from error


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    if rows:
        writer.writerow(rows[0])
        writer.writerows([_inert(value) for value in row.values()] for row in rows)
    return out.getvalue()


def _inert(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula gets an apostrophe in front of it."""
    return f"'{value}" if isinstance(value, str) and value.lstrip()[:1] in tuple("=+-@＝＋－＠") else value
