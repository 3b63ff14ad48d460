"""The catalogue of all planning rules: what each asks, of what, and where its knowledge comes from.

It describes the rules in the order in which they are applied; the rules themselves are in `prune`, `match` and
`predict`, and in the rows of facts/predictions.toml.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sweep.facts import Facts
from sweep.facts.tables import PredictionRow
from sweep.model import Cause


@dataclass(frozen=True)
class Rule:
    """A rule of planning.

    `effect` is `prune` where it is certain and settles a tuple, `predict` where it says what is likely. `cause` is
    what the tuple gets. `question` is answered with yes where the rule holds. `date` is when `source` was last read.
    """

    id: str
    effect: Literal["prune", "predict"]
    cause: Cause
    question: str
    inputs: str
    source: str
    date: str


_DATE = "2026-08"
_MANUAL = "HTCondor manual: GPU attributes of slots, require_gpus, partitionable slots"

_PRUNE = (
    Rule(
        "no-build",
        "prune",
        Cause.NO_BUILD,
        "Does no CUDA build of this framework version say that it runs with this CUDA runtime?",
        "the channels' builds: depends, constrains, build string",
        "conda-forge recipes: pytorch-cpu, tensorflow, jaxlib, cupy, xgboost and cuda-version feedstocks",
        _DATE,
    ),
    Rule(
        "missing-from-channel",
        "prune",
        Cause.NO_BUILD,
        "Did conda-forge build this version for this CUDA runtime, but these channels do not have it?",
        "the channels' builds; facts/upstream.toml",
        "conda-forge feedstocks: .ci_support of their branches",
        _DATE,
    ),
    Rule(
        "toolkit-dropped-capability",
        "prune",
        Cause.NO_KERNEL_IMAGE,
        "Does the toolkit of this CUDA runtime no longer compile for this capability?",
        "CUDA runtime, capability; facts/toolkits.toml",
        "NVIDIA, CUDA Toolkit release notes; mesonbuild/meson: mesonbuild/modules/cuda.py",
        "2026-07-13",
    ),
    Rule(
        "capability-not-in-pool",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Has no GPU of the pool this compute capability?",
        "the slots' GPU properties: Capability",
        _MANUAL,
        _DATE,
    ),
    Rule(
        "no-driver-in-pool",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Can no driver on GPUs of this capability run this CUDA runtime, by the policy of the settings?",
        "the slots' GPU properties: MaxSupportedVersion; cuda.driver_policy",
        "NVIDIA, CUDA Compatibility: minor version compatibility; HTCondor: condor_gpu_discovery",
        _DATE,
    ),
    Rule(
        "slots-too-small",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Is every slot with such a GPU too small in CPUs, memory or disk, even when empty?",
        "the slots' TotalSlotCpus, TotalSlotMemory, TotalSlotDisk; the job's requests",
        _MANUAL,
        _DATE,
    ),
    Rule(
        "device-too-small",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Has every such GPU less memory than the settings ask for?",
        "the slots' GPU properties: GlobalMemoryMb; gpus.minimum_memory",
        _MANUAL,
        _DATE,
    ),
    Rule(
        "only-mig",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Are all such GPUs MIG devices, which the settings leave out?",
        "the slots' GPU properties: DeviceUuid; gpus.mig",
        _MANUAL,
        _DATE,
    ),
    Rule(
        "site-requirements",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Do the requirements that the settings add leave no slot with such a GPU?",
        "the job's requirements; the slots' ads",
        "HTCondor manual: ClassAd matching",
        _DATE,
    ),
    Rule(
        "no-container-support",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Does no machine with such a GPU run container images of the tuple's kind?",
        "the job's requirements; the slots' HasContainer, HasDockerURL and HasSIF",
        "HTCondor manual: container universe; condor_submit 25.14",
        "2026-11-21",
    ),
    Rule(
        "no-willing-slot",
        "prune",
        Cause.NO_SUCH_SLOT,
        "Do the job's requirements and the slots' START policies together leave no slot?",
        "the job's ad; the slots' ads as they would be when empty",
        "HTCondor manual: ClassAd matching, START",
        _DATE,
    ),
    Rule(
        "unsatisfiable",
        "prune",
        Cause.UNSATISFIABLE,
        "Does the solver find no consistent environment?",
        "the channels' metadata; the specs; virtual packages of the machines that could take the tuple",
        "the solver's own answer, kept as evidence",
        _DATE,
    ),
    Rule(
        "cpu-build",
        "prune",
        Cause.CPU_BUILD,
        "Does the solver fall back to a build without CUDA?",
        "the solution: build of the framework's CUDA package",
        "conda/conda#14761: a solver may prefer a CPU build although a driver is there",
        _DATE,
    ),
    Rule(
        "solve-limit",
        "prune",
        Cause.INFRASTRUCTURE,
        "Did the solver not come to an end within the time that the settings give it?",
        "conda.solve_limit",
        "the solver's own answer, kept as evidence",
        _DATE,
    ),
)

_PREDICT = (
    Rule(
        "driver-dropped-capability",
        "predict",
        Cause.NO_DEVICE,
        "Is every driver that could take the tuple of a branch that ignores GPUs of this generation?",
        "the slots' GPU properties: NvidiaDriver; capability; facts/drivers.toml",
        "NVIDIA, CUDA Toolkit, Driver, and Architecture Matrix",
        _DATE,
    ),
    Rule(
        "no-code-for-capability",
        "predict",
        Cause.NO_KERNEL_IMAGE,
        "Is it known what the build was compiled for, and does nothing of it run on this capability?",
        "the solution: build, CUDA it was compiled with, day; facts/archs.toml",
        "NVIDIA, CUDA C++ Programming Guide: binary and PTX compatibility; conda-forge recipes",
        _DATE,
    ),
    Rule(
        "ptx-newer-than-driver",
        "predict",
        Cause.DRIVER_TOO_OLD,
        "Does only PTX fit this capability, written by a toolkit newer than every driver that could take the tuple?",
        "the solution: build, CUDA it was compiled with; the slots' MaxSupportedVersion; facts/archs.toml",
        "NVIDIA, CUDA Compatibility: minor version compatibility does not cover PTX",
        _DATE,
    ),
)


def catalogue(facts: Facts) -> tuple[Rule, ...]:
    """Every rule: those that settle a tuple, those that predict, and the rows of predictions.toml."""
    return (*_PRUNE, *_PREDICT, *map(_described, facts.rows))


def _described(row: PredictionRow) -> Rule:
    """A rule that is data, its conditions as the question."""
    conditions = [f"{name} {wanted}" for name, wanted in row.conditions.items()]
    if row.framework:
        conditions.insert(0, f"framework {row.framework}")
    if row.package:
        conditions.append(f"{row.package} {row.package_version} in the solution")
    return Rule(
        row.id,
        "predict",
        row.cause,
        f"Do all of these hold: {'; '.join(conditions)}?",
        "the tuple and its solution; facts/predictions.toml",
        row.source,
        row.date,
    )
