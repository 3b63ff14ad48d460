"""Two sweeps beside each other: what changed for each tuple, and what changed on the way. Pure functions.

A tuple that is inconclusive, or that no slot came free for, says nothing about versions, so it is comparable with
nothing; neither are sweeps of simulated and of real GPUs, or of different driver policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from pydantic import ConfigDict, Field, computed_field

from sweep.model import Cause, Frozen, GpuClass, Shown, Verdict
from sweep.schema import Outcome, Outcomes
from sweep.schema.records import OfTuple

Axis = Literal["capability", "gpu", "version", "cuda"]

NONE = "none"  # where one side has nothing: no lock, no such GPU


class Kind(StrEnum):
    """What became of a tuple between two sweeps; the most urgent first."""

    NEWLY_BROKEN = "newly broken"
    NEWLY_WORKS = "newly works"
    CAUSE_CHANGED = "cause changed"
    NEW = "new"
    GONE = "gone"
    NOT_COMPARABLE = "not comparable"


# The kinds that say that what is known of a tuple is no longer so.
VERDICTS_DIFFER = (Kind.NEWLY_BROKEN, Kind.NEWLY_WORKS, Kind.CAUSE_CHANGED)


class What(StrEnum):
    """What can change on the way to a verdict."""

    LOCK = "lock"
    DRIVER = "driver"
    GPU_CLASS = "GPU class"
    PROBE = "probe"
    PLANNING_RULES = "planning rules"
    CAUSE_RULES = "cause rules"
    DRIVER_POLICY = "driver policy"
    SIMULATED = "simulated or real"


class Changed(Frozen):
    """One thing that is not as it was."""

    what: What
    old: Shown
    new: Shown


class Side(Frozen):
    """A tuple in one of the sweeps, as far as a diff speaks of it."""

    verdict: Verdict
    cause: Cause
    reason: Shown
    rule: Shown | None = None
    submitted: bool
    surprise: bool
    machine: Shown | None = None

    @property
    def known(self) -> bool:
        """Whether it says anything about versions: a wait in vain is about the pool's other users."""
        return self.verdict is not Verdict.INCONCLUSIVE and self.cause is not Cause.WAITED_OUT


class Change(OfTuple):
    """What changed for one tuple. `changed` is what changed on the way to its verdict, as far as it is recorded.

    `axis` says of a tuple that only one sweep has what the other sweep had none of: its `capability`, its `gpu`
    class, its `version` or its `cuda`; None when the settings alone make the difference.
    """

    kind: Kind
    old: Side | None = None
    new: Side | None = None
    changed: tuple[Changed, ...] = ()
    axis: Axis | None = None

    model_config = ConfigDict(frozen=True, extra="ignore")  # what is computed stands in the file too

    @computed_field  # type: ignore[prop-decorator]
    @property
    def unexpected(self) -> bool:
        """Whether the tuple ended otherwise than in the sweep before, or otherwise than predicted.

        A failure that planning settles either time, by one rule or by another, is not: no job told of it.
        """
        tested = any(side is not None and side.submitted for side in (self.old, self.new))
        return (self.kind in VERDICTS_DIFFER and tested) or (self.new is not None and self.new.surprise)


class Diff(Frozen):
    """What changed from sweep `old` to sweep `new`; `alike` tuples ended as before.

    `apart` is what makes the two incomparable as wholes. `changes` come by kind, in each first what went against a
    prediction, then what nothing recorded explains.
    """

    schema_: Literal["sweep.diff/1"] = Field(default="sweep.diff/1", alias="schema")
    old: Shown
    new: Shown
    apart: tuple[Changed, ...] = ()
    alike: int
    changes: tuple[Change, ...]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    def of(self, kind: Kind) -> tuple[Change, ...]:
        """The changes of one kind."""
        return tuple(change for change in self.changes if change.kind is kind)


def diff(old: Outcomes, new: Outcomes) -> Diff:
    """What changed from one sweep to another. A sweep has no difference to itself."""
    apart = tuple(_apart(old, new))
    before = {o.id: o for o in old.tuples}
    after = {o.id: o for o in new.tuples}
    had, has = _Axes.of(old), _Axes.of(new)
    found = [_only_one(Kind.GONE, o, has) for o in old.tuples if o.id not in after]
    alike = 0
    for now in new.tuples:
        was = before.get(now.id)
        if was is None:
            found.append(_only_one(Kind.NEW, now, had))
        elif kind := _kind(_side(was), _side(now), comparable=not apart):
            parts = now.model_dump(include=set(OfTuple.model_fields))
            changed = tuple(_on_the_way(was, now, old, new))
            found.append(Change(**parts, kind=kind, old=_side(was), new=_side(now), changed=changed))
        else:
            alike += 1
    return Diff(old=old.sweep, new=new.sweep, apart=apart, alike=alike, changes=tuple(sorted(found, key=_urgency)))


def _urgency(change: Change) -> tuple[int, bool, bool, bool]:
    against = change.new is not None and change.new.surprise
    return list(Kind).index(change.kind), not against, not change.unexpected, bool(change.changed)


