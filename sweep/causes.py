"""Cause rules: what a program said where it broke -> cause, by ordered rules in rules/causes.toml.

A rule belongs to a place: to rungs of the probe that failed (`rule`), to rungs that a signal ended (`crash`), or to
the installation of the packages (`install`). Text that no rule of its place knows has the place's generic cause, or
none; never a guess.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from sweep import places
from sweep.fields import Table
from sweep.model import Cause, Rung
from sweep.tomlfile import read_toml, validated

GENERIC = "generic-"  # begins the name of what decided, where no rule did

# Colours and cursor movements. What comes back from a node has the replacement character for each control character.
_ESCAPES = re.compile("[\x1b\N{REPLACEMENT CHARACTER}]\\[[0-9;?]*[A-Za-z]")
_LINE_ENDS = re.compile("[\r\N{REPLACEMENT CHARACTER}]+$", flags=re.MULTILINE)
_LINE_BREAKS = re.compile(r"\s*\n\s*")


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


def _known_signal(name: str) -> str:
    if name not in signal.Signals.__members__:
        raise ValueError(f'{name!r} is no signal; write a name such as "SIGSEGV"')
    return name


Pattern = Annotated[str, AfterValidator(_compiles)]
SignalName = Annotated[str, AfterValidator(_known_signal)]


class _Rule(Table):
    """What every rule has: its name, the cause that it stands for, why, and where its knowledge comes from."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    cause: Cause
    comment: str
    source: str


class CauseRule(_Rule):
    """When its pattern is found on one of its rungs, its cause holds.

    `texts` is `message` where the same words on standard error are no failure.
    """

    rungs: tuple[Rung, ...] = tuple(Rung)
    texts: Literal["message", "all"] = "all"
    pattern: Pattern

    def found_in(self, text: str) -> str | None:
        """The line of the text that the pattern is found in, or None."""
        return _line_with(self.pattern, text)


class CrashRule(_Rule):
    """What it means that a signal ended the probe on one of the rungs; without `signals`, any signal."""

    rungs: tuple[Rung, ...] = tuple(Rung)
    signals: tuple[SignalName, ...] = ()

    def fits(self, rung: Rung, number: int | None) -> bool:
        """Whether the rule is about this end."""
        return rung in self.rungs and (not self.signals or _name(number) in self.signals)


class InstallRule(_Rule):
    """Why packages did not install: by the `kinds` of failure that the job's wrapper tells, or else by the text."""

    kinds: tuple[str, ...] = ()
    pattern: Pattern | None = None

    def found_in(self, text: str) -> str | None:
        """The line of the text that the pattern is found in, or None."""
        return _line_with(self.pattern, text) if self.pattern else None

    @model_validator(mode="after")
    def _says_something(self) -> InstallRule:
        if not self.kinds and self.pattern is None:
            raise ValueError(f"{self.id}: a rule needs kinds, a pattern, or both")
        return self


class CauseRules(Table):
    """The whole rule set.

    `generic` has the cause of a rung whose failure says nothing that a rule knows, `generic_install` that of an
    installation. `aborts` are the signals that a program sends to itself after it has said why.
    """

    schema_: Literal[2] = Field(alias="schema")
    generic: dict[Rung, Cause]
    generic_install: Cause
    aborts: tuple[SignalName, ...]
    rule: tuple[CauseRule, ...]
    crash: tuple[CrashRule, ...]
    install: tuple[InstallRule, ...]

    @model_validator(mode="after")
    def _once(self) -> CauseRules:
        ids = [rule.id for rule in (*self.rule, *self.crash, *self.install)]
        if repeated := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
            raise ValueError(f"rule {', '.join(repeated)} stands in more than one place; rename one")
        return self


class Reading(Table):
    """Which cause a text has, by which rule, and the line that decided it. No cause: no rule knows the text."""

    cause: Cause | None
    rule: str | None
    line: str

    @property
    def known(self) -> bool:
        """Whether a rule knew the text; a generic cause only says where it broke."""
        return self.rule is not None and not self.rule.startswith(GENERIC)


@cache
def rules() -> CauseRules:
    """The built-in rule set.

    Raises:
        SettingsError: the rule file is wrong.
    """
    path = places.PACKAGE / "rules" / "causes.toml"
    return validated(CauseRules, read_toml(path, "it is part of the package; install it again"), path)


def find(rung: Rung, message: str, stderr: str) -> Reading:
    """The cause of a broken rung: by its own message, else by what the probe wrote, else the rung's generic cause."""
    own = [rule for rule in rules().rule if rung in rule.rungs]
    said = plain(message)
    for found in (_first(own, said), _first((r for r in own if r.texts == "all"), plain(stderr))):
        if found is not None:
            return found
    generic = rules().generic.get(rung)
    return Reading(cause=generic, rule=f"{GENERIC}{rung.value}" if generic else None, line=said.strip())


def find_crash(rung: Rung, number: int | None, stderr: str) -> Reading:
    """The cause of a rung that a signal ended: by the program's last words if it ended itself, else by the signal."""
    if _name(number) in rules().aborts:
        own = (rule for rule in rules().rule if rung in rule.rungs and rule.texts == "all")
        if (found := _first(own, plain(stderr))) is not None:
            return found
    rule = next((rule for rule in rules().crash if rule.fits(rung, number)), None)
    return Reading(cause=rule.cause if rule else None, rule=rule.id if rule else None, line="")


def find_install(kind: str | None, message: str) -> Reading:
    """The cause of a failed installation: by the kind that the wrapper tells, else by the installer's words.

    The wrapper knows more than the words say: the installer's exit code, and whether the disk is full.
    """
    said = plain(message)
    told = next((rule for rule in rules().install if kind in rule.kinds), None)
    if told is not None:
        return Reading(cause=told.cause, rule=told.id, line=told.found_in(said) or said.strip())
    if (found := _first(rules().install, said)) is not None:
        return found
    return Reading(cause=rules().generic_install, rule=f"{GENERIC}install", line=said.strip())


def plain(text: str) -> str:
    """The text without terminal escapes, with lines that end in a line feed."""
    return _LINE_ENDS.sub("", _ESCAPES.sub("", text))


def _first(chosen: Iterable[CauseRule | InstallRule], text: str) -> Reading | None:
    """The reading by the first of the rules, in their own order, that finds its pattern."""
    for rule in chosen:
        if (line := rule.found_in(text)) is not None:
            return Reading(cause=rule.cause, rule=rule.id, line=line)
    return None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, flags=re.MULTILINE)


def _line_with(pattern: str, text: str) -> str | None:
    """The line that a pattern is found in; of a match over several lines, all of them as one."""
    match = _compiled(pattern).search(text)
    if match is None:
        return None
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.end())
    return _LINE_BREAKS.sub(" ", text[start : end if end >= 0 else len(text)].strip())


def _name(number: int | None) -> str | None:
    """SIGTERM for 15; None for what is no signal here."""
    try:
        return signal.Signals(number).name if number is not None else None
    except ValueError:
        return None
