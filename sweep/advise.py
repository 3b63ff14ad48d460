"""Outcomes -> which version of a framework to take, on how much of the pool it runs, and how to ask for those GPUs.

A tuple was tested on one device; its verdict is taken for every GPU class that its job could have landed on, as the
submit file says. Devices are counted, not machines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from packaging.version import Version

from sweep.cuda import DriverPolicy, driver_floor, encode_runtime, in_order, takers, version_key
from sweep.devices import device_clause, device_name_clause, usable
from sweep.errors import SettingsError
from sweep.ids import sm
from sweep.model import EnvironmentKey, GpuClass, Verdict, VersionTuple
from sweep.schema import Outcome, Outcomes, PlannedEnvironment
from sweep.settings import GpuSettings
from sweep.tomlfile import did_you_mean

MOST = 0.9  # of the devices: what counts as nearly everywhere


class Standing(Enum):
    """What is known of an environment on a GPU class."""

    WORKS = "tested"
    PREDICTED = "predicted"  # not tested, and no rule speaks against it
    FAILS = "fails"
    UNASKED = "unasked"  # the sweep had no tuple for it


@dataclass(frozen=True)
class Place:
    """What an environment does on a GPU class; `why` says in a few words why it does not work."""

    standing: Standing
    why: str = ""


@dataclass(frozen=True)
class Reach:
    """One environment of a framework, and where in the pool it works.

    `places` has every GPU class that was asked about. `tested` are the devices that the sweep's jobs ran on, in
    words, each once. `python` is the environment's Python, None where the plan does not say.
    """

    key: EnvironmentKey
    python: str | None
    places: Mapping[GpuClass, Place]
    tested: tuple[str, ...]

    def on(self, standing: Standing) -> tuple[GpuClass, ...]:
        """The GPU classes of one standing."""
        return tuple(gpu for gpu, place in self.places.items() if place.standing is standing)

    @property
    def devices(self) -> int:
        """How many devices it is known to work on."""
        return sum(c.devices for c in self.on(Standing.WORKS))

    @property
    def total(self) -> int:
        """How many devices the sweep had a tuple for, or whose driver is too old for one."""
        return sum(c.devices for c, place in self.places.items() if place.standing is not Standing.UNASKED)

    @property
    def share(self) -> float:
        """The part of those devices that it is known to work on."""
        return self.devices / self.total

    @property
    def capabilities(self) -> tuple[str, ...]:
        """The compute capabilities that it is known to work on, lowest first."""
        return in_order(c.capability for c in self.on(Standing.WORKS))


@dataclass(frozen=True)
class Pick:
    """An environment with what speaks for it: `newest that works on every GPU`, and such."""

    titles: tuple[str, ...]
    reach: Reach


@dataclass(frozen=True)
class Advice:
    """What to take of one framework; `picks` is empty when nothing works anywhere that was asked about."""

    framework: str
    classes: tuple[GpuClass, ...]
    picks: tuple[Pick, ...]
    policy: DriverPolicy


def advise(
    outcomes: Outcomes,
    environments: Sequence[PlannedEnvironment],
    framework: str,
    *,
    gpu: str | None = None,
    python: str | None = None,
) -> Advice:
    """The environments of a framework to choose from, the one for most GPUs first.

    `gpu` narrows the pool to devices whose name has that text, or to a capability (`8.0` or `sm80`); `python` to
    environments of one Python version (`3.11`).

    Raises:
        SettingsError: the sweep has no such framework, the pool no such GPU, or no environment such a Python.
    """
    known = list(dict.fromkeys(o.framework for o in outcomes.tuples))
    if framework not in known:
        hint = did_you_mean(framework, known, "frameworks")
        raise SettingsError(f"sweep {outcomes.sweep} has not tested {framework!r}{hint}")
    classes = chosen(outcomes.pool.classes, gpu)
    reaches = _reaches(outcomes, environments, framework, classes)
    if python is not None:
        reaches = [r for r in reaches if r.python is not None and same_python(r.python, python)]
        if not reaches:
            found = sorted({e.python for e in environments if e.framework == framework and e.python}, key=Version)
            raise SettingsError(
                f"sweep {outcomes.sweep} has no environment of {framework} with Python {python}; it has Python "
                f"{', '.join(found) or 'of no known version'} (pin one with frameworks.{framework}.python)"
            )
    return Advice(framework, classes, _picks(reaches), outcomes.driver_policy)


def within_settings(outcomes: Outcomes, gpus: GpuSettings) -> Outcomes:
    """The outcomes with a pool of only those GPU classes that the settings let jobs run on."""
    pool = outcomes.pool.model_copy(update={"classes": usable(outcomes.pool.classes, gpus)})
    return outcomes.model_copy(update={"pool": pool})


def same_python(found: str, wanted: str) -> bool:
    """Whether a Python is of the wanted version: 3.11.7 is 3.11, 3.1 is not."""
    return found == wanted or found.startswith(f"{wanted}.")


def chosen(classes: Sequence[GpuClass], gpu: str | None) -> tuple[GpuClass, ...]:
    """The GPU classes that a word means: a capability, a word of a device's name in any case, else a part of it.

    Raises:
        SettingsError: the pool has none; the message names those that it has.
    """
    if gpu is None:
        return tuple(classes)
    word = gpu.strip().lower()
    ways = (
        lambda c: word in (c.capability, sm(c.capability)),
        lambda c: re.search(rf"(?<![a-z0-9]){re.escape(word)}(?![a-z0-9])", c.device.lower()),
        lambda c: word in c.device.lower(),
    )
    # Whole words first: an A10 is no A100.
    tried = (tuple(filter(way, classes)) for way in ways) if word else iter(())
    found = next(filter(None, tried), ())
    if not found:
        have = ", ".join(dict.fromkeys(f"{c.device} ({c.capability})" for c in classes))
        raise SettingsError(f"--gpu {gpu}: the pool of this sweep has no such GPU; it has {have}")
    return found


def place_of(outcome: Outcome) -> Place:
    """What a tuple's outcome says of the GPUs that it stands for."""
    if outcome.verdict is Verdict.WORKS:
        return Place(Standing.WORKS)
    # Waiting in vain and bad luck say nothing of versions; a rule that expects a failure does.
    if outcome.submitted and outcome.verdict in (Verdict.INCONCLUSIVE, Verdict.MATCH_FAILURE):
        if outcome.prediction is None or outcome.prediction.cause.verdict is Verdict.WORKS:
            return Place(Standing.PREDICTED)
        return Place(Standing.FAILS, f"{outcome.cause}; {outcome.prediction.cause} is predicted")
    return Place(Standing.FAILS, outcome.cause.value)


