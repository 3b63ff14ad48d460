"""The environments of a plan, each by the road of its source: conda's solver, locked wheels, or a container image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from sweep import images, resolve, resolve_wheels
from sweep.channels import Channels
from sweep.facts import Facts
from sweep.model import Node, Source, VersionTuple
from sweep.offer import Offer
from sweep.schema import PlannedEnvironment
from sweep.settings import Settings
from sweep.timings import Stopwatch
from sweep.wheels import Index


def resolve_all(
    tuples: Sequence[VersionTuple],
    nodes: Mapping[str, Sequence[Node]],
    settings: Settings,
    offers: Mapping[str, Offer],
    channels: Channels,
    index: Index | None,
    here: Path,
    facts: Facts,
    watch: Stopwatch,
) -> tuple[dict[str, PlannedEnvironment], tuple[str, ...]]:
    """Each environment once, with its files written, and notes on what had to be assumed.

    `nodes` are the machines, by environment id, that its jobs may land on; `index` is there where wheels are.

    Raises:
        ChannelError: an index or a container image cannot be read.
        SettingsError: wheels are asked for without saying for which Python.
    """
    by_source: dict[Source, list[VersionTuple]] = {source: [] for source in Source}
    for tuple_ in tuples:
        by_source[offers[tuple_.framework].source].append(tuple_)
    found, notes = resolve.resolve(by_source[Source.CONDA], nodes, settings, offers, channels, here, facts, watch)
    if by_source[Source.PIP] and index is not None:
        keys = {t.environment.id: t.environment for t in by_source[Source.PIP]}
        with watch.stage("wheels"):
            locked, assumed = resolve_wheels.resolve(keys, nodes, settings, offers, index, here, facts)
        found |= locked
        notes = tuple(dict.fromkeys((*notes, *assumed)))
    if by_source[Source.CONTAINER]:
        keys = {t.environment.id: t.environment for t in by_source[Source.CONTAINER]}
        found |= images.resolve(keys, settings, here)
    return resolve.with_the_same_locks(found.values()), notes
