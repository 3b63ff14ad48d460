"""result.json: what a job left behind; an execute node wrote it, and nothing in it is trusted."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sweep.model import (
    Rung,
    Shown,
)

_Text = Annotated[Shown, Field(max_length=4000)]
_Short = Annotated[Shown, Field(max_length=300)]
_Figure = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
_Seconds = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]


class Untrusted(BaseModel):
    """Part of a file that an execute node wrote: bounded in every direction, unknown fields dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, defer_build=True)


class NodeDevice(Untrusted):
    """A GPU as the node's own description of the slot names it."""

    uuid: _Short | None = None
    name: _Short | None = None
    capability: _Short | None = None
    memory_mb: int | None = None
    runtime: _Short | None = None
    driver: _Short | None = None


class DriverLibrary(Untrusted):
    """What the driver's own library said before any framework: does it load, its newest runtime, its devices."""

    loads: bool
    runtime: _Short | None = None
    devices: list[NodeDevice] = Field(default_factory=list, max_length=64)
    problem: _Short | None = None


class NodeFacts(Untrusted):
    """Where the job ran, seen from inside it.

    `visible_form` is how CUDA_VISIBLE_DEVICES names devices: `unset`, `empty`, `index`, `uuid`, `mig` or `other`.
    """

    hostname: _Short | None = None
    machine: _Short | None = None
    slot: _Short | None = None
    kernel: _Short | None = None
    os: _Short | None = None
    glibc: _Short | None = None
    cuda_visible_devices: _Short | None = None
    visible_form: _Short | None = None
    cpu: _Short | None = None
    driver: _Short | None = None
    library: DriverLibrary | None = None
    devices: list[NodeDevice] = Field(default_factory=list, max_length=64)


class StepRecord(Untrusted):
    """A step of the wrapper (`node`, `install`, `probe`, `speed`) and how it ended.

    `kind` is set when the step failed: `checksum`, `corrupt`, `count`, `network`, `disk-full`,
    `missing`, `timeout`, `killed` or `other`. `fetched_bytes` is what an installation fetched from channels, where
    the wrapper knows.
    """

    name: _Short
    ok: bool
    seconds: _Seconds
    kind: _Short | None = None
    message: _Text | None = None
    fetched_bytes: Annotated[int, Field(ge=0, le=10**15)] | None = None


class RungOutcome(StrEnum):
    """How a rung ended; `running` is left behind by a probe that was killed from outside."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CRASHED = "crashed"
    HUNG = "hung"
    RUNNING = "running"


class RungRecord(Untrusted):
    """One rung: how it ended, how long it took, and what it said.

    A rung that is skipped with a message is one that the framework has nothing for; without, it was not reached.
    `formats` tells of each number format whether it passed or why it was skipped.
    """

    rung: Annotated[Rung, Field(strict=False)]
    outcome: Annotated[RungOutcome, Field(strict=False)]
    seconds: _Seconds = 0.0
    message: _Text | None = None
    exception: _Short | None = None
    signal: int | None = None
    formats: dict[_Short, _Short] = Field(default_factory=dict, max_length=16)


class FrameworkFacts(Untrusted):
    """What the framework says of itself, once it imports."""

    version: _Short | None = None
    cuda: _Short | None = None
    cudnn: _Short | None = None
    archs: list[_Short] = Field(default_factory=list, max_length=64)
    device: _Short | None = None
    capability: _Short | None = None


class Measure(Untrusted):
    """One figure of the workload: `value` on the GPU and `cpu` on the processor, in `unit`; `ratio` of the two.

    `size` is the size of the work on the GPU that the figure is of, as `sweep/probe/driver/speed.py` counts it.
    """

    metric: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    unit: _Short
    size: Annotated[int, Field(ge=0, le=10**12)]
    value: _Figure
    cpu: _Figure
    ratio: _Figure


class ProbeResult(Untrusted):
    """result.json: what the wrapper and the probe left behind, complete or as far as they came.

    `state` is `done` when the wrapper reached its end, `running` otherwise. Times are Unix seconds.
    """

    schema_: Literal["sweep.result/1"] = Field(alias="schema")
    tuple: _Short
    state: Literal["running", "done"]
    started: float | None = None
    ended: float | None = None
    node: NodeFacts = Field(default_factory=NodeFacts)
    steps: list[StepRecord] = Field(default_factory=list, max_length=32)
    rungs: list[RungRecord] = Field(default_factory=list, max_length=32)
    framework: FrameworkFacts | None = None
    speed: list[Measure] = Field(default_factory=list, max_length=16)
    stderr: Annotated[Shown, Field(max_length=20000)] = ""


class PayloadRecord(Untrusted):
    """payload.json: how the project's own command ended; its exit code is negative where a signal ended it."""

    schema_: Literal["sweep.payload/1"] = Field(alias="schema")
    tuple: _Short
    ended: Literal["skipped", "exited", "timeout", "interrupted"]
    exit_code: int | None = None
    seconds: _Seconds = 0.0
    note: _Short = ""