def _apart(old: Outcomes, new: Outcomes) -> Iterator[Changed]:
    if old.simulated is not new.simulated:
        kinds = {True: "simulated", False: "real"}
        yield Changed(what=What.SIMULATED, old=kinds[old.simulated], new=kinds[new.simulated])
    if old.driver_policy is not new.driver_policy:
        yield Changed(what=What.DRIVER_POLICY, old=old.driver_policy, new=new.driver_policy)


def _kind(old: Side, new: Side, *, comparable: bool) -> Kind | None:
    """None where nothing is different, or nothing is known in either sweep."""
    if old.cause is new.cause or not (old.known or new.known):
        return None
    if not comparable or not (old.known and new.known):
        return Kind.NOT_COMPARABLE
    worked, works = (side.verdict is Verdict.WORKS for side in (old, new))
    if worked is works:
        return Kind.CAUSE_CHANGED
    return Kind.NEWLY_WORKS if works else Kind.NEWLY_BROKEN


def _side(outcome: Outcome) -> Side:
    return Side(**outcome.model_dump(include=set(Side.model_fields)))


def _only_one(kind: Kind, outcome: Outcome, other: _Axes) -> Change:
    parts = outcome.model_dump(include=set(OfTuple.model_fields))
    old, new = (None, _side(outcome)) if kind is Kind.NEW else (_side(outcome), None)
    return Change(**parts, kind=kind, old=old, new=new, axis=other.lacking(outcome))


@dataclass(frozen=True)
class _Axes:
    """What a sweep's tuples are made of."""

    capabilities: frozenset[str]
    classes: frozenset[str | None]
    versions: frozenset[tuple[str, str]]
    runtimes: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, outcomes: Outcomes) -> _Axes:
        return cls(
            frozenset(o.capability for o in outcomes.tuples),
            frozenset(o.gpu for o in outcomes.tuples),
            frozenset((o.framework, o.version) for o in outcomes.tuples),
            frozenset((o.framework, o.cuda) for o in outcomes.tuples),
        )

    def lacking(self, outcome: Outcome) -> Axis | None:
        """What of a tuple there is none of; the GPUs first, since a pool changes less often than versions."""
        if outcome.capability not in self.capabilities:
            return "capability"
        if outcome.gpu is not None and outcome.gpu not in self.classes:
            return "gpu"
        if (outcome.framework, outcome.version) not in self.versions:
            return "version"
        return "cuda" if (outcome.framework, outcome.cuda) not in self.runtimes else None


# --------------------------------------------------------------------------- on the way


def _on_the_way(was: Outcome, now: Outcome, old: Outcomes, new: Outcomes) -> Iterator[Changed]:
    """What changed of all that the two verdicts rest on. What is unknown on a side counts as unchanged."""
    yield from _lock(was, now, old, new)
    tested = was.device is not None and now.device is not None
    for what, devices in (
        (What.DRIVER, (was.driver, now.driver)),
        (What.GPU_CLASS, (was.device, now.device)),
    ):
        pair = devices if tested else (_of_pool(what, was, old), _of_pool(what, now, new))
        yield from _differing(what, *pair)
    if was.submitted and now.submitted:
        probes = (each.digests.probes.get(now.framework) for each in (old, new))
        yield from _differing(What.PROBE, *map(_short, probes))
    if not (was.submitted and now.submitted):
        yield from _differing(What.PLANNING_RULES, _short(old.digests.planning), _short(new.digests.planning))
    if was.submitted or now.submitted:
        yield from _differing(What.CAUSE_RULES, _short(old.digests.causes), _short(new.digests.causes))


def _lock(was: Outcome, now: Outcome, old: Outcomes, new: Outcomes) -> Iterator[Changed]:
    """Locks are told apart by their builds, else by the packages that matter to GPUs, else by their digests.

    A lock is missing for a reason only where the environment could not be made; else nobody asked for one.
    """
    locks = [o.lock_sha256 or (NONE if o.verdict is Verdict.RESOLVE_FAILURE else None) for o in (was, now)]
    if None in locks or locks[0] == locks[1]:
        return
    environment = now.environment.id
    before, after = (each.noted.get(environment, {}) for each in (old, new))
    names = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    builds = [(o.build if o.lock_sha256 else None) or NONE for o in (was, now)]
    if builds[0] != builds[1]:
        texts = builds
    elif names:
        texts = [", ".join(f"{name} {found.get(name, NONE)}" for name in names) for found in (before, after)]
    else:
        texts = [str(_short(lock)) for lock in locks]
    yield Changed(what=What.LOCK, old=texts[0], new=texts[1])


def _of_pool(what: What, outcome: Outcome, outcomes: Outcomes) -> str:
    """The drivers or devices of a tuple's GPU classes, where no job says which one decided."""
    alike = [c for c in outcomes.pool.classes if c.capability == outcome.capability and _in_class(outcome, c)]
    values = {c.driver or "unknown" for c in alike} if what is What.DRIVER else {c.device for c in alike}
    return ", ".join(sorted(values)) or NONE


def _in_class(outcome: Outcome, gpu: GpuClass) -> bool:
    return outcome.gpu in (None, gpu.label)


def _differing(what: What, old: str | None, new: str | None) -> Iterator[Changed]:
    if old and new and old != new:
        yield Changed(what=what, old=old, new=new)


def _short(digest: str | None) -> str | None:
    return digest[:12] if digest else None
