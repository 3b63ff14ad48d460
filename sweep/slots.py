"""Slots that no job of a sweep can tell apart, so that a large pool is matched a group at a time.

The jobs of a sweep differ in what they require of a GPU (RequireGPUs) and in little else. So a slot's answer has two
parts, and both are HTCondor's own matching: whether it takes such a job at all, asked once of every slot with a job
that any GPU would please; and whether one of its devices pleases the job at hand, which is the same for all slots
whose devices are alike in every property that RequireGPUs refers to. A slot that does not divide so (its START
policy reads RequireGPUs, a property of a device is itself an expression) is a group of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from sweep.attributes import nested_name
from sweep.conjuncts import conjuncts
from sweep.nodes import Machine, machine_of
from sweep.pool import device_ids

# How condor_submit writes require_gpus into a job's Requirements.
_GPU_CLAUSE = "countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs"
# The one function that reads an attribute whose name is in a string, where HTCondor's list of references has it not.
_HIDDEN_REFERENCE = re.compile(r"\beval\s*\(", re.IGNORECASE)

# What some jobs of a sweep require of a GPU: looked at for all of them, so that they share their groups.
_PROPERTIES = frozenset({"capability", "devicename", "globalmemorymb", "maxsupportedversion", "nvidiadriver"})
_EVERYTHING = "*"  # stands among a slot's references for all that there could be
_Key = tuple[object, ...]


@dataclass
class Group:
    """Slots that answer every job of one kind alike; `slot` stands for them all."""

    slot: Any
    size: int = 0
    machines: set[Machine] = field(default_factory=set)

    def add(self, ad: Any) -> None:
        """Count one more slot."""
        self.size += 1
        self.machines.add(machine_of(ad))


@dataclass(frozen=True)
class _Kind:
    """What jobs have in common that differ only in the GPU that they require.

    `plain` is such a job that would take any GPU; its Requirements refer to `needed`, its own attributes and a
    slot's. `own` are the attributes that only the required GPU gives a job, `properties` those of a device that
    decide, `wanted` the number of devices, if it is plain. All names are in small letters.
    """

    plain: Any
    needed: frozenset[str]
    own: frozenset[str]
    properties: tuple[str, ...]
    wanted: int | None


class Slots:
    """The pool's slots, grouped for each kind of job that comes along."""

    def __init__(self, ads: Sequence[Any]) -> None:
        self.ads = ads
        self._seen: dict[frozenset[str], list[frozenset[str]]] = {}
        self._groups: dict[_Key, list[Group]] = {}

    def groups(self, job: Any, empty: bool) -> list[Group]:
        """All slots that could take jobs of this kind, as they are or as they would be when empty."""
        kind = _kind_of(job)
        if kind is None:
            return [_alone(ad) for ad in self.ads]
        seen = self._seen_by_slots(kind.needed)
        relevant = kind.needed.union(*set(seen)) - kind.own
        key = _texts(kind.plain, relevant), kind.properties, empty
        if key not in self._groups:
            self._groups[key] = self._grouped(kind, seen, empty)
        return self._groups[key]

    def _seen_by_slots(self, needed: frozenset[str]) -> list[frozenset[str]]:
        """For each slot, the names that its side of a match refers to."""
        if needed not in self._seen:
            roots = ("Requirements", *sorted(needed))
            alike: dict[frozenset[str], frozenset[str]] = {}  # most slots see the same, and need it once
            self._seen[needed] = [alike.setdefault(seen, seen) for seen in (_seen_by(ad, roots) for ad in self.ads)]
        return self._seen[needed]

    def _grouped(self, kind: _Kind, seen: Sequence[frozenset[str]], empty: bool) -> list[Group]:
        groups: dict[_Key, Group] = {}
        for number, ad in enumerate(self.ads):
            by_itself: _Key = (number,)
            if _EVERYTHING in seen[number] or not kind.own.isdisjoint(seen[number]):
                groups[by_itself] = _alone(ad)
                continue
            with _state(ad, empty):
                if not ad.symmetricMatch(kind.plain):
                    continue
                key = _devices_key(ad, kind) or by_itself
            groups.setdefault(key, Group(ad)).add(ad)
        return list(groups.values())


def takes(slot: Any, job: Any, empty: bool) -> bool:
    """HTCondor's answer: whether the slot, as it is or as it would be when empty, and the job want each other."""
    with _state(slot, empty):
        return bool(slot.symmetricMatch(job))


def lowest_runtime(slot: Any, job: Any) -> int | None:
    """Of the devices that the job could get of this slot, the least MaxSupportedVersion; None if none says it."""
    import classad2

    with emptied(slot):
        listed = slot.get("AvailableGPUs")
        names = [str(device) for device in listed] if isinstance(listed, list) else []
        devices = {n: slot.get(n) for n in names}
        supported = {n: d.get("MaxSupportedVersion") for n, d in devices.items() if isinstance(d, Mapping)}
        numbers = {n: value for n, value in supported.items() if type(value) is int}
        for number in sorted(set(numbers.values())):
            alike = ", ".join(n for n in names if numbers.get(n) == number)
            slot["AvailableGPUs"] = classad2.ExprTree(f"{{ {alike} }}")
            if slot.symmetricMatch(job):
                return number
    return None


