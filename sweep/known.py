"""Known issues: failures that a person has looked at and accepts for the time being, with a link and an expiry date.

Not a prediction. A prediction (`predict`, facts/predictions.toml) is made before a test, from facts about toolkits,
drivers and builds; it says what is likely, may save the test, and a wrong one means a wrong fact. A known issue is
somebody's note on a failure that was seen: it never keeps a tuple from being tested, and never changes a verdict. It
marks the failure as expected, so that readers look at the others first; it tells when the failure is gone; and it
ends on its expiry date, so that no failure is accepted for ever.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sweep import places
from sweep.causes import Pattern
from sweep.fields import PlainLine, Range, Table
from sweep.model import Cause, Name, Verdict
from sweep.ranges import within
from sweep.schema import Known, Outcome, PlannedEnvironment
from sweep.tomlfile import read_toml, validated


@dataclass(frozen=True)
class Case:
    """What a known issue may ask of a tuple that was tested; None where it is not known.

    `version` is the framework's version or series, `driver` a driver release, `packages` the versions in the
    solution, at least of the packages that the fact tables note.
    """

    framework: str
    version: str
    cuda: str
    capability: str
    device: str | None = None
    driver: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, outcome: Outcome, environment: PlannedEnvironment | None) -> Case:
        """The case of an outcome."""
        return cls(
            framework=outcome.framework,
            version=outcome.version,
            cuda=outcome.cuda,
            capability=outcome.capability,
            device=outcome.device,
            driver=outcome.driver,
            packages=environment.noted if environment else {},
        )


class KnownIssue(Table):
    """One issue: it concerns the tuples for which every condition that it names holds.

    The conditions are `framework`, `gpu` (a regular expression found in the device's name), `package` with
    `package_version`, and ranges of the others; one on something that is not known of a tuple does not hold.
    `causes` are the failures that it foresees. It is good up to and including the day `expires`.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9.-]+$")]
    framework: Name | None = None
    version: Range | None = None
    cuda: Range | None = None
    capability: Range | None = None
    gpu: Pattern | None = None
    driver: Range | None = None
    package: Name | None = None
    package_version: Range | None = None
    causes: Annotated[tuple[Cause, ...], Field(min_length=1)]
    text: PlainLine
    link: Annotated[str, Field(pattern=r"^https://[A-Za-z0-9._~/?#=&%+-]+$")]
    date: datetime.date
    expires: datetime.date

    @model_validator(mode="after")
    def _fit(self) -> KnownIssue:
        if not any((self.framework, self.cuda, self.capability, self.gpu, self.driver, self.package)):
            raise ValueError(f"{self.id}: an issue without a condition would excuse every failure; name at least one")
        if self.version is not None and self.framework is None:
            raise ValueError(f"{self.id}: a version is a framework's; name the framework")
        if (self.package is None) != (self.package_version is None):
            raise ValueError(f"{self.id}: package and package_version go together")
        for cause in self.causes:
            if cause is not Cause.NO_JIT and cause.verdict not in (Verdict.RESOLVE_FAILURE, Verdict.GPU_FAILURE):
                raise ValueError(f"{self.id}: {cause} is no failure of versions; only those can be known issues")
        if self.expires <= self.date:
            raise ValueError(f"{self.id}: it expires on {self.expires}, not after its date {self.date}")
        return self

    def concerns(self, case: Case) -> bool:
        """Whether every condition holds for a case."""
        ranges = (
            (self.version, case.version),
            (self.cuda, case.cuda),
            (self.capability, case.capability),
            (self.driver, case.driver),
            (self.package_version, case.packages.get(self.package or "")),
        )
        return (
            self.framework in (None, case.framework)
            and all(wanted is None or (has is not None and within(has, wanted)) for wanted, has in ranges)
            and (self.gpu is None or (case.device is not None and re.search(self.gpu, case.device) is not None))
        )

    def expired(self, today: datetime.date) -> bool:
        """Whether it is no longer good on a day."""
        return today > self.expires

    @property
    def shown(self) -> Known:
        """What an outcome keeps of it."""
        return Known(id=self.id, link=self.link, text=self.text)


class KnownFile(Table):
    """known.toml, and a site's own file."""

    schema_: Literal[1] = Field(alias="schema")
    issue: tuple[KnownIssue, ...] = ()

    @model_validator(mode="after")
    def _once(self) -> KnownFile:
        ids = [issue.id for issue in self.issue]
        if repeated := sorted({id_ for id_ in ids if ids.count(id_) > 1}):
            raise ValueError(f"id {', '.join(repeated)} stands in more than one place; leave one")
        return self


class Judgement(StrEnum):
    """How a tuple's cause stands to the known issues."""

    EXPECTED_FAILURE = "expected failure"
    UNEXPECTED_PASS = "unexpected pass"  # noqa: S105 - no password
    NOT_CONCERNED = "not concerned"


@dataclass(frozen=True)
class Judged:
    """A judgement, and the issue that it is made by."""

    judgement: Judgement
    issue: KnownIssue | None = None


@dataclass(frozen=True)
class KnownIssues:
    """All issues, a site's own first. `today` is the day of the sweep: it is judged the same at any later time."""

    issues: tuple[KnownIssue, ...]

    def match(self, case: Case, today: datetime.date) -> KnownIssue | None:
        """The first issue that concerns a case and has not expired."""
        return next((i for i in self.issues if i.concerns(case) and not i.expired(today)), None)

    def judge(self, case: Case, cause: Cause, today: datetime.date) -> Judged:
        """Whether a cause was foreseen.

        A tuple passes unexpectedly that works although an issue foresees a failure; another failure, and what is
        inconclusive, says nothing about the issue.
        """
        concerned = [i for i in self.issues if i.concerns(case) and not i.expired(today)]
        for issue in concerned:
            if cause in issue.causes:
                return Judged(Judgement.EXPECTED_FAILURE, issue)
        if concerned and cause.verdict is Verdict.WORKS:
            return Judged(Judgement.UNEXPECTED_PASS, concerned[0])
        return Judged(Judgement.NOT_CONCERNED)

    def expired(self, today: datetime.date) -> tuple[KnownIssue, ...]:
        """The issues that are no longer applied: each is to be looked at again."""
        return tuple(issue for issue in self.issues if issue.expired(today))


def load_known(own: Path | None = None) -> KnownIssues:
    """The built-in issues and a site's own; of two with the same id the site's counts.

    Raises:
        SettingsError: a file is missing or wrong.
    """
    builtin = _read(places.PACKAGE / "rules" / "known.toml", "it is part of the package; install it again")
    site = _read(own, "write it, or take it out of the settings") if own else ()
    replaced = {issue.id for issue in site}
    return KnownIssues((*site, *(issue for issue in builtin if issue.id not in replaced)))


def _read(path: Path, remedy: str) -> tuple[KnownIssue, ...]:
    return validated(KnownFile, read_toml(path, remedy), path).issue
