"""Which clause keeps a job from every slot of the pool, said so that the pool's staff can act on it.

HTCondor decides that nothing matches (`match`); here its question is asked again without one clause at a time, and
the clause without which a slot would take the job is the one to name.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, NamedTuple

from sweep.conjuncts import conjuncts, first_conjunct
from sweep.cuda import version_key
from sweep.model import GpuClass
from sweep.slots import Slots, never_starts, takes

_OURS = (
    "TARGET.Arch",
    "MachineAttrMachine",
    "NumJobCompletions",
)  # what `render` writes beside the site's own clause

# What condor_submit (25.14) asks of a machine that is to run a container image.
_CONTAINER_CLAUSES = ("TARGET.HasContainer", "TARGET.HasDockerURL", "TARGET.HasSIF")


class _Setting(NamedTuple):
    """A setting of sweep.toml that stands as a clause in the job's ad."""

    rule: str
    text: str
    relaxed: Any


def explain(job: Any, wanted: str, alike: Sequence[GpuClass], floor: str, slots: Slots) -> tuple[str, str]:
    """The rule and the clause that rule every slot out, the most telling first.

    `wanted` says in words which GPUs the job asks for, `alike` are the classes of such GPUs, `floor` is the oldest
    acceptable driver as a CUDA runtime.
    """
    if not any(version_key(c.runtime) >= version_key(floor) for c in alike):
        newest = max((c.runtime for c in alike), key=version_key)
        return "no-driver-in-pool", (
            f"MaxSupportedVersion >= {floor}: the newest driver on {wanted} supports CUDA {newest}"
        )
    hosts = {machine for c in alike for machine in c.machines}
    there = [slot for slot in slots.ads if slot.get("Machine") in hosts]
    for resource in ("Cpus", "Memory", "Disk"):
        asked = _number(job, f"Request{resource}")
        most = max((_number(slot, f"TotalSlot{resource}") for slot in there), default=0)
        if asked > most:
            return "slots-too-small", (f"Request{resource} = {asked}: the largest slot with {wanted} has {most:.0f}")
    settings = _settings(job, wanted)
    for setting in settings:
        if could := _possible(slots, setting.relaxed):
            return setting.rule, f"{setting.text} ({could} slot(s) would take the job without this clause)"
    return "no-willing-slot", _unwilling(job, wanted, there, slots, settings)


def _unwilling(job: Any, wanted: str, there: Sequence[Any], slots: Slots, settings: Sequence[_Setting]) -> str:
    closed = sum(never_starts(slot) for slot in there)
    if there and closed == len(there):
        return f"START is false on all {len(there)} slot(s) with {wanted}"
    parts = conjuncts(str(job.lookup("Requirements")))
    platform = [part for part in parts if "TARGET.Arch" in part or "TARGET.OpSys" in part]
    if platform and _possible(slots, _without(job, "Requirements", platform)):
        kinds = sorted({f"{slot.get('Arch')}/{slot.get('OpSys')}" for slot in there})
        return f"{_joined(platform)}: the slots with {wanted} are {', '.join(kinds)}"
    if len(settings) > 1:
        return f"together these leave no slot: {'; '.join(s.text for s in settings)}"
    return (
        f"the job's requirements and the slots' START policies leave no slot with {wanted} "
        f"({len(there) - closed} of {len(there)} such slots start jobs at all)"
    )


def _settings(job: Any, wanted: str) -> list[_Setting]:
    """The settings that are clauses of this job, each with the job as it were without."""
    found = []
    gpu = conjuncts(str(job.lookup("RequireGPUs"))) if "RequireGPUs" in job else []
    if memory := [part for part in gpu if "GPUsMinMemory" in part]:
        least = f"gpus.minimum_memory = {_number(job, 'GPUsMinMemory'):.0f} MB: all {wanted} have less"
        found.append(_Setting("device-too-small", least, _without(job, "RequireGPUs", memory)))
    if mig := [part for part in gpu if '"MIG"' in part]:
        whole = f"gpus.mig = false: the pool has {wanted} only as MIG slices"
        found.append(_Setting("only-mig", whole, _without(job, "RequireGPUs", mig)))
    if engine := [part for part in conjuncts(str(job.lookup("Requirements"))) if part in _CONTAINER_CLAUSES]:
        text = f"{_joined(engine)}: no slot with {wanted} runs such container images"
        found.append(_Setting("no-container-support", text, _without(job, "Requirements", engine)))
    # condor_submit puts the submit file's requirements first, and its own clauses after them.
    first = first_conjunct(str(job.lookup("Requirements")))
    if site := [part for part in conjuncts(first) if not any(word in part for word in _OURS)]:
        text = f"resources.requirements: no slot with {wanted} meets {_joined(site)}"
        found.append(_Setting("site-requirements", text, _without(job, "Requirements", site)))
    return found


def _without(job: Any, attribute: str, left_out: Sequence[str]) -> Any:
    """A copy of the job without some of the clauses that an attribute joins by &&."""
    import classad2

    copy = classad2.ClassAd(str(job))
    kept = [part for part in conjuncts(str(job.lookup(attribute))) if part not in left_out]
    copy[attribute] = classad2.ExprTree(_joined(kept) or "true")
    return copy


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else " && ".join(f"({part})" for part in parts)


def _possible(slots: Slots, job: Any) -> int:
    return sum(group.size for group in slots.groups(job, empty=True) if takes(group.slot, job, empty=True))


def _number(ad: Any, attribute: str) -> float:
    value = ad.eval(attribute) if attribute in ad else 0  # classad2's `undefined` is a member of an integer enum
    return value if isinstance(value, int | float) and not isinstance(value, bool | Enum) else 0
