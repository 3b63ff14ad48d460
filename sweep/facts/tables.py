"""The shape of the fact tables: each row says where it comes from (`source`) and when that was true (`date`)."""

from __future__ import annotations

import datetime
import re
import string
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from sweep.cuda import version_key
from sweep.fields import Table
from sweep.model import Capability, Cause, Name, Runtime, Version
from sweep.ranges import checked, within

Range = Annotated[str, AfterValidator(checked)]
# A compute capability as compilers are told it: `9.0`, `9.0a` (that GPU alone), `10.0f` (its family alone).
Target = Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9][af]?$")]
DriverRelease = Annotated[str, Field(pattern=r"^[0-9]{3}(\.[0-9]{1,3}){1,2}$")]
Package = Annotated[str, Field(pattern=r"^[a-z0-9._-]+$")]

_BLANKS = frozenset({"framework", "version", "cuda", "capability", "found"})


class Fact(Table):
    """A row of a table. `source` names a document, or a repository and a path or issue in it."""

    source: Annotated[str, Field(min_length=1)]
    date: Annotated[str, Field(pattern=r"^20[0-9]{2}-[0-9]{2}(-[0-9]{2})?$")]


class FactTable(Table):
    """A file of facts."""

    schema_: Literal[1] = Field(alias="schema")


# --------------------------------------------------------------------------- toolkits.toml


class Toolkit(Fact):
    """The toolkits that compile for some capabilities: from `since` on and before `until` (None: still)."""

    name: str
    capabilities: tuple[Capability, ...]
    since: Runtime
    until: Runtime | None = None

    def targets(self, runtime: str) -> bool:
        """Whether this version of the toolkit compiles for the row's capabilities."""
        return version_key(self.since) <= version_key(runtime) and not self.dropped(runtime)

    def dropped(self, runtime: str) -> bool:
        """Whether this version of the toolkit compiles for them no longer."""
        return self.until is not None and version_key(runtime) >= version_key(self.until)


class MinorCompatibility(Fact):
    """The oldest driver release on which every runtime of a CUDA major version runs."""

    major: Annotated[int, Field(ge=1, strict=True)]
    driver: DriverRelease


class StrictDriver(Fact):
    """The oldest driver release that supports this very runtime."""

    runtime: Runtime
    driver: DriverRelease


class Toolkits(FactTable):
    """toolkits.toml."""

    toolkit: tuple[Toolkit, ...]
    minor: tuple[MinorCompatibility, ...]
    strict: tuple[StrictDriver, ...]

    @model_validator(mode="after")
    def _once(self) -> Toolkits:
        _no_repeats("capability", [c for row in self.toolkit for c in row.capabilities])
        _no_repeats("major", [str(row.major) for row in self.minor])
        _no_repeats("runtime", [row.runtime for row in self.strict])
        return self


# --------------------------------------------------------------------------- drivers.toml


class DriverBranch(Fact):
    """From branch `since` on, drivers ignore GPUs below a capability; branch `last` was the last that drove them."""

    since: Annotated[int, Field(ge=100, le=9999, strict=True)]
    last: Annotated[int, Field(ge=100, le=9999, strict=True)]
    below: Capability
    names: str

    def drops(self, branch: int, capability: str) -> bool:
        """Whether a driver of this branch ignores GPUs of this capability."""
        return branch >= self.since and version_key(capability) < version_key(self.below)


class Drivers(FactTable):
    """drivers.toml."""

    branch: tuple[DriverBranch, ...]


# --------------------------------------------------------------------------- archs.toml


