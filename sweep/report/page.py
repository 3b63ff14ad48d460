"""compatibility.html: one file that needs nothing else. The tables are in it as HTML, so that it can be read without
scripts too; everything about each tuple is in it as JSON, for the script that tells its story and filters.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sweep import places
from sweep.diff import Diff
from sweep.model import GpuClass, Verdict
from sweep.report import changes, cost, heatmap, pagedata, table
from sweep.report.whatif import Line
from sweep.schema import Outcomes

_VERDICT_WORDS = {
    Verdict.WORKS: "work",
    Verdict.GPU_FAILURE: "fail on the GPU",
    Verdict.RESOLVE_FAILURE: "have no environment",
    Verdict.MATCH_FAILURE: "matched no slot",
    Verdict.INCONCLUSIVE: "unknown",
}


def render(
    outcomes: Outcomes,
    since: Diff | str | None,
    here: Path,
    advice: Sequence[Mapping[str, Any]] = (),
    forecasts: Sequence[Line] = (),
) -> str:
    """The page of a sweep; `since` is its difference to the last one, or why none, `here` its directory.

    `advice` is what `advice.as_data` says of each framework, `forecasts` what foreseeable changes would cost.
    """
    return _page(
        "page.html.j2",
        outcomes=outcomes,
        advice=advice,
        forecasts=forecasts,
        headline=table.headline(outcomes),
        changed=changes.headline(since),
        surprises=changes.surprises(outcomes),
        kinds=_together(changes.groups(since), "kind") if isinstance(since, Diff) else [],
        maps=heatmap.of(outcomes, changes.differing(since)),
        causes=_together(table.failures(outcomes), "cause"),
        foretold=table.foretold(outcomes),
        tally=_tally(outcomes),
        spent=cost.summary(outcomes),
        classes=sorted(outcomes.pool.classes, key=_by_capability),
        data=Markup(pagedata.encode(outcomes, since, here)),  # noqa: S704 - its angle brackets are escaped
    )


def failure(text: str) -> str:
    """The page of a sweep that has no table; the text says why."""
    return _page("failure.html.j2", text=text)


def prepare() -> None:
    """Compile the templates; or `render` does that, when somebody waits for the page."""
    for name in _environment().list_templates(extensions=["j2"]):
        _environment().get_template(name)


def _page(template: str, **values: Any) -> str:
    folder = places.templates() / "page"
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    # Ours, and what the hashes in the page's own security policy are of; nothing else may run or style.
    ours = {"style": Markup(style), "script": Markup(script)}  # noqa: S704
    hashes = {f"{name}_hash": _hash(text) for name, text in (("style", style), ("script", script))}
    return _environment().get_template(template).render(**ours, **hashes, **values) + "\n"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(places.templates() / "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["day"] = _day
    environment.filters["where"] = table.where
    environment.filters["word"] = table.word
    return environment


def _together(groups: Sequence[Any], attribute: str) -> list[tuple[Any, list[Any]]]:
    """Neighbours that have one value, with that value."""
    return [(value, list(alike)) for value, alike in groupby(groups, key=attrgetter(attribute))]


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _day(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _tally(outcomes: Outcomes) -> list[tuple[Verdict, str, str, int]]:
    """How many tuples have each verdict: the verdict, its glyph, its words, the number."""
    count = {verdict: sum(o.verdict is verdict for o in outcomes.tuples) for verdict in Verdict}
    return [(verdict, table.GLYPHS[verdict], words, count[verdict]) for verdict, words in _VERDICT_WORDS.items()]


def _by_capability(gpu: GpuClass) -> tuple[int, ...]:
    return tuple(map(int, gpu.capability.split(".")))
