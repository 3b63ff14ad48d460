"""compatibility.md: changes, matrices, failures by cause, the pool and the funnel; short enough for a ticket."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from tabulate import tabulate

from sweep.diff import Diff
from sweep.places import PAGE
from sweep.report import changes, cost, table
from sweep.schema import Outcomes

TITLE = "# Which versions work on which GPUs"


# A comment on a pull request holds 65,536 characters; the rest is for whoever posts it.
LIMIT: Final = 60_000
_NAMES = 8  # environments that are named of a group of changes


@dataclass(frozen=True)
class _Section:
    """A part of the document; where there is no room for all, those that can best be spared are cut first."""

    spared: int
    lines: list[str]

    def cut(self, room: int) -> _Section:
        """As many whole lines as fit, the title at least, and a line that says how many are missing."""
        kept, used = self.lines[:1], len(self.lines[0])
        for line in self.lines[1:]:
            used += len(line) + 1
            if used > room:
                break
            kept.append(line)
        left_out = sum(bool(line) for line in self.lines[len(kept) :])
        return _Section(self.spared, [*kept, "", f"({left_out} more lines are left out here; {PAGE} has them.)", ""])

    def __len__(self) -> int:
        return sum(len(line) + 1 for line in self.lines)


def render(outcomes: Outcomes, since: Diff | str | None = None) -> str:
    """The whole document, in at most `LIMIT` characters; `since` is the difference to the last sweep."""
    sections = [
        _Section(0, _head(outcomes, since)),
        _Section(1, _surprises(outcomes)),
        _Section(1, _changes(since)),
        *(_Section(2, _matrix(part, f, changes.differing(since))) for f, part in table.parts(outcomes).items()),
        _Section(3, ["## What does not work, by cause", "", *_failures(outcomes)]),
        _Section(3, _payloads(outcomes)),
        _Section(4, _predictions(outcomes)),
        _Section(5, ["## The pool", "", *_pool(outcomes), ""]),
        _Section(6, _cost(outcomes)),
        _Section(6, ["## The funnel", "", *_funnel(outcomes), ""]),
    ]
    return "\n".join(line for section in _within(sections, LIMIT) for line in section.lines)


def _cost(outcomes: Outcomes) -> list[str]:
    found = cost.lines(outcomes, "github")
    return ["## The cost", "", *found, ""] if found else []


def _within(sections: list[_Section], limit: int) -> list[_Section]:
    for place, section in sorted(enumerate(sections), key=lambda each: -each[1].spared):
        over = sum(map(len, sections)) - limit
        if over <= 0:
            break
        if section.lines:
            sections[place] = section.cut(len(section) - over - 100)  # the line that says so needs some room itself
    return sections


def _head(outcomes: Outcomes, since: Diff | str | None) -> list[str]:
    parts = [TITLE, ""]
    if changed := changes.headline(since):
        parts += [plain(changed), ""]
    parts += [plain(table.headline(outcomes)), ""]
    if outcomes.simulated:
        parts += ["**The GPUs of this pool are simulated; the verdicts say nothing about real ones.**", ""]
    parts += [line for note in outcomes.notes for line in (plain(f"Note: {note}"), "")]
    return [*parts, f"Driver policy: {outcomes.driver_policy}. {table.LEGEND}", ""]


def _surprises(outcomes: Outcomes) -> list[str]:
    """What went against a prediction: unexpected, whatever the last sweep said."""
    found = [
        f"- **unexpected** {_quoted(each.names, _NAMES)}: {plain(each.reason)}"
        for each in changes.surprises(outcomes)
    ]
    return ["## Against a prediction", "", *found, ""] if found else []


def _changes(since: Diff | str | None) -> list[str]:
    """The diff: what is unexpected first, each group of alike changes once."""
    if not isinstance(since, Diff) or not since.changes:
        return []
    parts = [f"## What changed since {plain(since.old)}"]
    kind = None
    for group in changes.groups(since):
        if group.kind is not kind:
            kind = group.kind
            parts += ["", f"### {kind.capitalize()}", ""]
        flag = "**unexpected** " if group.unexpected else ""
        turn = f"{group.turn}, " if group.turn else ""
        names = plain(changes.shortened(group.names, _NAMES)) if group.one_sided else _quoted(group.names, _NAMES)
        parts.append(f"- {flag}{names}: {turn}{plain(group.reason)}")
    return [*parts, ""]


def _quoted(names: list[str], limit: int | None = None) -> str:
    """Names as code; of a long list the beginning, and how many more there are."""
    more = f" and {len(names) - limit} more" if limit and len(names) > limit else ""
    return ", ".join(f"`{name}`" for name in names[:limit]) + more


def plain(text: str) -> str:
    """Text that came from elsewhere, so that Markdown and HTML show it as it is."""
    text = " ".join(text.split())
    # `@name` would call somebody's attention where a hosting service shows the text.
    text = re.sub(r"([\\`*_{}\[\]<>#|&~!])", r"\\\1", text)
    return re.sub(r"(?<![\w&#;])@", "&#64;", text)


def _matrix(part: Outcomes, framework: str, changed: Collection[str]) -> list[str]:
    matrix = table.matrix(part, changed)
    titles = [table.column_title(place, part.pool.classes) for place in matrix.places]
    rows = [[*key, *cells] for key, cells in matrix.rows.items()]
    unbuilt = table.never_built(part)
    return [
        f"## {framework}",
        "",
        *([f"Environments: {source}.", ""] if (source := table.source(part)) else []),
        *_table(rows, ["version", "CUDA", *titles]),
        "",
        *([plain(unbuilt), ""] if unbuilt else []),
    ]


def _payloads(outcomes: Outcomes) -> list[str]:
    """What became of the project's own command, a tuple a line."""
    told = [f"- `{tuple_id}`: {plain(said)}" for tuple_id, said in table.payloads(outcomes)]
    return ["## The payload, in each environment", "", *told, ""] if told else []