class ArchList(Fact):
    """What builds of a framework carry code for: machine code (`sass`) and, for newer GPUs, `ptx`."""

    framework: Name
    version: Range
    compiled: Range
    since: datetime.date | None = None
    until: datetime.date | None = None
    sass: tuple[Target, ...]
    ptx: Target | None = None

    def covers(self, capability: str) -> Literal["sass", "ptx"] | None:
        """By which kind of code a build runs on a GPU, or None.

        Machine code runs on the same major capability from its own minor one on; PTX is compiled by the driver for
        any capability from its own on. `a` code runs on that capability alone, `f` code within the major one
        (NVIDIA, CUDA C++ Programming Guide: binary and PTX compatibility, architecture-specific features).
        """
        if any(_runs(target, capability, upward=False) for target in self.sass):
            return "sass"
        if self.ptx is not None and _runs(self.ptx, capability, upward=True):
            return "ptx"
        return None

    def describes(self, framework: str, version: str, compiled: str) -> bool:
        """Whether the row speaks of these builds, whenever they were made."""
        return self.framework == framework and within(version, self.version) and within(compiled, self.compiled)

    def made(self, day: datetime.date | None) -> bool:
        """Whether a build of this day has this list; an unknown day may."""
        return day is None or ((self.since is None or day >= self.since) and (self.until is None or day < self.until))

    def __str__(self) -> str:
        return ", ".join(self.sass) + (f" and PTX of {self.ptx}" if self.ptx else "")


def _runs(target: str, capability: str, *, upward: bool) -> bool:
    """Whether code for a target runs on a GPU; `upward` where a compiler takes it to newer major capabilities."""
    own, there = version_key(target.rstrip("af")), version_key(capability)
    if target.endswith("a"):
        return own == there
    return own <= there and (own[0] == there[0] or (upward and not target.endswith("f")))


class Archs(FactTable):
    """archs.toml."""

    archs: tuple[ArchList, ...]


# --------------------------------------------------------------------------- systems.toml


class System(Fact):
    """What every machine of these operating systems (HTCondor's OpSysAndVer) has at least."""

    names: tuple[str, ...]
    glibc: Version
    linux: Version


class Systems(FactTable):
    """systems.toml."""

    system: tuple[System, ...]

    @model_validator(mode="after")
    def _once(self) -> Systems:
        _no_repeats("name", [name for row in self.system for name in row.names])
        return self


# --------------------------------------------------------------------------- upstream.toml


class Upstream(Fact):
    """Versions of a framework that conda-forge built; `cuda` is the oldest runtime of each CUDA major version."""

    framework: Name
    versions: tuple[Version, ...]
    cuda: tuple[Runtime, ...]


class Upstreams(FactTable):
    """upstream.toml."""

    upstream: tuple[Upstream, ...]


# --------------------------------------------------------------------------- predictions.toml


class PredictionRow(Fact):
    """A predict rule as data: it holds where every condition that it names holds."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    effect: Literal["predict"]
    framework: Name | None = None
    version: Range | None = None
    cuda: Range | None = None
    capability: Range | None = None
    package: Package | None = None
    package_version: Range | None = None
    cause: Cause
    reason: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _sound(self) -> PredictionRow:
        if (self.package is None) != (self.package_version is None):
            raise ValueError(f"{self.id}: package and package_version belong together; write both or neither")
        if not (self.conditions or self.framework or self.package):
            raise ValueError(f"{self.id}: without a condition it would hold for every tuple")
        if self.version and not self.framework:
            raise ValueError(f"{self.id}: version is a framework's; name the framework")
        try:
            blanks = {name for _, name, _, _ in string.Formatter().parse(self.reason) if name is not None}
        except ValueError:
            blanks = {"?"}
        if blanks - _BLANKS or ("found" in blanks and not self.package):
            raise ValueError(
                f"{self.id}: only {', '.join(f'{{{b}}}' for b in sorted(_BLANKS))} are filled into a reason, "
                "and {found} only with a package"
            )
        return self

    @property
    def conditions(self) -> Mapping[str, str]:
        """The ranges that the tuple itself must lie in, by the name of its field."""
        ranges = {"version": self.version, "cuda": self.cuda, "capability": self.capability}
        return {name: wanted for name, wanted in ranges.items() if wanted is not None}


class Predictions(FactTable):
    """predictions.toml."""

    prediction: tuple[PredictionRow, ...]

    @model_validator(mode="after")
    def _once(self) -> Predictions:
        _no_repeats("id", [row.id for row in self.prediction])
        return self


def _no_repeats(what: str, values: list[Any]) -> None:
    if repeated := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"{what} {', '.join(repeated)} stands in more than one place; leave one")


def branch_of(driver: str) -> int | None:
    """The branch of a driver release: 580 of `580.95.05`, and of `580` alone; None for what is no release."""
    match = re.fullmatch(r"([0-9]{3,4})(\.[0-9]+)*", driver)
    return int(match[1]) if match else None