def _untried(gpu: GpuClass, floor: str) -> Place:
    """What is known of a GPU class as long as no tuple speaks of it."""
    if version_key(gpu.runtime) < version_key(floor):
        return Place(Standing.FAILS, f"its driver supports CUDA {gpu.runtime} at most")
    return Place(Standing.UNASKED)


def _reaches(
    outcomes: Outcomes, environments: Sequence[PlannedEnvironment], framework: str, classes: tuple[GpuClass, ...]
) -> list[Reach]:
    """Every environment of the framework that works somewhere, newest version first, then the widest."""
    pythons = {(e.framework, e.version, e.cuda): e.python for e in environments}
    by_key: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes.tuples:
        if outcome.framework == framework:
            by_key.setdefault((outcome.version, outcome.cuda), []).append(outcome)
    found = []
    for (version, cuda), tuples in by_key.items():
        floor = driver_floor(cuda, outcomes.driver_policy)
        places = {c: _untried(c, floor) for c in classes}
        tested: dict[str, None] = {}
        for outcome in tuples:
            able = takers(VersionTuple.parse(outcome.id), classes, outcomes.driver_policy)
            places |= dict.fromkeys(able, place_of(outcome))
            if able and outcome.verdict is Verdict.WORKS and outcome.device:
                tested[outcome.device] = None
        reach = Reach(
            EnvironmentKey(framework=framework, version=version, cuda=cuda),
            pythons.get((framework, version, cuda)),
            places,
            tuple(tested),
        )
        if reach.devices:
            found.append(reach)
    return sorted(found, key=lambda r: (Version(r.key.version), r.devices, version_key(r.key.cuda)), reverse=True)


