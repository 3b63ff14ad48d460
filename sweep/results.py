"""Reading result.json, which an execute node wrote: untrusted, possibly cut off, possibly hostile."""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sweep.schema import ProbeResult

SIZE_LIMIT = 1_000_000  # bytes; an honest result has a few thousand


@dataclass(frozen=True)
class Unusable:
    """Why a result cannot be used, in one line."""

    why: str


def read_result(path: Path, tuple_id: str) -> ProbeResult | Unusable:
    """The result of one tuple, if it is there, whole, well-formed, and of that tuple."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            return Unusable("result.json is not a regular file")
        if status.st_size > SIZE_LIMIT:
            return Unusable(f"result.json has {status.st_size} bytes, more than {SIZE_LIMIT}")
        data = path.read_bytes()
    except FileNotFoundError:
        return Unusable("no result.json came back")
    except OSError as error:
        return Unusable(f"result.json cannot be read: {error.strerror}")
    if not data.strip():
        return Unusable("result.json is empty")
    try:
        result = ProbeResult.model_validate_json(data)
    except (ValidationError, RecursionError, ValueError) as error:
        return Unusable(f"result.json is not a result: {_first(error)}")
    if result.tuple != tuple_id:
        return Unusable("result.json belongs to another tuple")
    return result


def line_of(path: Path, text: str) -> int | None:
    """The line of a JSON file on which a string value begins, counted from 1."""
    needles = {json.dumps(text, ensure_ascii=ascii_only)[1:60].rstrip('"\\') for ascii_only in (True, False)} - {""}
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return next((n for n, line in enumerate(lines, 1) if any(needle in line for needle in needles)), None)
    except OSError:
        return None


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        return f"{where + ': ' if where else ''}{problem['msg']}"[:200]
    return type(error).__name__