def _table(rows: list[list[Any]], headers: list[str]) -> list[str]:
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True).splitlines()


def _failures(outcomes: Outcomes) -> list[str]:
    parts: list[str] = []
    last = None
    for group in table.failures(outcomes):
        if group.cause is not last:
            meaning = group.cause.meaning
            parts += ["", f"### {group.cause.verdict}: {group.cause}", "", f"{meaning[0].upper()}{meaning[1:]}.", ""]
            last = group.cause
        parts.append(f"- {_quoted(group.names)}: {plain(group.reason)} (`{group.evidence}`)")
    return [*parts[1:], ""] if parts else ["Nothing: every tuple works.", ""]


def _predictions(outcomes: Outcomes) -> list[str]:
    """Each rule whose prediction, or whose pruning, was put to the test."""
    rows = [
        [
            plain(f.rule),
            "audit" if f.audit else "prediction",
            f.cause.value,
            len(f.outcomes),
            ", ".join(f.against) or "none",
        ]
        for f in table.foretold(outcomes)
    ]
    if not rows:
        return []
    headers = ["rule", "kind", "says", "tested", "against it"]
    return ["## Predictions put to the test", "", *_table(rows, headers), ""]


def _pool(outcomes: Outcomes) -> list[str]:
    rows = [
        [
            c.capability,
            plain(c.device),
            c.devices,
            len(c.machines),
            f"{c.memory_mb} MiB",
            plain(c.driver or "?"),
            c.runtime,
        ]
        for c in outcomes.pool.classes
    ]
    headers = ["capability", "device", "devices", "machines", "memory", "driver", "newest CUDA"]
    problems = [f"Not usable: {plain(each.slot)}: {plain(each.problem)}" for each in outcomes.pool.problems]
    return [*_table(rows, headers), *(line for said in problems for line in ("", said))]


def _funnel(outcomes: Outcomes) -> list[str]:
    rows = [[plain(row.stage), row.count, plain(row.detail)] for row in outcomes.funnel]
    return _table(rows, ["stage", "tuples", "of which"])
