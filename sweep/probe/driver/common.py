"""Words that the driver's parts share: bounds, exceptions, and text that JSON can carry."""

# ruff: noqa: N818 - the exceptions' names are what the verdict's rules read

from __future__ import annotations

from typing import Any, Dict, Optional

Facts = Dict[str, Any]

MESSAGE_CHARS = 3900
SHORT_CHARS = 290


class WrongResult(Exception):
    """The framework computed something, and it is not the right answer."""


class WrongDevice(Exception):
    """The framework sees another device, or another number of devices, than the job was given."""


class Elsewhere(Exception):
    """What broke is this machine's doing; another one has to tell."""


class Interrupted(BaseException):
    """The job is told to go."""


def clean(value: Any, limit: int) -> Optional[str]:
    """Text that JSON and UTF-8 can carry, at most `limit` characters of it; None stays None."""
    if value is None:
        return None
    return str(value).encode("utf-8", "replace").decode("utf-8")[:limit]


def note(error: BaseException, text: str) -> None:
    """Say more of an exception, as `add_note` does from Python 3.11 on."""
    error.__notes__ = [*getattr(error, "__notes__", ()), text]


def attach(error: Any, facts: Facts) -> None:
    """Let an exception carry what was found out before it; `attached` reads it."""
    error.facts = facts


def attached(error: BaseException) -> Facts:
    """What `attach` gave an exception; nothing if it did not."""
    facts = getattr(error, "facts", None)
    return facts if isinstance(facts, dict) else {}


def describe(error: BaseException) -> str:
    """An exception's text with its notes and those of its causes: the deciding words are often in the first cause."""
    parts = [str(error), *map(str, getattr(error, "__notes__", ()))]
    for _ in range(4):
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if cause is None:
            break
        parts.append("caused by %s: %s" % (type(cause).__name__, cause))
        error = cause
    return "\n".join(parts)
