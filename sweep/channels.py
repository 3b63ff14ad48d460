"""conda channels: the builds of a package, and the solver. The only module that knows py-rattler.

One Gateway serves the whole run: repodata are loaded once, a further solve costs milliseconds.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import datetime
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import unquote, urlsplit

from rattler import (
    Channel,
    Client,
    Gateway,
    GenericVirtualPackage,
    MatchSpec,
    PackageName,
    RepoDataRecord,
    SourceConfig,
    Version,
    VersionSpec,
    solve,
)
from rattler.channel import ChannelPriority
from rattler.exceptions import (
    GatewayError,
    InvalidChannelError,
    InvalidMatchSpecError,
    InvalidVersionSpecError,
    SolverError,
)
from rattler.package import BuildString
from rattler.package_streaming import download_to_path, extract

from sweep.builds import Build, CudaOfBuild
from sweep.channelstate import ChannelState, cached_copies, state_of
from sweep.errors import ChannelError, SettingsError
from sweep.explanation import headed
from sweep.fields import Platform
from sweep.files import write_atomic
from sweep.model import visible

# rattler's worker threads may take the GIL while the interpreter finalises, which ends in a crash after the work
# is done (pyo3-async-runtimes issue 40); a moment's pause lets them finish.
atexit.register(time.sleep, 0.05)

EXPLANATION_LIMIT = 1_000_000  # characters; two hundred thousand have been seen, and a text is kept for each refusal


# A channel's metadata may name further channels (CEP 42); a plan uses the channels of the settings and no others.
_RELATIONS: Final = "disabled"


@dataclass(frozen=True)
class Request:
    """One environment to solve: channels in order of priority, specs, and what the node offers."""

    channels: tuple[str, ...]
    specs: tuple[str, ...]
    virtual: tuple[str, ...]


@dataclass(frozen=True)
class Solution:
    """The packages of an environment, dependencies first, and the channels that they were asked of."""

    records: tuple[RepoDataRecord, ...]
    channels: tuple[str, ...] = ()

    def build_of(self, name: str) -> Build | None:
        """The build of one package in the solution."""
        called = _as_called(self.channels)
        return next((_build(r, called) for r in self.records if r.name.normalized == name), None)

    def version_of(self, name: str) -> str | None:
        """The version of one package in the solution."""
        return next((str(r.version) for r in self.records if r.name.normalized == name), None)


@dataclass(frozen=True)
class Refusal:
    """Why there is no solution, in the solver's words (`explanation.gist` shortens them); or that it did not come to
    an end, which is no answer."""

    explanation: str
    timed_out: bool = False


@dataclass(frozen=True)
class Record:
    """One build with everything that its channel says of it; `fields` are those of repodata.json."""

    channel: str
    subdir: str
    file_name: str
    url: str
    fields: Mapping[str, Any]


def accepts(cuda: CudaOfBuild, runtime: str) -> bool:
    """Whether a build can run with a CUDA runtime, as far as its metadata say.

    Where only the compiled version is known, CUDA's own rule stands in: the same major, and not older. A CUDA
    build that says nothing, or nothing that can be understood, is left to the solver.
    """
    if not cuda.cuda:
        return False
    if cuda.accepts is not None:
        try:
            # A build string may follow the range; it does not concern the runtime.
            return VersionSpec(cuda.accepts.split(" ")[0]).matches(Version(runtime))
        except InvalidVersionSpecError:
            return True
    if cuda.compiled is not None:
        major = Version(f"{int(cuda.compiled.split('.')[0]) + 1}")
        return Version(cuda.compiled) <= Version(runtime) < major
    return True


class Channels:
    """The configured channels, loaded once.

    Args:
        cache: directory for downloaded repodata; `file://` channels are read where they are.
        platform: the execute nodes' conda platform, such as `linux-64`.
        offline: use only what the cache holds.
        solve_limit: seconds for one solve.
    """

    def __init__(self, cache: Path, platform: Platform, *, offline: bool = False, solve_limit: float = 60) -> None:
        self._platforms: list[Platform | Literal["noarch"]] = [platform, "noarch"]
        self._cache = cache / "repodata"
        self._offline = offline
        self._limit = datetime.timedelta(seconds=solve_limit)
        self._client = Client.default_client()  # reads credentials, as conda does; a bare Gateway sends none
        self._gateway = Gateway(
            cache_dir=self._cache,
            client=self._client,
            default_config=SourceConfig(cache_action="force-cache-only" if offline else "cache-or-fetch"),
        )
        self._owners: dict[tuple[tuple[str, ...], str], str | None] = {}

    def builds(self, channels: Sequence[str], name: str) -> list[Build]:
        """Every build of a package that strict channel priority leaves: those of the first channel that has the name.

        Raises:
            ChannelError: a channel cannot be reached or read.
        """
        return asyncio.run(self._builds(channels, name))

    async def _builds(self, channels: Sequence[str], name: str) -> list[Build]:
        called = _as_called(channels)
        return [_build(record, called) for record in await self._first(channels, name)]

    async def _first(self, channels: Sequence[str], name: str) -> list[RepoDataRecord]:
        """The records of a package in the first channel that has it."""
        records = await self._query(channels, [MatchSpec(name)])
        return [record for record in records if record.channel == records[0].channel]

    async def _query(
        self, channels: Sequence[str], specs: Sequence[MatchSpec], *, recursive: bool = False
    ) -> list[RepoDataRecord]:
        """Records in the order of the channels; `recursive` adds those of all dependencies."""
        with self._reading(channels):
            parts = await self._gateway.query(
                [_channel(c) for c in channels],
                self._platforms,
                specs,
                recursive=recursive,
                channel_relations=_RELATIONS,
            )
        return [record for part in parts for record in part]

    @contextlib.contextmanager
    def _reading(self, channels: Sequence[str]) -> Iterator[None]:
        try:
            yield
        except GatewayError as error:
            raise ChannelError(self._message(channels, error)) from error
        except BaseException as error:  # a malformed repodata.json can surface as a Rust panic, not an Exception
            if type(error).__name__ != "PanicException":
                raise
            raise ChannelError(self._message(channels, error)) from error

    def _message(self, channels: Sequence[str], error: BaseException) -> str:
        chain = [str(error)]
        while error.__cause__ is not None:
            error = error.__cause__
            chain.append(str(error))
        detail = ": ".join(dict.fromkeys(" ".join(line.split()) for line in chain))[:600]
        remedy = (
            f"offline, only what {self._cache} holds can be used; plan once with the network to fill it"
            if self._offline
            else "check the names under conda.channels, the network, and for a file:// channel that "
            "repodata.json is whole in each platform's folder"
        )
        return f"cannot read the channels {', '.join(channels)}: {detail}\n{remedy}"

    def reachable(self, channels: Sequence[str], specs: Sequence[str]) -> list[Record]:
        """Every build of the packages that the specs name, and every build that their dependencies lead to.

        Versions in the specs do not count: a build that nobody asked for may be a dependency of another package, or
        be the reason why strict channel priority leaves a later channel out.

        Raises:
            ChannelError: a channel cannot be reached or read.
            SettingsError: a spec is none.
        """
        return asyncio.run(self._reachable(channels, specs))

    async def _reachable(self, channels: Sequence[str], specs: Sequence[str]) -> list[Record]:
        names = dict.fromkeys(spec.name.normalized for spec in _parsed(specs))
        called = _as_called(channels)
        found = await self._query(channels, [MatchSpec(name) for name in names], recursive=True)
        return [_record(record, called[record.channel]) for record in found]

    def state(self, channels: Sequence[str]) -> tuple[ChannelState, ...]:
        """Date and hash of the metadata of each channel and platform, as far as they have been read.

        Hashing takes about a second for the metadata of a large channel.
        """
        copies = cached_copies(self._cache)
        return tuple(
            state_of(name, subdir, f"{_channel(name).base_url.rstrip('/')}/{subdir}", copies)
            for name in channels
            for subdir in self._platforms
        )

    def fetch_member(self, channels: Sequence[str], package: str, member: str, target: Path) -> str:
        """Take one file out of the newest build that `builds` has, check the archive's hash, and put it at `target`.

        Returns the file name of the archive that was taken.

        Raises:
            ChannelError: no channel has the package, it cannot be downloaded, or its hash is wrong.
        """
        return asyncio.run(self._fetch_member(channels, package, member, target))

    async def _fetch_member(self, channels: Sequence[str], package: str, member: str, target: Path) -> str:
        records = [r for r in await self._first(channels, package) if r.sha256]
        if not records:
            raise ChannelError(
                f"no build of {package} with a hash in {', '.join(channels)}; add a channel that has one"
            )
        newest = max(records, key=lambda r: (r.version, r.build_number))
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch, newest.file_name)
            await self._download(newest.url, archive)
            if hashlib.sha256(archive.read_bytes()).digest() != newest.sha256:
                raise ChannelError(
                    f"{newest.file_name}: its SHA-256 is not the one that the channel states; try again"
                )
            extract(archive, Path(scratch, "tree"))
            try:
                executable = Path(scratch, "tree", member).read_bytes()
            except OSError as error:
                raise ChannelError(f"{newest.file_name} holds no {member}") from error
        write_atomic(target, executable, mode=0o755)
        return str(newest.file_name)

    def download(self, url: str, target: Path) -> None:
        """Put a package at `target`, with the credentials that there are for its channel; nothing is checked.

        Raises:
            ChannelError: it cannot be had, or not be written.
        """
        asyncio.run(self._download(url, target))

    async def _download(self, url: str, target: Path) -> None:
        try:
            if url.startswith("file://"):
                shutil.copyfile(unquote(urlsplit(url).path), target)
            else:
                await download_to_path(self._client, url, target)
        except Exception as error:  # rattler raises its own type for each way a download can fail
            raise ChannelError(f"cannot download {url.rpartition('/')[2]}: {error}") from error

    def solve_all(
        self, requests: Mapping[str, Request], progress: Callable[[str], None] = lambda _: None
    ) -> dict[str, Solution | Refusal]:
        """The answer to every request, solved as many at a time as there are cores.

        Raises:
            ChannelError: a channel cannot be reached or read.
        """
        return asyncio.run(self._solve_all(requests, progress))

    async def _solve_all(
        self, requests: Mapping[str, Request], progress: Callable[[str], None]
    ) -> dict[str, Solution | Refusal]:
        places = asyncio.Semaphore(os.cpu_count() or 2)

        async def one(key: str, request: Request) -> tuple[str, Solution | Refusal]:
            async with places:
                answer = await self._solve(request)
            progress(key)
            return key, answer

        return dict(await asyncio.gather(*(one(key, request) for key, request in requests.items())))

    async def _solve(self, request: Request) -> Solution | Refusal:
        specs = await self._pinned(request.channels, request.specs)
        with self._reading(request.channels):
            try:
                records = await solve(
                    [_channel(c) for c in request.channels],
                    specs,
                    gateway=self._gateway,
                    platforms=self._platforms,
                    virtual_packages=[_virtual(v) for v in request.virtual],
                    channel_priority=ChannelPriority.Strict,
                    channel_relations=_RELATIONS,
                    timeout=self._limit,
                )
            except SolverError as error:
                text = headed(request.specs, request.virtual, _bounded(str(error)))
                return Refusal(text, timed_out="has been cancelled" in str(error))
        return Solution(tuple(_in_topological_order(records)), request.channels)

    async def _pinned(self, channels: Sequence[str], specs: Sequence[str]) -> list[MatchSpec]:
        """The specs, each tied to the channel that strict priority takes its package from.

        The gateway shows the solver only those records of a requested package that match its spec, so the solver
        alone does not see that an earlier channel has the package in other versions, and takes a later channel's.
        """
        pinned = []
        for spec, text in zip(_parsed(specs), specs, strict=True):
            owner = None if spec.channel else await self._owner(tuple(channels), spec.name.normalized)
            pinned.append(MatchSpec(f"{owner}::{text}") if owner else spec)
        return pinned

    async def _owner(self, channels: tuple[str, ...], name: str) -> str | None:
        """The URL of the first channel that has a package; None where no other has it too."""
        if (channels, name) not in self._owners:
            holders = [r.channel for r in await self._query(channels, [MatchSpec(name)])]
            self._owners[channels, name] = holders[0] if len(set(holders)) > 1 else None
        return self._owners[channels, name]


def _parsed(specs: Sequence[str]) -> list[MatchSpec]:
    try:
        return [MatchSpec(spec) for spec in specs]
    except InvalidMatchSpecError as error:
        raise SettingsError(f"{', '.join(specs)}: not conda specs: {error}; mend the framework's file") from error


def _virtual(text: str) -> GenericVirtualPackage:
    """`__cuda=12.4` or `__archspec=1=x86_64_v2` as rattler wants it."""
    name, version, build = (*text.split("="), "0")[:3]
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


def _channel(name: str) -> Channel:
    try:
        return Channel(name)
    except InvalidChannelError as error:
        raise ChannelError(
            f"{name}: not a channel: {' '.join(str(error).split())}; write a name or URL under conda.channels"
        ) from error


def _as_called(channels: Sequence[str]) -> dict[str, str]:
    """URL of a channel -> what the settings call it."""
    return {_channel(name).base_url: name for name in channels}


def _build(record: RepoDataRecord, called: Mapping[str, str]) -> Build:
    return Build(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        depends=tuple(record.depends),
        constrains=tuple(record.constrains),
        size=record.size or 0,
        timestamp=record.timestamp,
        channel=called.get(record.channel, record.channel),
    )


def _in_topological_order(records: Sequence[Any]) -> list[RepoDataRecord]:
    # sort_topologically returns plain package records without their URLs, so map back by name.
    by_name = {record.name.normalized: record for record in records}
    return [by_name[r.name.normalized] for r in RepoDataRecord.sort_topologically(list(records))]


def _bounded(text: str) -> str:
    text = visible(text.strip())
    return text if len(text) <= EXPLANATION_LIMIT else text[:EXPLANATION_LIMIT] + "\n[the rest is left out]"


def _record(record: RepoDataRecord, channel: str) -> Record:
    fields = json.loads(record.to_json())
    for of_the_solver in ("fn", "url", "channel"):  # where the record was found, not what the channel says of it
        del fields[of_the_solver]
    return Record(channel, record.subdir, record.file_name, record.url, fields)
