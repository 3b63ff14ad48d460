"""Can a job match any slot of the pool, now or ever; and if never, which clause stops it.

The decision is HTCondor's own: ClassAd matching of the job's ad against every slot as it would be when empty. A
slot's START policy counts against it only when it is plainly false: policies look at the hour, the load or the
submitter's group, which this moment does not tell, and a tuple that could work must not be left out. Only the
explanation is ours.
(condor_q -better-analyze cannot tell a busy GPU from an absent one on partitionable slots.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sweep.cuda import version_key
from sweep.model import GpuClass
from sweep.pool import device_ids, nested_name


@dataclass(frozen=True)
class Feasibility:
    """How many slots could take a job when empty, and how many right now.

    When none ever could, `rule` names the kind of clause that rules them out and `clause` says it.
    """

    possible: int
    free: int
    rule: str | None = None
    clause: str = ""


@dataclass(frozen=True)
class Ask:
    """What a job wants of a GPU: its capability, and the oldest acceptable driver as a CUDA runtime."""

    capability: str
    floor: str


class Matcher:
    """The pool's slots, as they are and as they would be when empty."""

    def __init__(self, ads: Sequence[Any], classes: Sequence[GpuClass]) -> None:
        self._now = list(ads)
        self._empty = [_emptied(ad) for ad in ads]
        self._classes = classes

    def feasibility(self, job: Any, ask: Ask) -> Feasibility:
        """Match one job's ad against every slot."""
        possible = sum(bool(slot.symmetricMatch(job)) for slot in self._empty)
        free = sum(bool(slot.symmetricMatch(job)) for slot in self._now)
        return Feasibility(possible, free) if possible else Feasibility(0, 0, *self._clause(job, ask))

    def _clause(self, job: Any, ask: Ask) -> tuple[str, str]:
        """Which condition rules every slot out, the most telling one first."""
        alike = [c for c in self._classes if c.capability == ask.capability]
        if not alike:
            return "capability-not-in-pool", f"Capability == {ask.capability}: the pool has no such GPU"
        if not any(version_key(c.runtime) >= version_key(ask.floor) for c in alike):
            newest = max((c.runtime for c in alike), key=version_key)
            return "no-driver-in-pool", (
                f"MaxSupportedVersion >= {ask.floor}: the newest driver on GPUs of capability {ask.capability} "
                f"supports CUDA {newest}"
            )
        hosts = {machine for c in alike for machine in c.machines}
        slots = [slot for slot in self._empty if slot.get("Machine") in hosts]
        for resource in ("Cpus", "Memory", "Disk"):
            wanted = _value(job, f"Request{resource}")
            most = max((_value(slot, f"TotalSlot{resource}") for slot in slots), default=0)
            if wanted > most:
                return "slots-too-small", (
                    f"Request{resource} = {wanted}: the largest slot with GPUs of capability {ask.capability} "
                    f"has {most:.0f}"
                )
        willing = sum(slot.eval("Start") is True for slot in slots if "Start" in slot)
        return "no-willing-slot", (
            "the job's requirements and the slots' START policies leave no slot of capability "
            f"{ask.capability} ({willing} of {len(slots)} such slots would start any job)"
        )


def _never_starts(slot: Any) -> bool:
    """Whether the slot's START policy is the constant false."""
    return "Start" in slot and str(slot.lookup("Start")).strip().lower() == "false"


def _value(ad: Any, attribute: str) -> float:
    value = ad.eval(attribute) if attribute in ad else 0  # classad2's `undefined` is a member of an integer enum
    return value if isinstance(value, int | float) and not isinstance(value, bool | Enum) else 0


def _emptied(ad: Any) -> Any:
    """A copy of a slot's ad as it would be with nothing running on it."""
    import classad2

    empty = classad2.ClassAd(str(ad))  # parsing the text is the bindings' only way to copy an ad
    for resource in ("Cpus", "Memory", "Disk", "GPUs"):
        if f"TotalSlot{resource}" in ad:
            empty[resource] = ad[f"TotalSlot{resource}"]
    names = [nested_name(i) for i in device_ids(ad) if nested_name(i) in ad]
    if names:
        empty["AvailableGPUs"] = classad2.ExprTree("{ " + ", ".join(names) + " }")
    empty["State"], empty["Activity"] = "Unclaimed", "Idle"
    if "Start" in empty and not _never_starts(empty):
        empty["Start"] = True
    return empty
