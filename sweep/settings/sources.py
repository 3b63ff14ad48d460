"""Frameworks, where their environments come from, and a project's own command in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sweep.builds import in_series
from sweep.fields import (
    ChannelName,
    ImageName,
    IndexUrl,
    MostRecent,
    PlainLine,
    PlainPath,
    PythonPath,
    Range,
    Seconds,
    Switch,
    Table,
)
from sweep.ids import INSIDE_PATTERN
from sweep.model import Runtime, Source, Version
from sweep.ranges import within


class ImageSettings(Table):
    """A container image that has one version of a framework for one CUDA runtime; `python` is a command in it."""

    version: Version
    cuda: Runtime
    image: ImageName
    python: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./+-]+$")] = "python3"


class FrameworkSettings(Table):
    """Which versions of one framework, each with which Python, and where its environments come from.

    `python` is the newest that the builds of a version support, one for all, or a table from version series to
    Python in which a series that is not named takes the newest. `channels` replaces conda.channels for this
    framework alone. `indexes` are package indexes that have the framework for one CUDA runtime each, looked at
    before pip.index. `images` are the containers that there are.
    """

    versions: MostRecent | list[Version] | Range = 3
    prereleases: Switch = False
    python: Literal["newest"] | Version | dict[Range, Version] = "newest"
    source: Source = Source.CONDA
    channels: list[ChannelName] | None = None
    indexes: dict[Runtime, IndexUrl] = Field(default={})
    images: list[ImageSettings] = Field(default=[])

    @field_validator("versions", "channels")
    @classmethod
    def _not_empty(cls, value: int | list[str] | str | None) -> int | list[str] | str | None:
        if isinstance(value, list) and not value:
            raise ValueError("the list is empty; name at least one entry")
        return value

    @model_validator(mode="after")
    def _of_one_source(self) -> FrameworkSettings:
        needs = {"channels": Source.CONDA, "indexes": Source.PIP, "images": Source.CONTAINER}
        for key, source in needs.items():
            if getattr(self, key) and self.source is not source:
                raise ValueError(f'{key} belong to source = "{source}", and the source is "{self.source}"')
        if self.source is Source.CONTAINER:
            if not self.images:
                raise ValueError('source = "container" needs images = [{ version, cuda, image }, ...]')
            if self.python != "newest":
                raise ValueError("a container image has its own Python; remove python")
        return self

    def image_of(self, version: str, cuda: str) -> ImageSettings | None:
        """The first image that has a version, or one of a series, for a CUDA runtime; None where there is none."""
        fits = (i for i in self.images if i.cuda == cuda and in_series(i.version, version))
        return next(fits, None)

    def python_of(self, version: str) -> str | None:
        """The Python that the settings pin for a version; None leaves it to what the builds support."""
        if isinstance(self.python, dict):
            return next((pin for series, pin in self.python.items() if within(version, series)), None)
        return None if self.python == "newest" else self.python


class CondaSettings(Table):
    """Where builds come from and how environments reach the execute node."""

    channels: list[ChannelName] = Field(default=["conda-forge"], min_length=1)
    cache: PlainPath | None = None
    installer: Literal["micromamba", "rattler"] = "micromamba"
    installer_python: PlainLine | None = None
    offline: Switch = False
    solve_limit: Seconds = 60

    @model_validator(mode="after")
    def _rattler_needs_a_python(self) -> CondaSettings:
        if self.installer == "rattler" and not self.installer_python:
            raise ValueError(
                'installer = "rattler" needs installer_python: the absolute path of a Python that has '
                "py-rattler on every execute node"
            )
        if self.installer_python is not None and not re.fullmatch(r"/[A-Za-z0-9_./+-]+", self.installer_python):
            raise ValueError("installer_python must be an absolute path of letters, digits and _ . / + -")
        return self


class PipSettings(Table):
    """Where wheels come from and how they reach the execute node.

    `index` is what pip itself is configured with on the access point, where nothing else is said. `python` is the
    Python on the execute nodes that environments are made with.
    """

    index: IndexUrl | None = None
    python: PythonPath | None = None
    installer: Literal["uv", "pip"] = "uv"

    @property
    def python_version(self) -> str | None:
        """The version that the path of the Python ends in, such as `3.11`."""
        found = re.search(r"python([0-9]+\.[0-9]+)$", self.python or "")
        return found[1] if found else None


class PayloadSettings(Table):
    """A command of the project's own that runs in each tuple's environment.

    It runs after the probe has passed its kernel rung, or instead of the probe. `command` is a list of words, or a
    text for the shell; its directory holds `files`, and `packages` are added to what each environment is asked for.
    `junit` is where below that directory it writes a JUnit file.
    """

    command: Annotated[list[PlainLine], Field(min_length=1)] | Annotated[str, Field(min_length=1, max_length=20_000)]
    files: list[PlainPath] = Field(default=[])
    packages: list[PlainLine] = Field(default=[])
    instead_of_probe: Switch = False
    timeout: Seconds = 600
    junit: Annotated[str, Field(pattern=INSIDE_PATTERN)] | None = None

    @field_validator("command")
    @classmethod
    def _no_nul(cls, command: list[str] | str) -> list[str] | str:
        if isinstance(command, str) and "\0" in command:
            raise ValueError("a NUL character cannot stand in a shell's text")
        return command

    @field_validator("files")
    @classmethod
    def _different_names(cls, files: list[Path]) -> list[Path]:
        names = [path.name for path in files]
        if repeated := sorted({name for name in names if names.count(name) > 1 or name in ("", "..")}):
            raise ValueError(f"the last parts of the paths are the names there, and {repeated[0]!r} cannot be one")
        return files
