"""conda channels: the builds of a package, and the solver. The only module that knows py-rattler.

One Gateway serves the whole run: repodata are loaded once, a further solve costs milliseconds.
"""

from __future__ import annotations

import asyncio
import atexit
import datetime
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
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
from rattler.exceptions import GatewayError, InvalidMatchSpecError, InvalidVersionSpecError, SolverError
from rattler.package import BuildString
from rattler.package_streaming import download_to_path, extract

from sweep.builds import Build, CudaOfBuild
from sweep.config import Platform
from sweep.errors import ChannelError, SettingsError
from sweep.files import write_atomic

# rattler's worker threads may take the GIL while the interpreter finalises, which ends in a crash after the work
# is done (pyo3-async-runtimes issue 40); a moment's pause lets them finish.
atexit.register(time.sleep, 0.05)

EXPLANATION_LIMIT = 4000  # characters; the solver's text can be two hundred thousand


@dataclass(frozen=True)
class Request:
    """One environment to solve: channels in order of priority, specs, and what the node offers."""

    channels: tuple[str, ...]
    specs: tuple[str, ...]
    virtual: tuple[str, ...]


@dataclass(frozen=True)
class Solution:
    """The packages of an environment, dependencies first."""

    records: tuple[RepoDataRecord, ...]

    def build_of(self, name: str) -> Build | None:
        """The build of one package in the solution."""
        return next((_build(r) for r in self.records if r.name.normalized == name), None)


@dataclass(frozen=True)
class Refusal:
    """Why there is no solution, in the solver's words; or that it did not come to an end, which is no answer."""

    explanation: str
    timed_out: bool = False


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
        self._limit = datetime.timedelta(seconds=solve_limit)
        self._client = Client.default_client()  # reads credentials, as conda does; a bare Gateway sends none
        self._gateway = Gateway(
            cache_dir=cache / "repodata",
            client=self._client,
            default_config=SourceConfig(cache_action="force-cache-only" if offline else "cache-or-fetch"),
        )

    def builds(self, channels: Sequence[str], name: str) -> list[Build]:
        """Every build of a package.

        Raises:
            ChannelError: a channel cannot be reached or read.
        """
        return asyncio.run(self._builds(channels, name))

    async def _builds(self, channels: Sequence[str], name: str) -> list[Build]:
        return [_build(record) for record in await self._records(channels, name)]

    async def _records(self, channels: Sequence[str], name: str) -> list[RepoDataRecord]:
        try:
            parts = await self._gateway.query(
                [Channel(c) for c in channels], self._platforms, [MatchSpec(name)], recursive=False
            )
        except GatewayError as error:
            raise ChannelError(_channel_message(channels, error)) from error
        except BaseException as error:  # a malformed repodata.json can surface as a Rust panic, not an Exception
            if isinstance(error, KeyboardInterrupt | SystemExit | asyncio.CancelledError):
                raise
            raise ChannelError(_channel_message(channels, error)) from error
        return [record for part in parts for record in part]

    def fetch_member(self, channels: Sequence[str], package: str, member: str, target: Path) -> str:
        """Take one file out of the newest build of a package, check the archive's hash, and put it at `target`.

        Returns the file name of the archive that was taken.

        Raises:
            ChannelError: no channel has the package, it cannot be downloaded, or its hash is wrong.
        """
        return asyncio.run(self._fetch_member(channels, package, member, target))

    async def _fetch_member(self, channels: Sequence[str], package: str, member: str, target: Path) -> str:
        records = [r for r in await self._records(channels, package) if r.sha256]
        if not records:
            raise ChannelError(
                f"no build of {package} with a hash in {', '.join(channels)}; add a channel that has one"
            )
        newest = max(records, key=lambda r: (r.version, r.build_number))
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch, newest.file_name)
            try:
                if newest.url.startswith("file://"):
                    shutil.copyfile(unquote(urlsplit(newest.url).path), archive)
                else:
                    await download_to_path(self._client, newest.url, archive)
            except Exception as error:  # rattler raises its own type for each way a download can fail
                raise ChannelError(f"cannot download {newest.file_name}: {error}") from error
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
        try:
            records = await solve(
                [Channel(c) for c in request.channels],
                [MatchSpec(spec) for spec in request.specs],
                gateway=self._gateway,
                platforms=self._platforms,
                virtual_packages=[_virtual(v) for v in request.virtual],
                channel_priority=ChannelPriority.Strict,
                timeout=self._limit,
            )
        except InvalidMatchSpecError as error:
            raise SettingsError(
                f"{', '.join(request.specs)}: not conda specs: {error}; mend the framework's file"
            ) from error
        except SolverError as error:
            return Refusal(_shorten(str(error)), timed_out="has been cancelled" in str(error))
        except GatewayError as error:
            raise ChannelError(_channel_message(request.channels, error)) from error
        return Solution(tuple(_in_topological_order(records)))


def _virtual(text: str) -> GenericVirtualPackage:
    """`__cuda=12.4` or `__archspec=1=x86_64_v2` as rattler wants it."""
    name, version, build = (*text.split("="), "0")[:3]
    return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))


def _build(record: RepoDataRecord) -> Build:
    return Build(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        depends=tuple(record.depends),
        constrains=tuple(record.constrains),
        size=record.size or 0,
    )


def _in_topological_order(records: Sequence[Any]) -> list[RepoDataRecord]:
    # sort_topologically returns plain package records without their URLs, so map back by name.
    by_name = {record.name.normalized: record for record in records}
    return [by_name[r.name.normalized] for r in RepoDataRecord.sort_topologically(list(records))]


def _shorten(text: str) -> str:
    text = text.strip()
    return text if len(text) <= EXPLANATION_LIMIT else text[:EXPLANATION_LIMIT] + "\n[shortened]"


def _channel_message(channels: Sequence[str], error: BaseException) -> str:
    chain = [str(error)]
    while error.__cause__ is not None:
        error = error.__cause__
        chain.append(str(error))
    detail = ": ".join(dict.fromkeys(" ".join(line.split()) for line in chain))[:600]
    return (
        f"cannot read the channels {', '.join(channels)}: {detail}\n"
        "check the names under conda.channels, the network, and for a file:// channel that "
        "repodata.json is whole in each platform's folder"
    )
