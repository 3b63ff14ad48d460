"""Texts that no cause rule knew, those alike in one group, each with the beginning of a rule to write for it."""

from __future__ import annotations

import json
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sweep import causes, earlier
from sweep.model import Cause, Rung, Verdict, visible
from sweep.results import Unusable, read_result
from sweep.schema import Outcome, ProbeResult, RungOutcome

# Where the words stand that no rule reads: the wrapper's step `probe`, and jobs without a usable result.
_BESIDE_THE_RULES = ("probe", "job")
_TAIL = 4000  # bytes of a job's standard error
_REASONS = 5  # lines of standard error that are shown
_PATTERN_LIMIT = 120  # characters of a line that a rule begins with
_SHOWN_TUPLES = 5

# What an error can mean; other causes come from planning, matching, or HTCondor.
_CAUSES = [
    cause.value
    for cause in Cause
    if cause.verdict is Verdict.GPU_FAILURE
    or cause in (Cause.CPU_BUILD, Cause.INSTALL_FAILED, Cause.IMPORT_FAILED, Cause.INFRASTRUCTURE)
]

# What differs between texts that mean the same, and what a pattern has in its place. The first alternative that fits
# counts: addresses and digests, directories, numbers and versions.
_VARIES = re.compile(
    r"(?P<hex>\b0x[0-9A-Fa-f]+\b|\b(?=[0-9a-f-]*\d)[0-9a-f]{8}[0-9a-f-]*\b)"
    r"|(?P<directory>/(?:[^\s/:'\"]*/)+)"
    r"|(?P<number>\d+(?:\.\d+)*)"
)
_STANDS_FOR = {"hex": r"[0-9A-Fa-fx-]+", "directory": r"\S*/", "number": r"[\d.]+"}
_LOG_PREFIX = re.compile(r"^.{0,160}?\.(?:cc|cpp|cu|cuh|h|py|pyx):\d+\] ")
_REASON = re.compile(
    r"\b(?:error|fail\w*|fatal|abort\w*|terminate\w*|cannot|could ?n[o']t|unable|undefined|missing|not found)\b",
    re.IGNORECASE,
)
_SEE_STDERR = re.compile(r"^Exited:|standard error")


@dataclass(frozen=True)
class UnknownText:
    """A text that no rule knew, and the tuples that it came up in.

    `place` is the rung that broke, `install`, or `probe` and `job`, which no rule reads. `cause` is what the tuples
    have for want of a rule. `message` is what was said there, `reasons` the lines of standard error that may tell
    more, both of the first of the tuples; `file` is where all of it stands, inside the sweep's directory.
    """

    place: str
    cause: Cause
    message: str
    reasons: tuple[str, ...]
    tuples: tuple[str, ...]
    file: str

    @property
    def telling(self) -> str:
        """The line that a rule should know: the message's first, or the last reason if the message points there."""
        first = next((line for line in self.message.splitlines() if line.strip()), "")
        return self.reasons[-1] if self.reasons and (not first or _SEE_STDERR.search(first)) else first

    @property
    def stub(self) -> str:
        """A rule in TOML for causes.toml, with its pattern; empty where no rule reads the text."""
        if self.place in _BESIDE_THE_RULES or not self.telling:
            return ""
        lines = ["[[install]]" if self.place == "install" else "[[rule]]", 'id = ""']
        if self.place != "install":
            lines.append(f'rungs = ["{self.place}"]')
        lines += [
            f"pattern = {json.dumps(_pattern(self.telling), ensure_ascii=False)}",
            f'cause = ""  # now {self.cause}; one of {", ".join(_CAUSES)}',
            'comment = ""',
            'source = ""',
        ]
        return "\n".join(lines) + "\n"


def unknown(here: Path) -> list[UnknownText]:
    """The texts of a sweep that no rule knows, the most frequent first; by the rules as they are now.

    Raises:
        BadFileError: the sweep has not been classified.
    """
    outcomes = earlier.read(here)
    groups: dict[tuple[str, ...], list[UnknownText]] = defaultdict(list)
    for outcome in outcomes.tuples:
        if _wants_a_rule(outcome) and (found := _text_of(here, outcome)) is not None:
            groups[found.place, _masked(found.message), *map(_masked, found.reasons)].append(found)
    merged = [_merged(alike) for alike in groups.values()]
    return sorted(merged, key=lambda text: (-len(text.tuples), text.place, text.tuples))


def lines(found: Sequence[UnknownText], here: Path) -> Iterator[str]:
    """The texts for a terminal or a mail, each with its tuples and the beginning of a rule."""
    if not found:
        yield "the rules knew every text"
        return
    for text in found:
        count = len(text.tuples)
        more = f" and {count - _SHOWN_TUPLES} more" if count > _SHOWN_TUPLES else ""
        yield f"{count} x {text.place}, which makes them {text.cause}: {', '.join(text.tuples[:_SHOWN_TUPLES])}{more}"
        yield from (f"    {line}" for line in text.message.splitlines())
        yield from (f"    stderr: {line}" for line in text.reasons)
        yield f"  all of it: {here / text.file}"
        yield from (f"  | {line}" for line in text.stub.splitlines())
        yield ""


