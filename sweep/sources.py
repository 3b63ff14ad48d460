"""What the settings' channels have for the settings' frameworks: builds, and the axes of the version space."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from sweep import places, space
from sweep.channels import Channels
from sweep.framework import Framework
from sweep.model import RUNTIME_PATTERN, Pool
from sweep.offer import Offer, make_offer
from sweep.schema import ChannelSnapshot, SubdirSnapshot
from sweep.settings import Settings


def open_channels(settings: Settings) -> Channels:
    """The channels' metadata, from the cache that the settings name."""
    return Channels(
        settings.conda.cache or places.cache_dir(),
        settings.node.platform,
        offline=settings.conda.offline,
        solve_limit=settings.conda.solve_limit,
    )


def read_offers(settings: Settings, frameworks: Mapping[str, Framework], channels: Channels) -> dict[str, Offer]:
    """What the channels have for each framework of the settings.

    Raises:
        ChannelError: a channel cannot be reached or read.
    """
    return {name: make_offer(name, framework, settings, channels) for name, framework in frameworks.items()}


def read_axes(settings: Settings, offers: Mapping[str, Offer], channels: Channels, pool: Pool) -> space.Axes:
    """Versions and runtimes as the settings choose them among what the channels have; capabilities of the pool.

    Raises:
        ChannelError: a channel cannot be read.
        NothingToTestError: the choice is empty.
    """
    offered = (".".join(b.version.split(".")[:2]) for b in channels.builds(settings.conda.channels, "cuda-version"))
    versions: dict[str, tuple[str, ...]] = {}
    for name, offer in offers.items():
        framework, chosen = offer.framework, settings.frameworks[name]
        counted = offer.builds
        if framework.package != framework.cuda_package:
            counted = tuple(channels.builds(offer.channels, framework.package))
        versions[name] = space.choose_versions(
            chosen.versions, counted, framework.series, framework.package, prereleases=chosen.prereleases
        )
    return space.Axes(
        versions=versions,
        runtimes=space.choose_runtimes(
            settings.cuda.runtimes, (runtime for runtime in offered if re.match(RUNTIME_PATTERN, runtime))
        ),
        capabilities=space.choose_capabilities(settings.gpus.capabilities, pool.capabilities),
        classes=pool.classes,
    )


def snapshots(offers: Mapping[str, Offer], channels: Channels) -> tuple[ChannelSnapshot, ...]:
    """The channels as they were read, for the plan."""
    builds = Counter(b.channel for offer in offers.values() for b in offer.builds)
    names = dict.fromkeys(name for offer in offers.values() for name in offer.channels)
    states = channels.state(tuple(names))
    return tuple(
        ChannelSnapshot(
            name=name,
            builds=builds[name],
            subdirs=tuple(
                SubdirSnapshot(subdir=s.subdir, fetched=s.fetched, sha256=s.sha256) for s in states if s.name == name
            ),
        )
        for name in names
    )
