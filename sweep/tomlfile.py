"""Reading TOML into a checked model, with errors that a user can act on."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sweep.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: Path, remedy: str) -> dict[str, Any]:
    """The tables of a TOML file; SettingsError, ending with the remedy, where there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; {remedy}") from None
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; {remedy}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from error


def validated(model: type[Model], data: dict[str, Any], path: Path) -> Model:
    """The model of the data; SettingsError lists every problem with its key, value and remedy."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SettingsError(explain(error, path, model)) from error


def explain(error: ValidationError, path: Path, model: type[BaseModel]) -> str:
    """All problems of a file, one a line: key, value, what would be right."""
    lines: dict[str, None] = {}
    for problem in error.errors():
        keys = [str(part) for part in problem["loc"] if not _is_branch(part)]
        key = ".".join(keys)
        if problem["type"] == "extra_forbidden":
            lines[f"unknown key {key}{did_you_mean(keys[-1], _fields_at(model, keys[:-1]))}"] = None
        elif problem["type"] == "missing":
            lines[f"{key} is missing"] = None
        else:
            message = problem["msg"].removeprefix("Value error, ")
            value = "" if isinstance(problem["input"], dict) else f" = {problem['input']!r}"
            lines[f"{key}{value}: {message}"] = None
    return f"{path}: " + "\n  ".join(["the settings are not right:", *lines] if len(lines) > 1 else lines)


def _is_branch(part: int | str) -> bool:
    """Whether pydantic named the branch of a union here, which says nothing to a user."""
    return isinstance(part, str) and bool(re.search(r"[\[\(]|^(int|str|float|bool)$|^constrained", part))


def _fields_at(model: type[BaseModel], keys: list[str]) -> list[str]:
    for key in keys:
        field = model.model_fields.get(key)
        inner = field.annotation if field else None
        if key not in model.model_fields or not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy for an unknown word: the closest known one, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; known keys are {', '.join(known)}" if known else ""
