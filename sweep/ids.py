"""What names, versions and ids look like: plain patterns, below the ground floor.

The event log is read with these alone, without waiting for the models to be loaded.
"""

from __future__ import annotations

import re

# Names and versions end up in file names, submit files and shell words; this alphabet is safe in all of them.
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,40}$"
VERSION_PATTERN = r"^[0-9][0-9a-z]*(\.[0-9a-z]+){0,4}$"
RUNTIME_PATTERN = r"^[0-9]{1,2}\.[0-9]{1,2}$"
CAPABILITY_PATTERN = r"^[0-9]{1,2}\.[0-9]$"
GLOB_PATTERN = r"^[a-z0-9_.*?\[\]!-]+$"
LABEL_PATTERN = r"^[a-z0-9][a-z0-9_.]{0,80}$"
INSIDE_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*$"

_TUPLE_ID = re.compile(
    rf"(?P<framework>{NAME_PATTERN[1:-1]})-(?P<version>{VERSION_PATTERN[1:-1]})-cuda(?P<cuda>{RUNTIME_PATTERN[1:-1]})"
    rf"-sm(?P<major>[0-9]{{1,2}})(?P<minor>[0-9])(?:-(?P<gpu>{LABEL_PATTERN[1:-1]}))?"
)


def sm(capability: str) -> str:
    """A compute capability as compilers and ids name it: `sm80` for 8.0."""
    return f"sm{capability.replace('.', '')}"


def tuple_id(framework: str, version: str, cuda: str, capability: str, gpu: str | None) -> str:
    """Readable, stable and reversible, such as `pytorch-2.5-cuda12.4-sm80`."""
    name = f"{framework}-{version}-cuda{cuda}-{sm(capability)}"
    return f"{name}-{gpu}" if gpu else name


def parts_of(text: str) -> dict[str, str | None]:
    """Framework, version, CUDA runtime, compute capability and, if it has one, GPU class of a tuple's id.

    Raises:
        ValueError: the text is not an id that `tuple_id` could have written.
    """
    match = _TUPLE_ID.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a tuple id such as pytorch-2.5-cuda12.4-sm80")
    parts = match.groupdict()
    parts["capability"] = f"{parts.pop('major')}.{parts.pop('minor')}"
    return parts
