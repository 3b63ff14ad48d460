"""The parent node's work: pool + channels -> version space -> pruned -> resolved and locked -> plan.json and files.

Running it again is harmless: a finished plan is kept, because the rescue DAG of an interrupted sweep refers to it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sweep import condor, places, pool, prune, render, space
from sweep.channels import Channels
from sweep.config import Settings, load_stored
from sweep.errors import EmptyPoolError
from sweep.files import read_model, write_model
from sweep.framework import load_frameworks
from sweep.installer import INSTALLERS
from sweep.match import Matcher
from sweep.model import RUNTIME_PATTERN, Pool, VersionTuple
from sweep.offer import Offer, make_offer
from sweep.places import PLAN, SETTINGS, TUPLES_DAG
from sweep.resolve import resolve
from sweep.schema import ChannelSnapshot, Plan

Say = Callable[[str], None]  # tells whoever waits what is going on


def make_plan(here: Path, say: Say) -> Plan:
    """Plan the sweep in directory `here`, which holds its settings.json; or return the plan that is there.

    Raises:
        SweepError: one of its kinds, for the pool, the channels, the settings or the disk.
    """
    if (here / PLAN).is_file() and (here / TUPLES_DAG).is_file():
        say(f"{here / PLAN} is there already and is kept")
        return read_model(here / PLAN, Plan, "sweep plan")
    settings = load_stored(here / SETTINGS)
    condor.use(settings.pool.condor_config)
    frameworks = load_frameworks(settings)

    ads = condor.gpu_slot_ads()
    snapshot = pool.inventory(ads, condor.collector_name())
    if not snapshot.classes:
        raise EmptyPoolError(
            f"the collector {snapshot.collector} knows no usable GPU ({snapshot.slots} slots with GPUs, "
            f"{len(snapshot.problems)} of them not described well enough; `sweep pool` lists them)"
        )
    say(f"pool: {sum(c.devices for c in snapshot.classes)} GPUs in {len(snapshot.classes)} classes")

    channels = Channels(
        settings.conda.cache or places.cache_dir(),
        settings.node.platform,
        offline=settings.conda.offline,
        solve_limit=settings.conda.solve_limit,
    )
    offers = {name: make_offer(name, frameworks[name], settings, channels) for name in settings.frameworks}
    candidates = _candidates(settings, offers, channels, snapshot)
    say(f"space: {len(candidates)} candidate tuples")

    created = datetime.now(UTC).replace(microsecond=0)
    deadline = created + timedelta(seconds=settings.limits.deadline)
    render.write_common(settings, frameworks, here)
    settled = prune.without_build(candidates, offers)
    rest = [c for c in candidates if c.id not in settled]
    answers = prune.feasibilities(rest, settings, here, Matcher(ads, snapshot.classes))
    settled |= prune.without_slot(rest, answers)
    rest = [c for c in rest if c.id not in settled]
    say(f"pruned: {len(settled)} tuples by metadata and pool; resolving the environments of the other {len(rest)}")

    environments = resolve(rest, settings, offers, channels, here)
    settled |= prune.without_environment(rest, environments)
    planned = tuple(settled.get(c.id) or prune.submitted(c, answers[c.id]) for c in candidates)
    count = sum(t.submitted for t in planned)
    say(f"resolved: {len(environments)} environments; {count} tuples to submit")

    installer_file = ""
    if count:
        installer_file = INSTALLERS[settings.conda.installer].prepare(
            here / "probe", channels, settings.conda.channels
        )
    plan = Plan(
        sweep=here.name,
        created=created,
        deadline=deadline,
        queue_limit=settings.limits.queue,
        run_limit=settings.limits.run,
        driver_policy=settings.cuda.driver_policy.value,
        simulated=snapshot.simulated,
        pool=snapshot,
        channels=_snapshots(offers),
        environments=tuple(environments.values()),
        tuples=planned,
    )
    write_model(here / PLAN, plan)
    render.write_tuples(plan, settings, here, installer_file)
    return plan


def _candidates(
    settings: Settings, offers: Mapping[str, Offer], channels: Channels, snapshot: Pool
) -> list[VersionTuple]:
    offered = (".".join(b.version.split(".")[:2]) for b in channels.builds(settings.conda.channels, "cuda-version"))
    runtimes = space.choose_runtimes(
        settings.cuda.runtimes, (runtime for runtime in offered if re.match(RUNTIME_PATTERN, runtime))
    )
    versions: dict[str, tuple[str, ...]] = {}
    for name, offer in offers.items():
        framework = offer.framework
        counted = offer.builds
        if framework.package != framework.cuda_package:
            counted = tuple(channels.builds(offer.channels, framework.package))
        versions[name] = space.choose_versions(
            settings.frameworks[name].versions, counted, framework.series, framework.package
        )
    capabilities = space.choose_capabilities(settings.gpus.capabilities, snapshot.capabilities)
    return space.enumerate_tuples(versions, runtimes, capabilities)


def _snapshots(offers: Mapping[str, Offer]) -> tuple[ChannelSnapshot, ...]:
    counts: dict[str, int] = defaultdict(int)
    for offer in offers.values():
        for name in offer.channels:
            counts[name] += len(offer.builds)
    return tuple(ChannelSnapshot(name=name, builds=count) for name, count in counts.items())
