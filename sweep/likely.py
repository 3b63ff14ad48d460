"""Why a tuple changed, in words: of all that changed on the way, what its cause speaks for most, and whose it is."""

from __future__ import annotations

from sweep.diff import Change, Changed, Kind, Side, What
from sweep.model import Cause, Verdict

# Whose doing a change is: the question that the pool's staff ask first.
WHOSE = {
    What.LOCK: "upstream",
    What.DRIVER: "the pool",
    What.GPU_CLASS: "the pool",
    What.PROBE: "the sweeper",
    What.PLANNING_RULES: "the sweeper",
    What.CAUSE_RULES: "the sweeper",
}

# What can explain a cause, the most likely first; any other cause can come of anything that is installed or runs.
_POOL = (What.DRIVER, What.GPU_CLASS)
_RULES = (What.PROBE, What.PLANNING_RULES, What.CAUSE_RULES)
_EXPLAINED_BY = {
    Cause.NO_SUCH_SLOT: (*_POOL, What.PLANNING_RULES),
    Cause.DRIVER_TOO_OLD: (*_POOL, What.LOCK, *_RULES),
    Cause.NO_DEVICE: (*_POOL, What.LOCK, *_RULES),
    Cause.NO_BUILD: (What.LOCK, What.PLANNING_RULES),
    Cause.INSTALL_FAILED: (What.LOCK, What.CAUSE_RULES),
    Cause.ALL_RUNGS: (),
}
_ANYTHING = (What.LOCK, *_POOL, *_RULES)

_NEW = {
    "capability": "the pool has new GPUs",
    "gpu": "the pool has a new GPU class: another model, or another driver",
    "version": "the version is new to the sweep",
    "cuda": "the CUDA runtime is new to the sweep",
    None: "the settings select it now",
}
_GONE = {
    "capability": "the pool has no such GPUs any more",
    "gpu": "the pool has no such GPU class any more: another model, or another driver",
    "version": "the version is no longer swept",
    "cuda": "the CUDA runtime is no longer swept",
    None: "the settings no longer select it",
}


def likely(change: Change) -> str:
    """The likely reason of a change, in one clause. A guess by what is recorded, never a verdict."""
    if change.kind is Kind.NEW:
        return _NEW[change.axis]
    if change.kind is Kind.GONE:
        return _GONE[change.axis]
    assert change.old is not None
    assert change.new is not None
    if change.kind is Kind.NOT_COMPARABLE:
        return _unknown(change.old, change.new)
    suspects = _suspects(change.old.cause, change.new.cause)
    ranked = sorted((c for c in change.changed if c.what in suspects), key=lambda c: suspects.index(c.what))
    told = _told(ranked[0]) if ranked else _unexplained(change.old, change.new)
    others = ", ".join(c.what for c in change.changed if c not in ranked[:1])
    return f"{told}; also changed: {others}" if others else told


def _suspects(old: Cause, new: Cause) -> tuple[What, ...]:
    """What could have turned one cause into the other: what explains the new one, then what explains the old one."""
    both = (*_EXPLAINED_BY.get(new, _ANYTHING), *_EXPLAINED_BY.get(old, _ANYTHING))
    return tuple(dict.fromkeys(both))


def _told(changed: Changed) -> str:
    return f"likely {WHOSE[changed.what]}: {changed.what} {changed.old} → {changed.new}"


def _unknown(old: Side, new: Side) -> str:
    """Why there is nothing to compare a tuple with."""
    if old.known and new.known:
        return "the sweeps differ as wholes"
    side, when = (new, "now") if not new.known else (old, "before")
    if side.verdict is Verdict.INCONCLUSIVE:
        return f"inconclusive {when}: {side.reason}"
    return f"no slot came free {when}"


def _unexplained(old: Side, new: Side) -> str:
    if not (old.submitted or new.submitted):
        return f"planning settles it by another rule: {old.rule or old.cause} → {new.rule or new.cause}"
    if Cause.INSTALL_FAILED in (old.cause, new.cause):
        return "nothing that could explain it: the lock is the same, so a package behind it or the way to it is not"
    if old.machine and new.machine and old.machine != new.machine:
        return f"nothing recorded but the machine, {old.machine} → {new.machine}: run it again on both"
    return "nothing recorded: run it again to see whether it lasts"