@contextmanager
def emptied(ad: Any) -> Iterator[None]:
    """For a while, a slot's ad as it would be with nothing running on it.

    The ad itself is changed, and put right again: copies of a large pool's ads would double its memory.
    """
    import classad2

    changes: dict[str, Any] = {"State": "Unclaimed", "Activity": "Idle"}
    for resource in ("Cpus", "Memory", "Disk", "GPUs"):
        if f"TotalSlot{resource}" in ad:
            changes[resource] = ad.lookup(f"TotalSlot{resource}")
    names = [name for name in map(nested_name, device_ids(ad)) if name in ad]
    if names:
        changes["AvailableGPUs"] = classad2.ExprTree("{ " + ", ".join(names) + " }")
    if "Start" in ad and not never_starts(ad):
        changes["Start"] = True
    before = {name: ad.lookup(name) if name in ad else None for name in (*changes, "AvailableGPUs")}
    try:
        for name, value in changes.items():
            ad[name] = value
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                ad[name] = value
            elif name in ad:
                del ad[name]


def never_starts(ad: Any) -> bool:
    """Whether the slot's START policy is the constant false."""
    return "Start" in ad and str(ad.lookup("Start")).strip().lower() == "false"


def _state(ad: Any, empty: bool) -> AbstractContextManager[None]:
    return emptied(ad) if empty else nullcontext()


def _alone(ad: Any) -> Group:
    group = Group(ad)
    group.add(ad)
    return group


def _references(ad: Any, expression: Any) -> frozenset[str]:
    """The names that an expression refers to, over all attributes of its ad that it goes through."""
    found = (*ad.externalRefs(expression), *ad.internalRefs(expression))
    return frozenset(part for name in found for part in name.lower().split(".") if part)


def _seen_by(ad: Any, roots: Sequence[str]) -> frozenset[str]:
    """What the expressions among a slot's attributes `roots` refer to."""
    import classad2

    seen: set[str] = set()
    for root in roots:
        value = ad.get(root)
        if isinstance(value, classad2.ExprTree):
            names = ad.externalRefs(value)
            seen.update(part for name in names for part in name.lower().split("."))
            reached = (ad.get(name) for name in ad.internalRefs(value))
            texts = [str(expression) for expression in (value, *reached) if isinstance(expression, classad2.ExprTree)]
            # TARGET alone is the whole job, of which an attribute may then be read by a name in a string.
            if "TARGET" in map(str.upper, names) or any(map(_HIDDEN_REFERENCE.search, texts)):
                seen.add(_EVERYTHING)
    return frozenset(seen)


def _kind_of(job: Any) -> _Kind | None:
    """What a job has in common with others; None if its Requirements do not divide."""
    import classad2

    requirements = str(job.lookup("Requirements"))
    divides = _GPU_CLAUSE in conjuncts(requirements) and requirements.lower().count("requiregpus") == 1
    if not divides or "RequireGPUs" not in job or _HIDDEN_REFERENCE.search(requirements):
        return None
    gpu = job.lookup("RequireGPUs")
    plain = classad2.ClassAd(str(job))
    plain["RequireGPUs"] = True
    needed = _references(plain, plain.lookup("Requirements")) - {"requiregpus"}
    own = {"requiregpus", *(name.lower() for name in job.internalRefs(gpu) if name)} - needed
    own |= {name.lower() for name, value in job.items() if _refers_to(job, value, own)}
    count = job.get("RequestGPUs")
    return _Kind(
        plain=plain,
        needed=needed,
        own=frozenset(own),
        properties=tuple(sorted((_references(job, gpu) | _PROPERTIES) - own)),
        wanted=count if type(count) is int else None,
    )


def _refers_to(job: Any, value: Any, names: set[str]) -> bool:
    """Whether an attribute's value is an expression in which one of the names occurs."""
    import classad2

    return isinstance(value, classad2.ExprTree) and not names.isdisjoint(_references(job, value))


def _texts(job: Any, names: frozenset[str]) -> tuple[str, ...]:
    """The job's attributes of these names, and those that they refer to, as texts."""
    reached = names.union(*(_references(job, job.lookup(name)) for name in names if name in job))
    return tuple(f"{name} = {job.lookup(name)}" for name in sorted({*reached, "requirements"}) if name in job)


def _devices_key(ad: Any, kind: _Kind) -> _Key | None:
    """What decides whether one of a slot's available devices pleases a job; None if no plain values do."""
    # A device that lacks a property is given the slot's.
    slot = _plain_values(ad, kind.properties)
    listed = ad.get("AvailableGPUs")
    if slot is None or not isinstance(listed, list):
        return None
    devices: Counter[_Key] = Counter()
    for reference in listed:
        device = ad.get(str(reference))
        values = _plain_values(device, kind.properties) if isinstance(device, Mapping) else None
        if values is None:
            return None
        devices[values] += 1
    # More devices of a kind than the job wants make no difference.
    counts = (
        (values, count if kind.wanted is None else min(count, kind.wanted)) for values, count in devices.items()
    )
    return slot, frozenset(counts)


def _plain_values(ad: Mapping[str, Any], names: Sequence[str]) -> _Key | None:
    """Some attributes of an ad as texts that tell their types apart; None if one is more than a plain value."""
    values = [ad.get(name) for name in names]
    if all(value is None or isinstance(value, bool | int | float | str) for value in values):
        return tuple(repr(value) for value in values)
    return None
