"""Cause rules: the text of a broken rung -> cause, by ordered rules in rules/causes.toml."""

from __future__ import annotations

import re
from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sweep import places
from sweep.config import Table
from sweep.model import Cause, Rung
from sweep.tomlfile import read_toml, validated


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


class CauseRule(Table):
    """One rule: when its pattern is found on one of its rungs, its cause holds."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    rungs: tuple[Rung, ...] = tuple(Rung)
    pattern: Annotated[str, AfterValidator(_compiles)]
    cause: Cause
    comment: str
    source: str

    def found_in(self, text: str) -> str | None:
        """The line of the text that the pattern is found in, or None."""
        match = re.search(self.pattern, text, flags=re.IGNORECASE | re.MULTILINE)
        if match is None:
            return None
        start = text.rfind("\n", 0, match.start()) + 1
        end = text.find("\n", match.end())
        return text[start : end if end >= 0 else len(text)].strip()


class CauseRules(Table):
    """The whole rule set."""

    schema_: Literal[1] = Field(alias="schema")
    generic: dict[Rung, Cause]
    rule: tuple[CauseRule, ...]


class Reading(Table):
    """Which cause a text has, by which rule, and the line that decided it. No cause: no rule knows the text."""

    cause: Cause | None
    rule: str | None
    line: str


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
    for text in (message, stderr):
        for rule in rules().rule:
            if rung in rule.rungs and (line := rule.found_in(text)) is not None:
                return Reading(cause=rule.cause, rule=rule.id, line=line)
    generic = rules().generic.get(rung)
    return Reading(cause=generic, rule=f"generic-{rung.value}" if generic else None, line=message.strip())
