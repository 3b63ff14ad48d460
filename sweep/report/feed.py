"""feed.atom: what changed from sweep to sweep, for a feed reader. Made from the diffs that lie in the sweeps."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as Xml

from sweep.diff import Diff
from sweep.errors import BadFileError
from sweep.files import read_model, write_atomic
from sweep.places import CHANGES, FEED
from sweep.report import changes

NAMESPACE: Final = "http://www.w3.org/2005/Atom"
_ENTRIES: Final = 40  # ten years of quarters
_LINES: Final = 200  # of one entry's text; the sweep's own pages have it whole
_OURS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "compatibility-sweeper")


def write(results: Path, pool: str) -> None:
    """Write the feed of a results directory; `pool` is what its readers know the pool by.

    Raises:
        ResultsError: the directory cannot be written.
    """
    write_atomic(results / FEED, render(_diffs(results), pool, of=str(results.resolve())))


def _diffs(results: Path) -> list[Diff]:
    """The newest diffs below a results directory, the newest first. One that cannot be read is left out."""
    found: list[Diff] = []
    for path in sorted(results.glob(f"*/{CHANGES}"), reverse=True):
        if path.parent.is_symlink() or len(found) == _ENTRIES:
            continue
        try:
            found.append(read_model(path, Diff, "sweep report"))
        except BadFileError:
            continue
    return found


def render(diffs: list[Diff], pool: str, *, of: str) -> str:
    """The document. Ids are made of `of`, the place of the sweeps, and their names: the same in every later feed."""
    feed = Xml.Element("feed", xmlns=NAMESPACE)
    _add(feed, "title", f"Which versions work on which GPUs: {pool}")
    _add(feed, "id", _id(of))
    _add(feed, "updated", _time(diffs[0].new) if diffs else "1970-01-01T00:00:00Z")
    _add(_add(feed, "author"), "name", "compatibility sweeper")
    for diff in diffs:
        entry = _add(feed, "entry")
        _add(entry, "title", changes.headline(diff))
        _add(entry, "id", _id(of, diff.new))
        _add(entry, "updated", _time(diff.new))
        told = list(changes.lines(diff))
        left = len(told) - _LINES
        text = "\n".join(told[:_LINES] + ([f"... and {left} more lines"] if left > 0 else []))
        _add(entry, "content", text, type="text")
    Xml.indent(feed)
    return Xml.tostring(feed, encoding="unicode", xml_declaration=True) + "\n"


def _add(parent: Xml.Element, name: str, text: str | None = None, **attributes: str) -> Xml.Element:
    element = Xml.SubElement(parent, name, attributes)
    element.text = text
    return element


def _id(*parts: str) -> str:
    return uuid.uuid5(_OURS, "\n".join(parts)).urn


def _time(sweep: str) -> str:
    """The time that a sweep is named after."""
    try:
        return datetime.strptime(sweep, "%Y-%m-%dT%H%M%S").replace(tzinfo=UTC).isoformat()
    except ValueError:  # a directory that somebody named
        return "1970-01-01T00:00:00Z"
