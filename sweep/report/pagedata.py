"""The data of the page: every tuple's record as columns of small numbers, and each text once.

A page of ten thousand tuples stays a few megabytes so, and no text can end the element that holds it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from sweep.diff import Change, Diff
from sweep.likely import likely
from sweep.model import Cause, Source
from sweep.report import table
from sweep.schema import Measure, Outcome, Outcomes

# What is true of a tuple, as bits of one number; page.js has the same list.
FLAGS: Final = ("submitted", "audit", "surprise", "tells", "expected", "unexpected")

# HTML ends a script at `</script`, whatever it holds, and JavaScript counts these two as ends of lines.
_ESCAPES: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


class _Texts:
    """Each text once; the first is the empty one, which also stands for what is unknown."""

    def __init__(self) -> None:
        self.all: dict[str, int] = {"": 0}

    def number(self, text: object) -> int:
        return self.all.setdefault("" if text is None else str(text), len(self.all))


def encode(outcomes: Outcomes, since: Diff | str | None, here: Path) -> str:
    """The JSON text of the page; safe inside an element of HTML."""
    changed = {change.id: change for change in since.changes} if isinstance(since, Diff) else {}
    texts = _Texts()
    columns: dict[str, list[Any]] = {}
    for outcome in outcomes.tuples:
        for name, value in _record(outcome, changed.get(outcome.id)).items():
            columns.setdefault(name, []).append(value if isinstance(value, int | float) else texts.number(value))
    data = {
        "schema": "sweep.page/1",
        "sweep": outcomes.sweep,
        "directory": str(here),
        "flags": FLAGS,
        "causes": {c.value: [c.verdict.value, table.GLYPHS[c.verdict], table.word(c), c.meaning] for c in Cause},
        "columns": columns,
        "texts": list(texts.all),
    }
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPES)


def _record(o: Outcome, change: Change | None) -> dict[str, Any]:
    """One tuple: texts to be numbered, numbers as they are; -1 for a number that is unknown."""
    return {
        "id": o.id,
        "framework": o.framework,
        "version": o.version,
        "cuda": o.cuda,
        "gpu": table.place_of(o),
        "cause": o.cause.value,
        "reason": o.reason,
        # Most evidence is in the tuple's own directory, whose name need not be told again.
        "file": o.evidence.file.replace(f"tuples/{o.id}/", "tuples/*/"),
        "line": _number(o.evidence.line),
        "excerpt": "" if o.evidence.excerpt == o.reason else o.evidence.excerpt,
        "flags": _flags(o, change),
        "rule": o.rule,
        "rung": o.rung,
        "predicted": o.prediction and o.prediction.cause.value,
        "predicted_by": o.prediction and o.prediction.rule,
        "predicted_why": o.prediction and o.prediction.reason,
        "known": o.known and f"{o.known.id}: {o.known.text}",
        "known_link": o.known and o.known.link,
        "source": "" if o.source is Source.CONDA else o.source.value,
        "build": o.build,
        "lock": o.lock_sha256,
        "machine": o.machine,
        "device": o.device,
        "driver": o.driver,
        "uuid": o.uuid,
        "started": o.started and f"{o.started:%Y-%m-%d %H:%M:%S} UTC",
        "attempts": o.attempts,
        "queued": _number(o.queue_seconds),
        "ran": _number(o.run_seconds),
        "speed": "; ".join(map(_speed, o.speed)),
        "payload": o.payload and table.told(o.payload),
        "change": change and change.kind.value,
        "was": change and change.old and change.old.cause.value,
        "likely": change and likely(change),
    }


def _flags(o: Outcome, change: Change | None) -> int:
    unexpected = o.surprise or (change is not None and change.unexpected)
    true = (o.submitted, o.audit, o.surprise, table.tells(o), o.expected, unexpected)
    return sum(bit << place for place, bit in enumerate(true))


def _speed(measure: Measure) -> str:
    """What one workload came to, and how that compares with the node's processor."""
    ratio = f", {measure.ratio:.3g} times the processor's" if measure.ratio else ""
    return f"{measure.metric} {measure.value:.3g}{ratio}"


def _number(value: float | None) -> float:
    return -1 if value is None else value
