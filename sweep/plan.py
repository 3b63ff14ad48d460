"""The parent node's work: pool + channels -> version space -> pruned -> resolved, locked -> plan.json and files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sweep import condor, digests, load, pool, prune, render, rules, sources, space, supply
from sweep.channels import Channels
from sweep.config import load_stored
from sweep.cuda import takers
from sweep.devices import usable
from sweep.earlier import finished
from sweep.environments import resolve_all
from sweep.errors import EmptyPoolError, SettingsError
from sweep.estimate import earlier_sweep, estimate
from sweep.facts import Facts, load_facts
from sweep.files import write_model
from sweep.framework import load_frameworks
from sweep.installer import INSTALLERS, prepare_wheels
from sweep.match import Feasibility, Matcher
from sweep.model import GpuClass, Node, Pool, Source, VersionTuple
from sweep.places import PLAN, SETTINGS
from sweep.predict import Case, predict
from sweep.reuse import Ground, reuse
from sweep.schema import Digests, Plan, PlannedEnvironment, Prediction
from sweep.settings import Settings
from sweep.sieve import Sieve
from sweep.timings import Stopwatch
from sweep.tomlfile import did_you_mean
from sweep.wheels import Index

Say = Callable[[str], None]  # tells whoever waits what is going on


def make_plan(here: Path, say: Say) -> Plan:
    """Plan the sweep in directory `here`, which holds its settings.json.

    Raises:
        SweepError: one of its kinds, for the pool, the channels, the settings or the disk.
    """
    watch = Stopwatch()
    settings = load_stored(here / SETTINGS)
    condor.use(settings.pool.condor_config)
    frameworks = load_frameworks(settings)
    facts = load_facts(settings.rules.facts)
    _check_rules(settings, facts)
    supply.check(settings)

    with watch.stage("pool"):
        ads = condor.gpu_slot_ads()
        snapshot = _inventory(ads)
    say(f"pool: {sum(c.devices for c in snapshot.classes)} GPUs in {len(snapshot.classes)} classes")
    channels = sources.open_channels(settings)
    index = sources.open_index(settings) if sources.of_source(settings, Source.PIP) else None
    with watch.stage("builds"):
        offers = sources.read_offers(settings, frameworks, channels, index)
        axes = sources.read_axes(settings, offers, channels, snapshot, index)
    with watch.stage("enumerate"):
        candidates, counts = space.compose(axes, settings.space)
    say(f"space: {len(candidates)} candidate tuples")
    with watch.stage("render"):
        render.write_common(settings, frameworks, here)

    with watch.stage("match"):
        matcher = Matcher(ads, snapshot.classes, facts.system)
        answers = prune.feasibilities(candidates, settings, here, matcher, {c.label: c for c in snapshot.classes})
    with watch.stage("prune"):
        sieve = Sieve(candidates, settings.rules, here.name, lambda id_: answers[id_].possible > 0)
        sieve.apply(prune.without_build(sieve.rest, offers, facts))
        sieve.apply(prune.without_code(sieve.rest, facts))
        sieve.apply(prune.without_slot(sieve.rest, answers))
    left = len(sieve.rest)
    say(f"pruned: {len(sieve.settled)} tuples by metadata and pool; resolving the environments of the other {left}")

    nodes = _nodes(sieve.rest, answers)
    environments, notes = resolve_all(sieve.rest, nodes, settings, offers, channels, index, here, facts, watch)
    with watch.stage("prune"):
        sieve.apply(prune.without_environment(sieve.rest, environments))
    with watch.stage("predict"):
        able = usable(snapshot.classes, settings.gpus)
        predictions = _predictions(sieve.rest, environments, able, settings, facts)
        if settings.rules.predicted == "skip":
            sieve.apply(prune.predicted(sieve.rest, predictions))
    with watch.stage("reuse"):
        created = datetime.now(UTC).replace(microsecond=0)
        ground = Ground(
            sweep=here.name,
            now=created,
            simulated=snapshot.simulated,
            policy=settings.cuda.driver_policy,
            classes=able,
            digests=Digests(causes=digests.cause_rules(), probes=digests.probes(here, frameworks)),
            environments=environments,
        )
        untouched = [t for t in sieve.rest if t.id not in sieve.audited]
        reused = reuse(untouched, ground, finished(here.parent, say), settings.reuse)
        sieve.apply(reused.settled)
        sieve.audited |= reused.checks
    with watch.stage("prune"):
        planned = tuple(
            sieve.settled.get(c.id)
            or prune.submitted(c, answers[c.id], sieve.audited.get(c.id), predictions.get(c.id))
            for c in candidates
        )
    count = sum(t.submitted for t in planned)
    say(f"resolved: {len(environments)} environments; {count} tuples to submit")

    with watch.stage("installer"):
        used = {settings.frameworks[t.framework].source for t in planned if t.submitted}
        installers = _installers(used, settings, channels, index, here)
    with watch.stage("packages"):
        needed = sorted({t.environment.id for t in planned if t.submitted})
        supplied, remarks = supply.prepare([environments[id_] for id_ in needed], settings, channels, here)
    if supplied is not None:
        say(f"packages: {supplied.size / 1e9:.2f} GB for the jobs, {supplied.fetched / 1e9:.2f} GB of it fetched now")
    with watch.stage("estimate"):
        earlier = earlier_sweep(here.parent, simulated=snapshot.simulated)
        cost = estimate(planned, environments, able, settings.cuda.driver_policy, settings.load, earlier, supplied)
        limits = load.remarks([t for t in planned if t.submitted], able, settings.load)
    with watch.stage("hash"):
        seen = sources.snapshots(offers, channels)
    plan = Plan(
        sweep=here.name,
        created=created,
        deadline=created + timedelta(seconds=settings.limits.deadline),
        queue_limit=settings.limits.queue,
        run_limit=settings.limits.run,
        budget=settings.load.gpu_hours,
        budgets=settings.load.gpu_hours_of,
        driver_policy=settings.cuda.driver_policy,
        simulated=snapshot.simulated,
        pool=snapshot,
        channels=seen,
        space=counts,
        estimate=cost,
        notes=(*notes, *remarks, *limits, *reused.notes),
        supplied=supplied.fetched if supplied else 0,
        rules_sha256=digests.planning_rules(facts, settings.rules),
        sources={name: chosen.source for name, chosen in settings.frameworks.items()},
        environments=tuple(environments.values()),
        tuples=planned,
    )
    with watch.stage("render"):
        render.write_tuples(plan, settings, here, installers)
    plan = plan.model_copy(update={"timings": watch.seconds})
    write_model(here / PLAN, plan)
    return plan


def _check_rules(settings: Settings, facts: Facts) -> None:
    known = [rule.id for rule in rules.catalogue(facts)]
    for id_ in settings.rules.off:
        if id_ not in known:
            raise SettingsError(f"rules.off: there is no rule {id_}{did_you_mean(id_, known, 'rules')}")


def _inventory(ads: Sequence[Any]) -> Pool:
    snapshot = pool.inventory(ads, condor.collector_name())
    if not snapshot.classes:
        raise EmptyPoolError(
            f"the collector {snapshot.collector} knows no usable GPU ({snapshot.slots} slots with GPUs, "
            f"{len(snapshot.problems)} of them not described well enough; `sweep pool` lists them)"
        )
    return snapshot


def _nodes(tuples: Sequence[VersionTuple], answers: Mapping[str, Feasibility]) -> dict[str, tuple[Node, ...]]:
    """By environment, what the machines offer that its tuples could land on; none where only an audit goes on."""
    found: dict[str, dict[Node, None]] = {}
    for tuple_ in tuples:
        nodes = found.setdefault(tuple_.environment.id, {})
        nodes |= dict.fromkeys(answers[tuple_.id].nodes)
    return {id_: tuple(nodes) for id_, nodes in found.items()}


def _predictions(
    tuples: Sequence[VersionTuple],
    environments: Mapping[str, PlannedEnvironment],
    classes: Sequence[GpuClass],
    settings: Settings,
    facts: Facts,
) -> dict[str, Prediction]:
    """By tuple, what the predict rules expect of it, as far as they are not switched off."""
    found = {}
    for tuple_ in tuples:
        environment = environments[tuple_.environment.id]
        able = takers(tuple_, classes, settings.cuda.driver_policy)
        case = Case(
            framework=tuple_.framework,
            version=tuple_.version,
            cuda=tuple_.cuda,
            capability=tuple_.capability,
            runtimes=tuple(c.runtime for c in able),
            drivers=tuple(c.driver for c in able if c.driver),
            compiled=environment.compiled,
            built=environment.built,
            packages=environment.noted,
        )
        if (expected := predict(case, facts, settings.rules.off)) is not None:
            found[tuple_.id] = expected
    return found


def _installers(
    used: Collection[Source], settings: Settings, channels: Channels, index: Index | None, here: Path
) -> dict[Source, list[str]]:
    """What the installers of the sources in use take along, made ready."""
    directory = here / "probe"
    found = {}
    if Source.CONDA in used:
        installer = INSTALLERS[settings.conda.installer]
        found[Source.CONDA] = [installer.prepare(directory, channels, settings.conda.channels)]
    if Source.PIP in used and index is not None:
        found[Source.PIP] = prepare_wheels(settings.pip.installer, directory, index, settings.node.platform)
    return found
