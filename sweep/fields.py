"""The kinds of values that our TOML files hold, such as durations, sizes and ranges; and the table they stand in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from sweep.ranges import checked

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZES = {"MB": 1, "GB": 1024, "TB": 1024 * 1024}


def _duration(value: object, info: ValidationInfo) -> object:
    """Seconds. A bare number is accepted only from settings.json, where the unit is fixed."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,6})([smhd])", value.strip())):
        return int(match[1]) * _UNITS[match[2]]
    if info.mode == "json":
        return value
    raise ValueError('write a duration such as "90s", "30m", "24h" or "7d"')


def _size(value: object, info: ValidationInfo) -> object:
    """MiB. A bare number is accepted only from settings.json, where the unit is fixed."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d{1,6})\s*(MB|GB|TB)", value.strip())):
        return int(match[1]) * _SIZES[match[2]]
    if info.mode == "json" or value is None:
        return value
    raise ValueError('write a size such as "800MB" or "16GB"')


def plain_line(value: str) -> str:
    """One line that a submit file can carry.

    Raises:
        ValueError: it has a control character, or ends in a backslash.
    """
    if not value.isprintable():
        raise ValueError("control characters and line breaks are not allowed here")
    if value.endswith("\\"):
        raise ValueError("a backslash at the end would join the next line of the submit file to this one; remove it")
    return value


def _plain_path(value: Path) -> Path:
    if not str(value).isprintable():
        raise ValueError("control characters and line breaks are not allowed in a path")
    return value


Platform = Literal["linux-64", "linux-aarch64"]


def _without_secrets(value: str) -> str:
    """A channel that may stand in plans, locks and tables, which everybody may read."""
    if re.search(r"://[^/]*@|/t/[^/]+", value):
        raise ValueError(
            "a password or token in a channel's URL would be written into every lock and table; "
            "give it in the file that RATTLER_AUTH_FILE names"
        )
    return value


def _index_url(value: str) -> str:
    """The URL of a package index that may stand in plans and locks."""
    if not re.fullmatch(r"(https?|file)://[A-Za-z0-9._~:/%@+=?&\[\]-]+", value):
        raise ValueError("write the index's URL: http://, https:// or file://, without spaces")
    if re.match(r"[a-z]+://[^/]*@", value) or "?" in value:
        raise ValueError(
            "a password or token in an index's URL would be written into every lock and table; give it in the "
            "netrc file of whoever downloads: here for planning, and on the execute nodes for installing"
        )
    return value.rstrip("/")


def _image(value: str) -> str:
    """A container image that is the same tomorrow: a digest, or a file."""
    if value.startswith("docker://"):
        if not re.fullmatch(r"docker://[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}", value):
            raise ValueError(
                "a tag may be another image tomorrow; write docker://NAME@sha256:DIGEST with the 64 digits that "
                "`skopeo inspect --format '{{.Digest}}' docker://NAME:TAG` prints"
            )
    elif not re.fullmatch(r"[A-Za-z0-9_./~+-]+\.sif", value):
        raise ValueError("write docker://NAME@sha256:DIGEST, or the path of a .sif file")
    return value


def _python_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9_./+-]+(\{python\})?[A-Za-z0-9_./+-]*", value):
        raise ValueError("write an absolute path of letters, digits and _ . / + -; {python} stands for the version")
    return value


Seconds = Annotated[int, BeforeValidator(_duration), Field(ge=1, le=366 * 86400)]
Mebibytes = Annotated[int, BeforeValidator(_size), Field(ge=1)]
PlainLine = Annotated[
    str, Field(max_length=1000), BeforeValidator(lambda v: plain_line(v) if isinstance(v, str) else v)
]
PlainPath = Annotated[Path, AfterValidator(_plain_path)]
Switch = Annotated[bool, Field(strict=True)]
ChannelName = Annotated[PlainLine, AfterValidator(_without_secrets)]
IndexUrl = Annotated[PlainLine, AfterValidator(_index_url)]
ImageName = Annotated[PlainLine, AfterValidator(_image)]
PythonPath = Annotated[PlainLine, AfterValidator(_python_path)]
MostRecent = Annotated[int, Field(ge=1, le=1000, strict=True)]
Range = Annotated[PlainLine, AfterValidator(checked)]


class Table(BaseModel):
    """A table of one of our TOML files: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
