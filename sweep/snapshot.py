"""A frozen copy of the part of the channels that a sweep needs, so that it can be repeated exactly.

The copy is metadata alone, one local channel for each of the sweep's channels: repodata.json states as `base_url`
(CEP 15) where the packages lie, so the records keep their URLs, and locks made from the copy equal the original's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import ConfigDict, Field

from sweep.channels import Channels, Record
from sweep.errors import ChannelError, ResultsError
from sweep.explanation import package_of
from sweep.fields import Platform
from sweep.files import write_atomic, write_model
from sweep.framework import Framework
from sweep.model import Frozen, Source
from sweep.settings import Settings

DESCRIPTION = "snapshot.json"


class FrozenPlatform(Frozen):
    """One platform of a channel: how many records were taken, and the state of the metadata they came from."""

    subdir: str
    records: int
    fetched: datetime | None = None
    sha256: str | None = None


class FrozenChannel(Frozen):
    """One channel of the snapshot: the settings' name for the original, and the URL of the copy."""

    source: str
    url: str
    platforms: tuple[FrozenPlatform, ...]


class FrozenRequest(Frozen):
    """What the snapshot can answer: specs and the channels, in order of priority, that they are put to."""

    channels: tuple[str, ...]
    specs: tuple[str, ...]


class Snapshot(Frozen):
    """snapshot.json: where a snapshot came from and what is in it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_: Literal["sweep.snapshot/1"] = Field(default="sweep.snapshot/1", alias="schema")
    taken: datetime
    channels: tuple[FrozenChannel, ...]
    requests: tuple[FrozenRequest, ...]

    def lines(self) -> list[str]:
        """What was frozen, for people."""
        return [
            f"{channel.source}: {sum(p.records for p in channel.platforms)} records; in its place: {channel.url}"
            for channel in self.channels
        ]


Wanted = Sequence[tuple[tuple[str, ...], Sequence[str]]]


def wanted(settings: Settings, frameworks: Mapping[str, Framework]) -> Wanted:
    """What a plan with these settings may ask of the channels, for `freeze`.

    Packages without versions: a snapshot must show a plan every version that it may choose from.
    """
    common = ["cuda-version", *(["micromamba"] if settings.conda.installer == "micromamba" else [])]
    extra = [package_of(spec) for spec in settings.payload.packages] if settings.payload else []
    asked = [(tuple(settings.conda.channels), common)]
    for name, framework in frameworks.items():
        if settings.frameworks[name].source is not Source.CONDA:
            continue
        patterns = [*framework.specs, *(framework.specs_before_12 or ())]
        packages = [framework.package, framework.cuda_package, *map(package_of, patterns), "python", *extra]
        lists = settings.frameworks[name].channels or settings.conda.channels
        asked.append((tuple(lists), list(dict.fromkeys(packages))))
    return asked


def freeze(channels: Channels, asked: Wanted, target: Path, platform: Platform) -> Snapshot:
    """Copy what the specs could be solved with into local channels below `target`.

    `asked` pairs lists of channels with the specs that are put to them. Every build of the packages that the specs
    name is taken, whatever its version, and every build that their dependencies lead to.

    Raises:
        ChannelError: a channel cannot be reached or read, or its packages do not lie in one place.
        ResultsError: the directory holds something else, or cannot be written.
    """
    _must_be_ours(target)
    found = _records(channels, asked, platform)
    names = list(dict.fromkeys(name for name, _ in found))
    copies = {name: target.resolve() / directory for name, directory in zip(names, _directories(names), strict=True)}
    for (name, subdir), records in found.items():
        text = json.dumps(_repodata(subdir, records), sort_keys=True) + "\n"
        write_atomic(copies[name] / subdir / "repodata.json", text)
    states = channels.state(names)
    snapshot = Snapshot(
        taken=datetime.now(UTC),
        channels=tuple(
            FrozenChannel(
                source=name,
                url=copy.as_uri(),
                platforms=tuple(
                    FrozenPlatform(
                        subdir=s.subdir, records=len(found[name, s.subdir]), fetched=s.fetched, sha256=s.sha256
                    )
                    for s in states
                    if s.name == name
                ),
            )
            for name, copy in copies.items()
        ),
        requests=tuple(FrozenRequest(channels=tuple(list_), specs=tuple(specs)) for list_, specs in asked),
    )
    write_model(target / DESCRIPTION, snapshot)
    return snapshot


def _records(channels: Channels, asked: Wanted, platform: Platform) -> dict[tuple[str, str], dict[str, Record]]:
    """(channel, platform) -> file name -> record."""
    merged: dict[tuple[str, ...], list[str]] = {}
    for names, specs in asked:
        merged.setdefault(names, []).extend(specs)
    found: dict[tuple[str, str], dict[str, Record]] = {
        (name, subdir): {} for names in merged for name in names for subdir in (platform, "noarch")
    }
    for names, specs in merged.items():
        for record in channels.reachable(names, specs):
            # A record may name a platform that its channel's directory does not; where it lies decides.
            place = (record.channel, record.subdir if record.subdir == "noarch" else platform)
            found[place][record.file_name] = record
    return found


def _must_be_ours(target: Path) -> None:
    try:
        foreign = target.exists() and any(target.iterdir()) and not (target / DESCRIPTION).is_file()
    except OSError as error:
        raise ResultsError(f"cannot write into {target}: {error.strerror}; name a directory") from error
    if foreign:
        raise ResultsError(f"{target} holds something else than a snapshot; name an empty or new directory")


def _directories(names: Sequence[str]) -> list[str]:
    """A directory name for each channel, by what people call it: its last name and its label."""
    taken: list[str] = []
    for name in names:
        last = re.search(r"([^/]*(?:/label/[^/]*)?)/*$", unquote(name))
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", last[1] if last else "").strip(".-") or "channel"
        taken.append(safe if safe not in taken else f"{safe}-{len(taken) + 1}")
    return taken


def _repodata(subdir: str, records: Mapping[str, Record]) -> dict[str, Any]:
    bases = {record.url.rpartition("/")[0] + "/" for record in records.values()}
    if len(bases) > 1:
        raise ChannelError(
            f"the packages of one channel lie in several places, {' and '.join(sorted(bases))}, which a snapshot "
            "cannot state; leave the channel out"
        )
    packages: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for file_name, record in records.items():
        packages[file_name.endswith(".conda")][file_name] = dict(record.fields)
    return {
        "info": {"subdir": subdir, **({"base_url": bases.pop()} if bases else {})},
        "packages": packages[False],
        "packages.conda": packages[True],
        "repodata_version": 2,
    }