def as_json(found: Sequence[UnknownText]) -> str:
    """The texts as a JSON list of objects."""
    shown = [
        {
            "place": text.place,
            "cause": text.cause,
            "count": len(text.tuples),
            "tuples": text.tuples,
            "message": text.message,
            "reasons": text.reasons,
            "file": text.file,
            "stub": text.stub,
        }
        for text in found
    ]
    return json.dumps(shown, indent=1)


# --------------------------------------------------------------------------- one tuple


def _wants_a_rule(outcome: Outcome) -> bool:
    """Whether nothing but the place decided, or nothing at all."""
    if not outcome.submitted:
        return False
    if outcome.rule is None:
        return outcome.cause in (Cause.NO_RESULT, Cause.INFRASTRUCTURE)
    return outcome.rule.startswith(causes.GENERIC)


def _text_of(here: Path, outcome: Outcome) -> UnknownText | None:
    directory = f"tuples/{outcome.id}"
    result = read_result(here / directory / "result.json", outcome.id)
    if isinstance(result, Unusable):
        reasons = _reasons(_tail(here / directory / "job.err"), "")
        return _text(outcome, "job", result.why, reasons, f"{directory}/job.err") if reasons else None
    return _of_steps(outcome, result, here / directory) or _of_rungs(outcome, result, f"{directory}/result.json")


def _of_steps(outcome: Outcome, result: ProbeResult, directory: Path) -> UnknownText | None:
    """What a step of the wrapper said, if it broke and no rule knows why."""
    step = next((s for s in result.steps if not s.ok), None)
    if step is None or step.name not in ("install", "probe"):
        return None
    message = causes.plain(step.message or step.kind or "")
    file = f"tuples/{outcome.id}/result.json"
    if step.name == "install":
        known = causes.find_install(step.kind, message).known
        return None if known else _text(outcome, "install", message, (), file)
    reasons = _reasons(_tail(directory / "job.err"), message)
    return _text(outcome, "probe", message, reasons, f"tuples/{outcome.id}/job.err" if reasons else file)


def _of_rungs(outcome: Outcome, result: ProbeResult, file: str) -> UnknownText | None:
    """What the first broken rung said, if no rule knows it; a compiler that does not work is no failure."""
    record = next((r for r in result.rungs if r.outcome is RungOutcome.FAILED), None)
    if record is None or record.rung is Rung.JIT:
        return None
    said = f"{record.exception}: {record.message or ''}" if record.exception else record.message or ""
    if causes.find(record.rung, said, result.stderr).known:
        return None
    message = causes.plain(said)
    return _text(outcome, record.rung.value, message, _reasons(result.stderr, message), file)


def _text(outcome: Outcome, place: str, message: str, reasons: tuple[str, ...], file: str) -> UnknownText:
    return UnknownText(place, outcome.cause, message.strip(), reasons, (outcome.id,), file)


def _reasons(stderr: str, message: str) -> tuple[str, ...]:
    """The last different lines that speak of something wrong, but for those that the message repeats."""
    telling = [line.strip() for line in causes.plain(stderr).splitlines() if _REASON.search(line)]
    others = [line for line in telling if line not in message and not (message and message in line)]
    distinct = {_masked(line): line for line in others}
    return tuple(distinct.values())[-_REASONS:]


def _tail(path: Path) -> str:
    """The end of a file that a job wrote; nothing where there is no regular file."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return ""
        with path.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL))
            return visible(stream.read(_TAIL).decode("utf-8", "replace"))
    except OSError:
        return ""


# --------------------------------------------------------------------------- alike


def _masked(text: str) -> str:
    """The text without what differs from job to job."""
    return " ".join(_VARIES.sub(lambda match: f"<{match.lastgroup}>", text).split())


def _merged(alike: Sequence[UnknownText]) -> UnknownText:
    first = alike[0]
    tuples = tuple(text.tuples[0] for text in alike)
    return UnknownText(first.place, first.cause, first.message, first.reasons, tuples, first.file)


def _pattern(line: str) -> str:
    """A regular expression that finds the line, and others that differ in numbers, directories and digests alone."""
    line = _LOG_PREFIX.sub("", line)[:_PATTERN_LIMIT]
    parts, end = [], 0
    for match in _VARIES.finditer(line):
        assert match.lastgroup is not None
        parts += [re.escape(line[end : match.start()]), _STANDS_FOR[match.lastgroup]]
        end = match.end()
    return "".join([*parts, re.escape(line[end:])]).replace("\\ ", " ")
