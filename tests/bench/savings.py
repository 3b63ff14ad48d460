"""What a run cost, how it agrees with the full product, and how much of each GPU class it held at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from full_product import Settled
from tabulate import tabulate

from sweep import events, gate
from sweep.audit import REUSED
from sweep.events import STATE_AFTER, JobState
from sweep.model import EnvironmentKey, GpuClass, Verdict
from sweep.places import EVENTS
from sweep.schema import Outcome

_HOLDS_A_DEVICE = frozenset({JobState.RUNNING, JobState.SUSPENDED, JobState.DISCONNECTED})


@dataclass(frozen=True)
class Cost:
    """What a run took: jobs submitted, their attempts, seconds of devices, and wall seconds of the whole.

    `load` is the machine's load average of the last five minutes when it ended.
    """

    name: str
    jobs: int
    attempts: int
    gpu_seconds: float
    wall: float
    load: float


def cost(name: str, here: Path, wall: float, load: float) -> Cost:
    """The cost of the run in `here`, by its event log."""
    log = events.read(here / EVENTS)
    attempts = [attempt for history in log.histories.values() for attempt in history.attempts]
    jobs = sum(len(history.jobs) for history in log.histories.values())
    return Cost(name, jobs, len(attempts), sum(a.gpu_seconds(log.newest) for a in attempts), wall, load)


def shown(costs: Collection[Cost]) -> str:
    """A table of costs, with the part that each is of the first."""
    whole = next(iter(costs))
    rows = [
        (
            c.name, c.jobs, f"{c.jobs / whole.jobs:.1%}", c.attempts, f"{c.gpu_seconds:.0f}",
            f"{c.gpu_seconds / whole.gpu_seconds:.1%}", f"{c.wall:.0f}", f"{c.load:.1f}",
        )
        for c in costs
    ]  # fmt: skip
    headers = ["", "jobs", "of (a)", "attempts", "GPU-seconds", "of (a)", "wall s", "load"]
    return tabulate(rows, headers=headers, disable_numparse=True, colalign=("left", *["right"] * 7))


# --------------------------------------------------------------------------- agreement


@dataclass(frozen=True)
class Agreement:
    """How a run's verdicts stand to the full product's.

    `same` counts tuples with the same verdict (and the same cause where jobs decided in both), `another_reason`
    those whose job no slot took in the full product, and which the run settled before a slot was asked for, by the
    build, the toolkit or the solver; `differ` names the others.
    """

    same: int
    another_reason: int
    differ: tuple[str, ...]


def agreement(
    full: Mapping[str, Settled], outcomes: Collection[Outcome], skip: Collection[EnvironmentKey] = ()
) -> Agreement:
    """Compare a run's outcomes with what the full product has settled; not those of the environments to `skip`."""
    # An environment that came as far as a GPU anywhere is not one that cannot be had.
    on_a_gpu = {o.environment for o in outcomes if o.id in full and _on_gpu(full[o.id])}
    same, other, differ = 0, 0, []
    for outcome in outcomes:
        said = full.get(outcome.id)
        if said is None or outcome.environment in skip:
            continue
        if outcome.verdict is said.verdict and (said.cause in (None, outcome.cause) or not _by_a_job(outcome)):
            same += 1
        elif not said.ran and _settled_before(outcome, on_a_gpu):
            other += 1
        else:
            cause = f" ({said.cause})" if said.cause else ""
            differ.append(f"{outcome.id}: {said.verdict}{cause} in the full product, here {_told(outcome)}")
    return Agreement(same, other, tuple(differ))


def contradictions(fresh: Mapping[str, Outcome], outcomes: Collection[Outcome]) -> list[str]:
    """The tuples that two runs on the same channel speak of differently."""
    return [
        f"{o.id}: {_told(fresh[o.id])} when all is tested, here {_told(o)}"
        for o in outcomes
        if o.id in fresh and (o.verdict, o.cause) != (fresh[o.id].verdict, fresh[o.id].cause)
    ]


def _on_gpu(said: Settled) -> bool:
    return said.verdict in (Verdict.WORKS, Verdict.GPU_FAILURE)


def _by_a_job(outcome: Outcome) -> bool:
    """Whether a job decided, its own or one whose verdict it shares: a rule of planning may name another cause."""
    return outcome.submitted or outcome.rule in (REUSED, gate.RULE)


def _settled_before(outcome: Outcome, on_a_gpu: Collection[EnvironmentKey]) -> bool:
    if outcome.submitted or outcome.verdict not in (Verdict.RESOLVE_FAILURE, Verdict.GPU_FAILURE):
        return False
    return outcome.verdict is Verdict.GPU_FAILURE or outcome.environment not in on_a_gpu


def _told(outcome: Outcome) -> str:
    return f"{outcome.verdict} ({outcome.cause}, {outcome.reason})"


# --------------------------------------------------------------------------- share


@dataclass(frozen=True)
class Held:
    """The most devices of a GPU class that a run held at a moment, and what its share of them is."""

    gpu: GpuClass
    most: int
    share: int


def held(here: Path, classes: Collection[GpuClass], share: float) -> list[Held]:
    """By GPU class, the most devices that were held at once, by the order of events in the run's log."""
    now: Counter[tuple[str | None, str | None]] = Counter()
    most: Counter[tuple[str | None, str | None]] = Counter()
    for _, device, change in sorted(_changes(here), key=lambda found: found[0]):
        now[device] += change
        most[device] = max(most[device], now[device])
    return [Held(c, most[c.device, c.driver], max(1, math.floor(share * c.devices))) for c in classes]


def _changes(here: Path) -> list[tuple[int, tuple[str | None, str | None], int]]:
    """Each line of the log on which a job takes a device, +1, or leaves it, -1; and which device."""
    found = []
    for history in events.read(here / EVENTS).histories.values():
        for job in history.jobs:
            attempts = {attempt.line: attempt for attempt in job.attempts}
            device = None
            for turn in job.turns:
                holds = STATE_AFTER[turn.event] in _HOLDS_A_DEVICE
                if device is not None and (turn.line in attempts or not holds):
                    found.append((turn.line, device, -1))
                    device = None
                if turn.line in attempts:
                    device = attempts[turn.line].device, attempts[turn.line].driver
                    found.append((turn.line, device, +1))
    return found