def _picks(reaches: Sequence[Reach]) -> tuple[Pick, ...]:
    """The newest on every GPU, the newest on most of them, the widest if neither exists, and the newest at all."""
    wanted: list[tuple[str, Reach]] = []
    everywhere = next((r for r in reaches if r.devices == r.total), None)
    most = next((r for r in reaches if r.share >= MOST), None)
    if everywhere:
        wanted.append(("newest that works on every GPU", everywhere))
    if most:
        wanted.append((f"newest that works on at least {MOST:.0%} of the GPUs", most))
    if reaches and not most:
        wanted.append(("works on more GPUs than any other", max(reaches, key=lambda r: r.devices)))
    if reaches:
        wanted.append(("newest that works at all", reaches[0]))
    titles: dict[EnvironmentKey, list[str]] = {}
    for title, reach in wanted:
        titles.setdefault(reach.key, []).append(title)
    by_key = {reach.key: reach for _, reach in wanted}
    return tuple(Pick(tuple(said), by_key[key]) for key, said in titles.items())


# --------------------------------------------------------------------------- how to ask for those GPUs


def gpu_lines(advice: Advice, pick: Pick, floor: str, pool: Sequence[GpuClass], *, mig: bool = True) -> list[str]:
    """The submit commands that ask for a GPU on which the picked environment works.

    `floor` is the oldest "newest CUDA runtime" that a driver may have, as in the sweep's own submit files; `pool` are
    all GPU classes of the pool, those included that were not asked about.
    """
    works = pick.reach.on(Standing.WORKS)
    able = pick.reach.capabilities
    # What the driver's floor keeps away needs no other clause.
    barred = [c for c in pool if c not in works and version_key(c.runtime) >= version_key(floor)]
    others = in_order({c.capability for c in barred} - set(able))
    low, high = able[0], able[-1]
    clauses = []
    if between := [c for c in others if version_key(low) < version_key(c) < version_key(high)]:
        clauses += [f"Capability != {c}" for c in between]
    if any(c.capability in able for c in barred):
        clauses.append(" || ".join(dict.fromkeys(_named(c, barred) for c in works)))
    highest = any(version_key(c) > version_key(high) for c in others)
    lines = ["request_gpus            = 1"]
    if clauses:
        # condor_submit drops its own bounds on what require_gpus speaks of, so they all stand there.
        bounds = [f"Capability >= {low}", *([f"Capability <= {high}"] if highest else [])]
        bounds.append(f"MaxSupportedVersion >= {encode_runtime(floor)}")
    else:
        bounds = []
        lines.append(f"gpus_minimum_capability = {low}")
        lines += [f"gpus_maximum_capability = {high}"] if highest else []
        lines.append(f"gpus_minimum_runtime    = {floor}")
    if not mig:
        clauses.append('regexp("MIG", DeviceName) =!= true')
    if bounds or clauses:
        joined = " && ".join(f"({c})" if " || " in c else c for c in (*bounds, *clauses))
        lines.append(f"require_gpus            = {joined}")
    return lines


def _named(gpu: GpuClass, barred: Sequence[GpuClass]) -> str:
    """A clause for a device model; its driver is named only where others of the model must stay away."""
    if any((c.device, c.capability) == (gpu.device, gpu.capability) for c in barred):
        return device_clause(gpu)
    return device_name_clause(gpu)
