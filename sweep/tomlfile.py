"""Reading TOML into a checked model, with errors that a user can act on."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from sweep.errors import SettingsError
from sweep.files import read_whole
from sweep.ids import (
    CAPABILITY_PATTERN,
    GLOB_PATTERN,
    INSIDE_PATTERN,
    NAME_PATTERN,
    RUNTIME_PATTERN,
    VERSION_PATTERN,
)

Model = TypeVar("Model", bound=BaseModel)

# What to write where pydantic would show the pattern itself.
_MEANT = {
    NAME_PATTERN: "write a name of lower-case letters, digits and _ that begins with a letter",
    VERSION_PATTERN: 'write a version such as "2.5" or "2.5.1"',
    RUNTIME_PATTERN: 'write a CUDA runtime such as "12.4"',
    GLOB_PATTERN: 'write a glob over tuple ids such as "pytorch-2.*-cuda12.*"',
    INSIDE_PATTERN: "write a relative path of letters, digits and _ . - that stays inside",
    CAPABILITY_PATTERN: 'write a compute capability such as "8.0"',
}


def read_toml(path: Path, remedy: str) -> dict[str, Any]:
    """The tables of a TOML file; SettingsError, ending with the remedy, where there is none."""
    try:
        return tomllib.loads(read_whole(path).decode())
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except ValueError as error:  # a number of too many digits is not a TOMLDecodeError
        raise SettingsError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise SettingsError(f"{path}: its lists or tables are nested too deep; write them out") from error


def validated(model: type[Model], data: dict[str, Any], path: Path) -> Model:
    """The model of the data; SettingsError lists every problem with its key, value and remedy."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SettingsError(explain(error, path, model)) from error


def explain(error: ValidationError, path: Path, model: type[BaseModel]) -> str:
    """All problems of a file, one a line: key, value, what would be right, and the line where it stands."""
    unknown: dict[str, None] = {}
    wrong: dict[str, dict[str, bool]] = {}
    where: dict[str, str] = {}
    branches: set[str] = set()
    for problem in error.errors():
        keys, known = _keys(model, problem["loc"])
        key = ".".join(keys)
        if problem["type"] == "extra_forbidden":
            unknown[f"unknown key {key}{did_you_mean(keys[-1], known)}{_line_of(path, keys)}"] = None
        elif problem["type"] == "missing":
            unknown[f"{key} is missing; add it"] = None
        else:
            value = "" if isinstance(problem["input"], dict) or not keys else f" = {problem['input']!r}"
            text = f"{key}{value}" if keys else "the file is damaged"
            wrong.setdefault(text, {})[_advice(problem)] = problem["type"] == "value_error"
            where[text] = _line_of(path, keys)
            # One kind of several that the value could be; another may have got further, to an entry of a list.
            if len(problem["loc"]) > len(keys) and problem["loc"][-1] != "[key]":
                branches.add(key)
    entries = {text.partition(" = ")[0] for text in wrong}
    lines = list(unknown)
    for text, advice in wrong.items():
        key = text.partition(" = ")[0]
        if key not in branches or not any(entry.startswith(f"{key}.") for entry in entries):
            # Of several kinds that a value could be, one that our own checks refused is the one that was meant.
            first, *others = [words for words, ours in advice.items() if ours] or advice
            rest = "".join(f", or {o.removeprefix('Input should be ')}" for o in others)
            lines.append(f"{text}: {first}{rest}{where[text]}")
    return f"{path}: " + "\n  ".join(["the settings are not right:", *lines] if len(lines) > 1 else lines)


def _line_of(path: Path, keys: Sequence[str]) -> str:
    """` (line 7)` where a key is written plainly in its table's section of a TOML file; else nothing."""
    if path.suffix != ".toml" or not path.is_file():
        return ""
    table = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if header := re.match(r"\s*\[+([^\[\]]+)\]", line):
            table = f"{header[1].strip()}."
        key, equals, _ = line.partition("=")
        if equals and f"{table}{key.strip()}" == ".".join(keys):
            return f" (line {number})"
    return ""


def _advice(problem: Any) -> str:
    """What would be right, in words that need no knowledge of pydantic."""
    context = problem.get("ctx", {})
    if problem["type"] == "string_pattern_mismatch":
        return _MEANT.get(context["pattern"], str(problem["msg"]))
    if problem["type"] == "too_short":
        return f"empty; at least {context['min_length']} entry is needed"
    return str(problem["msg"]).removeprefix("Value error, ")


def _keys(model: type[BaseModel], place: Sequence[int | str]) -> tuple[list[str], list[str]]:
    """The user's keys on the way to a problem, and the known keys of the table that the last one is in.

    pydantic mixes in the branches of unions, which say nothing to a user; the model tells them from keys.
    """
    keys: list[str] = []
    known: list[str] = []
    inner: Any = model
    for part in place:
        inner = _table_of(inner)
        if isinstance(inner, type) and issubclass(inner, BaseModel) and part != "[key]":
            known = [field.alias or name for name, field in inner.model_fields.items()]
            field = inner.model_fields.get(str(part))
            inner = field.annotation if field else None
        elif get_origin(inner) is dict:
            known, inner = [], get_args(inner)[1]
        elif not isinstance(part, int):
            continue
        elif get_origin(inner) in (list, tuple):
            inner = get_args(inner)[0]
        keys.append(str(part))
    return keys, known


def _table_of(kind: Any) -> Any:
    """The table of what is a table or nothing; any other kind as it is."""
    options = [each for each in get_args(kind) if each is not NoneType]
    return options[0] if get_origin(kind) is UnionType and len(options) == 1 else kind


def did_you_mean(word: str, known: Iterable[str], kind: str = "keys") -> str:
    """A remedy for an unknown word: the closest known one, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known {kind} are {', '.join(known)}" if known else ""
