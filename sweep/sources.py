"""What the settings' sources have for the settings' frameworks: builds, and the axes of the version space."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sweep import places, space
from sweep.builds import Build
from sweep.channels import Channels
from sweep.framework import Framework
from sweep.ids import RUNTIME_PATTERN
from sweep.model import Pool, Source
from sweep.offer import Offer, make_offer
from sweep.schema import ChannelSnapshot, SubdirSnapshot
from sweep.settings import FrameworkSettings, Settings

if TYPE_CHECKING:
    from sweep.wheels import Index

# One for each name that the runtime's wheels have had; `wheels.runtime_package` says which.
_RUNTIMES_WITH_WHEELS = ("11.0", "12.0", "13.0")


def open_channels(settings: Settings) -> Channels:
    """The channels' metadata, from the cache that the settings name."""
    return Channels(
        settings.conda.cache or places.cache_dir(),
        settings.node.platform,
        offline=settings.conda.offline,
        solve_limit=settings.conda.solve_limit,
    )


def open_index(settings: Settings) -> Index:
    """The package index of the settings, or else the one that pip is configured with here.

    Raises:
        SettingsError: pip's own configuration has an index with a password in its URL.
    """
    from sweep.wheels import Index, configured_index  # needed where there are frameworks of this source only

    return Index(settings.pip.index or configured_index(), settings.conda.cache or places.cache_dir())


def of_source(settings: Settings, source: Source) -> list[str]:
    """The frameworks whose environments come from a source."""
    return [name for name, chosen in settings.frameworks.items() if chosen.source is source]


# --------------------------------------------------------------------------- builds


def read_offers(
    settings: Settings, frameworks: Mapping[str, Framework], channels: Channels, index: Index | None = None
) -> dict[str, Offer]:
    """What its source has for each framework of the settings. `index` is opened where it is needed and not given.

    Raises:
        ChannelError: a channel or an index cannot be reached or read.
    """
    if index is None and of_source(settings, Source.PIP):
        index = open_index(settings)
    return {name: _offer(name, framework, settings, channels, index) for name, framework in frameworks.items()}


def _offer(name: str, framework: Framework, settings: Settings, channels: Channels, index: Index | None) -> Offer:
    chosen = settings.frameworks[name]
    if chosen.source is Source.CONTAINER:
        return Offer(framework, (), tuple(_images(framework, chosen)), Source.CONTAINER)
    if chosen.source is Source.PIP and index is not None:
        return Offer(framework, (), tuple(_wheels(framework, chosen, settings, index)), Source.PIP)
    return make_offer(name, framework, settings, channels)


def _images(framework: Framework, chosen: FrameworkSettings) -> Iterator[Build]:
    """Each image as a build for just its runtime."""
    for image in chosen.images:
        yield Build(framework.package, image.version, "image", 0, (f"cuda-version {image.cuda}.*",), channel="images")


def _wheels(framework: Framework, chosen: FrameworkSettings, settings: Settings, index: Index) -> Iterator[Build]:
    """The versions that have wheels, each with the runtimes that it may be for.

    Of an index that is kept for one runtime that is certain. Elsewhere the metadata of the whole resolution tell, so
    every runtime of the major versions that there are wheels of is left open, and locking decides.
    """
    assert framework.pip is not None
    platform = settings.node.platform
    own = "".join(f",!={runtime}.*" for runtime in chosen.indexes)
    for runtime, url in chosen.indexes.items():
        package = framework.pip.package_for(runtime)
        for version in index.versions(package, platform, url):
            yield Build(package, version, "wheel", 0, (f"cuda-version {runtime}.*",), channel=url)
    for runtime in _RUNTIMES_WITH_WHEELS:
        package, major = framework.pip.package_for(runtime), int(runtime.partition(".")[0])
        for version in index.versions(package, platform):
            needs = (f"cuda-version >={major},<{major + 1}{own}",)
            yield Build(package, version, "wheel", 0, needs, channel=index.name)


# --------------------------------------------------------------------------- axes


def read_axes(
    settings: Settings,
    offers: Mapping[str, Offer],
    channels: Channels,
    pool: Pool,
    index: Index | None = None,
) -> space.Axes:
    """Versions and runtimes as the settings choose them among what the sources have; capabilities of the pool.

    Raises:
        ChannelError: a channel or an index cannot be read.
        NothingToTestError: the choice is empty.
    """
    versions: dict[str, tuple[str, ...]] = {}
    for name, offer in offers.items():
        framework, chosen = offer.framework, settings.frameworks[name]
        counted: Sequence[Build] = offer.builds
        if offer.source is Source.CONDA and framework.package != framework.cuda_package:
            counted = channels.builds(offer.channels, framework.package)
        versions[name] = space.choose_versions(
            chosen.versions, counted, framework.series, framework.package, prereleases=chosen.prereleases
        )
    return space.Axes(
        versions=versions,
        runtimes=space.choose_runtimes(settings.cuda.runtimes, _runtimes(settings, channels, index)),
        capabilities=space.choose_capabilities(settings.gpus.capabilities, pool.capabilities),
        classes=pool.classes,
    )


def _runtimes(settings: Settings, channels: Channels, index: Index | None) -> Iterator[str]:
    """The CUDA runtimes that the sources in use have."""
    found: list[str] = []
    if of_source(settings, Source.CONDA):
        found += [build.version for build in channels.builds(settings.conda.channels, "cuda-version")]
    if of_source(settings, Source.PIP):
        from sweep.wheels import runtime_package

        index = index or open_index(settings)
        for runtime in _RUNTIMES_WITH_WHEELS:
            versions = index.versions(runtime_package(runtime), settings.node.platform)
            found += [v for v in versions if int(v.partition(".")[0]) >= int(runtime.partition(".")[0])]
    found += [image.cuda for chosen in settings.frameworks.values() for image in chosen.images]
    for version in found:
        runtime = ".".join(version.split(".")[:2])
        if re.match(RUNTIME_PATTERN, runtime):
            yield runtime


def snapshots(offers: Mapping[str, Offer], channels: Channels) -> tuple[ChannelSnapshot, ...]:
    """The channels and indexes as they were read, for the plan."""
    builds = Counter(b.channel for offer in offers.values() for b in offer.builds)
    names = dict.fromkeys(name for offer in offers.values() for name in offer.channels)
    states = channels.state(tuple(names)) if names else ()
    others = dict.fromkeys(b.channel for offer in offers.values() for b in offer.builds if not offer.channels)
    return tuple(
        ChannelSnapshot(
            name=name,
            builds=builds[name],
            subdirs=tuple(
                SubdirSnapshot(subdir=s.subdir, fetched=s.fetched, sha256=s.sha256) for s in states if s.name == name
            ),
        )
        for name in (*names, *others)
    )
