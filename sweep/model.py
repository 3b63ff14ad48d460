"""The words of the house as types. Ground floor: imports nothing of ours but the patterns of `ids`.

The files that cross a process are made of these words; `schema` describes them.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sweep.ids import (
    CAPABILITY_PATTERN,
    GLOB_PATTERN,
    INSIDE_PATTERN,
    LABEL_PATTERN,
    NAME_PATTERN,
    RUNTIME_PATTERN,
    VERSION_PATTERN,
    parts_of,
    tuple_id,
)

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Version = Annotated[str, Field(pattern=VERSION_PATTERN)]
Runtime = Annotated[str, Field(pattern=RUNTIME_PATTERN)]
Capability = Annotated[str, Field(pattern=CAPABILITY_PATTERN)]
Glob = Annotated[str, Field(pattern=GLOB_PATTERN)]
Label = Annotated[str, Field(pattern=LABEL_PATTERN)]
# A path that stays inside the sweep's directory.
Inside = Annotated[str, Field(pattern=INSIDE_PATTERN)]


def visible(text: str) -> str:
    """The text without control characters, which could rewrite a terminal or hide in a table; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


# Text that a machine of the pool, a package or a log may have written.
Shown = Annotated[str, AfterValidator(visible)]


class Frozen(BaseModel):
    """A value: immutable, and refusing fields it does not know."""

    # A command uses few of the models, and should not wait for the others to be built.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


# --------------------------------------------------------------------------- tuples and environments


class Source(StrEnum):
    """Where environments come from: packages of conda channels, wheels of a package index, or container images."""

    CONDA = "conda"
    PIP = "pip"
    CONTAINER = "container"

    @property
    def lock(self) -> str | None:
        """The name of the file that an environment is installed from; None where nothing is installed."""
        return {Source.CONDA: "explicit.txt", Source.PIP: "requirements.txt"}.get(self)


class EnvironmentKey(Frozen):
    """What conda resolves: one (framework, framework version, CUDA runtime)."""

    framework: Name
    version: Version
    cuda: Runtime

    @property
    def id(self) -> str:
        """Readable and stable, such as `pytorch-2.5-cuda12.4`."""
        return f"{self.framework}-{self.version}-cuda{self.cuda}"


class VersionTuple(Frozen):
    """One (framework, framework version, CUDA runtime, compute capability).

    `gpu` is the label of a GPU class where each device model and driver of a capability is tested for itself.
    """

    framework: Name
    version: Version
    cuda: Runtime
    capability: Capability
    gpu: Label | None = None

    @property
    def environment(self) -> EnvironmentKey:
        """The environment that this tuple shares with the same versions on other GPUs."""
        return EnvironmentKey(framework=self.framework, version=self.version, cuda=self.cuda)

    @property
    def id(self) -> str:
        """Readable, stable and reversible, such as `pytorch-2.5-cuda12.4-sm80`."""
        return tuple_id(self.framework, self.version, self.cuda, self.capability, self.gpu)

    @classmethod
    def parse(cls, text: str) -> VersionTuple:
        """The tuple of an id.

        Raises:
            ValueError: the text is not an id that `id` could have written.
        """
        return cls.model_validate(parts_of(text))


# --------------------------------------------------------------------------- verdicts and causes


class Verdict(StrEnum):
    """What happened to a tuple."""

    WORKS = "works"
    MATCH_FAILURE = "match-failure"
    RESOLVE_FAILURE = "resolve-failure"
    GPU_FAILURE = "gpu-failure"
    INCONCLUSIVE = "inconclusive"


class Cause(StrEnum):
    """The finer reason under a verdict, from a closed list."""

    ALL_RUNGS = "all-rungs"
    NO_JIT = "no-jit"
    NO_SUCH_SLOT = "no-such-slot"
    WAITED_OUT = "waited-out"
    NO_BUILD = "no-build"
    UNSATISFIABLE = "unsatisfiable"
    CPU_BUILD = "cpu-build"
    INSTALL_FAILED = "install-failed"
    IMPORT_FAILED = "import-failed"
    NO_DEVICE = "no-device"
    DRIVER_TOO_OLD = "driver-too-old"
    NO_KERNEL_IMAGE = "no-kernel-image"
    LIBRARY_MISSING = "library-missing"
    OUT_OF_MEMORY = "out-of-memory"
    WRONG_RESULT = "wrong-result"
    CRASHED = "crashed"
    HUNG = "hung"
    HELD = "held"
    EVICTED = "evicted"
    REMOVED = "removed"
    TRANSFER_FAILED = "transfer-failed"
    INFRASTRUCTURE = "infrastructure"
    NO_RESULT = "no-result"
    OVER_BUDGET = "over-budget"

    @property
    def verdict(self) -> Verdict:
        """The one verdict that this cause belongs to."""
        return VERDICT_OF[self]

    @property
    def meaning(self) -> str:
        """One line for people, used in tables and help."""
        return MEANING_OF[self]


