"""plan.json: everything decided before a job is submitted; ours, and trusted."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import AwareDatetime, ConfigDict, Field, model_validator

from sweep.cuda import DriverPolicy
from sweep.model import (
    Capability,
    Cause,
    EnvironmentKey,
    Frozen,
    Inside,
    Label,
    Name,
    Pool,
    Runtime,
    Shown,
    Source,
    Version,
)
from sweep.schema.records import Amount, EachOnce, OfTuple


class Prediction(Frozen):
    """What a rule expects of a tuple, and why in one sentence; an expectation, not a verdict."""

    rule: Shown
    cause: Cause
    reason: Shown


class EnvironmentState(StrEnum):
    """What resolving an environment came to."""

    RESOLVED = "resolved"
    UNSATISFIABLE = "unsatisfiable"
    CPU_BUILD = "cpu-build"
    UNSOLVED = "unsolved"


class PlannedEnvironment(Frozen):
    """One environment of the plan: how it was asked for and what the solver answered.

    Of a solution: `build` is the build that has the CUDA code, `compiled` the CUDA that it was compiled with,
    `built` when; `runtime` the CUDA runtime that gets installed, `python` the Python; `noted` the versions of
    packages that prediction rules ask for; `size` the download in bytes; `lock_sha256` the digest of the explicit
    lock, or of the `image`, and `same_as` the first environment that has the very same lock. `explanation` is what
    matters of the solver's text where there is no usable solution; `missing` the specs that the channels have
    nothing for.
    """

    id: str
    framework: Name
    version: Version
    cuda: Runtime
    source: Source = Source.CONDA
    state: EnvironmentState
    specs: tuple[Shown, ...]
    virtual_packages: tuple[Shown, ...] = ()
    build: Shown | None = None
    compiled: Shown | None = None
    built: datetime | None = None
    runtime: Shown | None = None
    python: Shown | None = None
    noted: dict[Shown, Shown] = Field(default={})
    explanation: Shown | None = None
    missing: tuple[Shown, ...] = ()
    packages: int = 0
    size: int = 0
    lock_sha256: Shown | None = None
    image: Shown | None = None
    same_as: Shown | None = None

    @model_validator(mode="after")
    def _named_by_its_parts(self) -> Self:
        key = EnvironmentKey.model_construct(framework=self.framework, version=self.version, cuda=self.cuda)
        if self.id != key.id:
            raise ValueError(f"the id of this environment is {key.id}")
        return self


class PlannedTuple(OfTuple):
    """One tuple of the plan: submitted, or settled without a job by a named rule.

    `cause` is set exactly when the tuple is settled at planning. `reason` says why, in one sentence.
    `evidence` is a path inside the sweep's directory. `prediction` is what a rule expects of a tuple that is
    tested; with `audit` that rule would have settled it, and the test is of the rule.
    """

    submitted: bool
    rule: Shown | None = None
    cause: Cause | None = None
    reason: Shown = ""
    evidence: Inside = "plan.json"
    prediction: Prediction | None = None
    audit: bool = False

    @model_validator(mode="after")
    def _settled_or_submitted(self) -> Self:
        if self.submitted is not (self.cause is None):
            raise ValueError("a tuple has a cause exactly when it is not submitted")
        return self


class SubdirSnapshot(Frozen):
    """One platform folder of a channel: when its metadata were fetched (UTC), and their SHA-256."""

    subdir: Shown
    fetched: datetime | None = None
    sha256: Shown | None = None


class ChannelSnapshot(Frozen):
    """A channel as the plan saw it; `builds` counts those of the swept frameworks."""

    name: Shown
    builds: int
    subdirs: tuple[SubdirSnapshot, ...] = ()


class SpaceCounts(Frozen):
    """How the candidates came about: the product of the axes, what the settings took out of it and added to it."""

    product: int
    excluded: int = 0
    not_selected: int = 0
    included: int = 0


class ClassShare(Frozen):
    """How much of a sweep may fall to one GPU class: jobs that could land on it, GPU-hours if spread evenly."""

    label: Label
    capability: Capability
    devices: int
    jobs: int
    gpu_hours: Amount


class Estimate(Frozen):
    """What the sweep will cost; `basis` says where the time of a job comes from, `downloads` is in bytes.

    `transfers` is what HTCondor transfers of packages that travel with the jobs, bytes: at most, with common files.

    `at_once` is how many jobs of a capability, or of a GPU class where each is tested, may be in the queue; `hours`
    what the sweep takes at least because of that, were the devices always free.
    """

    jobs: int
    gpu_hours: Amount
    basis: Shown
    downloads: int
    transfers: int = 0
    classes: tuple[ClassShare, ...]
    at_once: dict[Shown, int] = Field(default={})
    hours: Amount | None = None


class Plan(Frozen):
    """plan.json: everything decided before a job is submitted, with the reason for each decision.

    Times are UTC; `queue_limit` and `run_limit` are seconds; `deadline` is the moment at which whatever is left of
    the sweep is removed; `budget` is in GPU-hours, and so are `budgets` by capability. `timings` are the seconds that
    each stage of planning took. `rules_sha256` tells rule sets apart: the tables of facts, and which rules spoke.
    `sources` says by framework where its environments come from; conda where it says nothing. `supplied` is what the
    access point fetched from channels, bytes, of the packages that travel with the jobs.
    """

    schema_: Literal["sweep.plan/1"] = Field(default="sweep.plan/1", alias="schema")
    sweep: Shown
    created: AwareDatetime
    deadline: AwareDatetime
    queue_limit: int
    run_limit: int
    budget: Amount | None = None
    budgets: dict[Capability, Amount] = Field(default={})
    driver_policy: DriverPolicy
    simulated: bool
    pool: Pool
    channels: tuple[ChannelSnapshot, ...]
    space: SpaceCounts | None = None
    estimate: Estimate | None = None
    notes: tuple[Shown, ...] = ()
    timings: dict[Shown, Amount] = Field(default={})
    rules_sha256: Shown | None = None
    sources: dict[Name, Source] = Field(default={})
    supplied: int = 0
    environments: tuple[PlannedEnvironment, ...]
    tuples: EachOnce[PlannedTuple]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @property
    def all_budgets(self) -> dict[Capability | None, float]:
        """The budgets in GPU-hours by capability, None being the whole sweep."""
        asked = ((None, self.budget), *self.budgets.items())
        return {capability: hours for capability, hours in asked if hours is not None}
