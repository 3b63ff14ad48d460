"""Which tuples are candidates, and what the planning rules may do with them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sweep.fields import (
    PlainPath,
    Range,
    Table,
)
from sweep.model import Capability, Glob, Name, Runtime, Version


class Exclusion(Table):
    """Tuples that are not to be tested: those to which every given range applies."""

    framework: Name | None = None
    version: Range | None = None
    cuda: Range | None = None
    capability: Range | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Exclusion:
        if not any((self.framework, self.version, self.cuda, self.capability)):
            raise ValueError("an entry without a key would exclude everything; name at least one")
        return self


class Inclusion(Table):
    """One tuple that is to be a candidate although the product does not have it, or an exclusion took it out."""

    framework: Name
    version: Version
    cuda: Runtime
    capability: Capability


class SpaceSettings(Table):
    """What is taken out of the product of versions, runtimes and capabilities, and what is added to it.

    `only` are globs over tuple ids. `one_per` says what a tuple is tested once for: a capability, or each GPU class
    (device model and driver) of it.
    """

    only: list[Glob] = Field(default=[])
    exclude: list[Exclusion] = Field(default=[])
    include: list[Inclusion] = Field(default=[])
    one_per: Literal["capability", "gpu-class"] = "capability"


class RuleSettings(Table):
    """How the planning rules are used.

    `audit` is how many of the tuples that each rule takes out are tested all the same, `predicted` whether a tuple
    with a predicted failure is, `off` the rules that do not speak at all. `facts` is a directory of corrected fact
    tables, `known` a file of known issues of the site's own.
    """

    audit: Annotated[int, Field(ge=0, le=100, strict=True)] = 0
    predicted: Literal["test", "skip"] = "test"
    off: list[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]] = Field(default=[])
    facts: PlainPath | None = None
    known: PlainPath | None = None