_CAUSES: dict[Verdict, dict[Cause, str]] = {
    Verdict.WORKS: {
        Cause.ALL_RUNGS: "every rung of the probe passed",
        Cause.NO_JIT: "kernels run, but the framework's just-in-time compiler does not",
    },
    Verdict.MATCH_FAILURE: {
        Cause.NO_SUCH_SLOT: "nothing in the pool can ever match",
        Cause.WAITED_OUT: "slots could match, but none came free in time",
    },
    Verdict.RESOLVE_FAILURE: {
        Cause.NO_BUILD: "the channels have no build of this version for this CUDA runtime",
        Cause.UNSATISFIABLE: "the solver finds no consistent environment",
        Cause.CPU_BUILD: "the solver falls back to a build without CUDA",
        Cause.INSTALL_FAILED: "the locked packages do not install on the node",
        Cause.IMPORT_FAILED: "the environment installs, but the framework does not import",
    },
    Verdict.GPU_FAILURE: {
        Cause.NO_DEVICE: "the framework sees no GPU",
        Cause.DRIVER_TOO_OLD: "the node's driver is too old for this CUDA runtime",
        Cause.NO_KERNEL_IMAGE: "the build has no code for this GPU",
        Cause.LIBRARY_MISSING: "a CUDA library is missing or cannot be loaded",
        Cause.OUT_OF_MEMORY: "the GPU's memory is too small for the probe",
        Cause.WRONG_RESULT: "a kernel ran and its result is wrong",
        Cause.CRASHED: "the probe was killed by a signal",
        Cause.HUNG: "a rung did not end within the probe's time limit",
    },
    Verdict.INCONCLUSIVE: {
        Cause.HELD: "HTCondor held the job",
        Cause.EVICTED: "the job was evicted and did not come back",
        Cause.REMOVED: "the job was removed before a verdict was reached",
        Cause.TRANSFER_FAILED: "the job's files could not be transferred",
        Cause.INFRASTRUCTURE: "the node or network failed, on every machine that was tried",
        Cause.NO_RESULT: "the job ended without a usable result",
        Cause.OVER_BUDGET: "the sweep's deadline or budget ended before the tuple's turn",
    },
}
VERDICT_OF: dict[Cause, Verdict] = {cause: verdict for verdict, causes in _CAUSES.items() for cause in causes}
MEANING_OF: dict[Cause, str] = {cause: text for causes in _CAUSES.values() for cause, text in causes.items()}


# --------------------------------------------------------------------------- the pool


class GpuClass(Frozen):
    """Devices of the pool that are alike in capability, name, memory and driver.

    Memory is in MiB. `runtime` is the newest CUDA runtime that the driver supports (HTCondor's
    MaxSupportedVersion); `driver` is the driver release, which startds older than 24.5 do not advertise.
    """

    capability: Capability
    device: Shown
    memory_mb: int
    runtime: Runtime
    driver: Shown | None = None
    mig: bool
    devices: int
    machines: tuple[Shown, ...]

    @property
    def label(self) -> str:
        """Device model and driver as one word for ids, such as `nvidia_l40_r550.54.15`."""
        model = re.sub(r"[^a-z0-9]+", "_", self.device.lower()).strip("_")[:50]
        return f"{model or 'gpu'}_{f'r{self.release}' if self.release else f'cuda{self.runtime}'}"

    @property
    def release(self) -> str | None:
        """The driver where it is a release number; other text of a machine tells no devices apart."""
        return self.driver if self.driver and re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,5}){0,3}", self.driver) else None

    @property
    def simulated(self) -> bool:
        """Whether the devices are the sandbox's, not real ones; their names say so."""
        return "simulated" in self.device.lower()


class Node(Frozen):
    """What an execute node offers the solver; None where the machine does not say.

    `system` is HTCondor's OpSysAndVer, `linux` the kernel's version, `archspec` a microarchitecture level such as
    `x86_64_v3`, `cuda` the newest runtime that the driver of the GPU supports.
    """

    system: Shown | None = None
    glibc: Version | None = None
    linux: Version | None = None
    archspec: Shown | None = None
    cuda: Runtime


class PoolProblem(Frozen):
    """A slot that has GPUs but does not describe them well enough to be used."""

    slot: Shown
    machine: Shown
    problem: Shown


class Pool(Frozen):
    """What the collector knew at one moment; `slots` counts those with GPUs."""

    taken: datetime
    collector: Shown
    slots: int
    classes: tuple[GpuClass, ...]
    problems: tuple[PoolProblem, ...] = ()

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The capabilities of the pool's devices, lowest first."""
        return tuple(sorted({c.capability for c in self.classes}, key=lambda c: tuple(map(int, c.split(".")))))

    @property
    def simulated(self) -> bool:
        """Whether any of the pool's devices is simulated."""
        return any(c.simulated for c in self.classes)


class Rung(StrEnum):
    """The steps of the probe, in the order in which they are climbed."""

    IMPORT = "import"
    CUDA_BUILD = "cuda-build"
    DEVICE = "device"
    COPY = "copy"
    KERNEL = "kernel"
    LIBRARY = "library"
    GRADIENT = "gradient"
    JIT = "jit"
