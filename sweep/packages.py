"""Packages that travel with the jobs: each is fetched once by the access point, compared with its lock, and kept.

A sweep has a directory `packages` for each of its environments, with links into the store. HTCondor follows them, and
a job finds folders as a channel has them.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sweep import mirrors
from sweep.errors import ChannelError, ResultsError
from sweep.files import read_whole

DIRECTORY = "packages"
_AT_ONCE = 8  # downloads wait for the network most of the time
_TRIES = 3  # of each package: an answer can be cut, or be another one, for once
_PAUSE = 1.0  # seconds between them
# An encoded name would have to be decoded on the node too; such packages, if there are any, jobs fetch themselves.
_LINE = re.compile(r"(\S+/([^/\s]+)/([^/\s%#]+\.(?:conda|tar\.bz2)))#([0-9a-f]{32})")


@dataclass(frozen=True)
class Package:
    """One line of an explicit lock: where the package is, its folder and file name there, and its MD5."""

    url: str
    folder: str
    name: str
    md5: str


@dataclass(frozen=True)
class Supply:
    """What the packages of a sweep's jobs come to, each counted once: bytes in all, and of those fetched now."""

    size: int = 0
    fetched: int = 0


def locked(text: str) -> list[Package]:
    """The packages of an explicit lock that can travel."""
    return [Package(*match.groups()) for line in text.splitlines() if (match := _LINE.fullmatch(line.strip()))]


class Store:
    """Packages on the access point, each below its digest.

    Args:
        directory: where they are; made when it is needed.
        download: puts a URL's content at a path, or raises ChannelError.
        elsewhere: addresses to fetch from instead of others, by those.
    """

    def __init__(
        self, directory: Path, download: Callable[[str, Path], None], elsewhere: Mapping[str, str] | None = None
    ) -> None:
        self._directory = directory
        self._download = download
        self._elsewhere = elsewhere or {}

    def path(self, package: Package) -> Path:
        """Where a package is, or would be."""
        return self._directory / package.md5 / package.folder / package.name

    def supply(self, environments: Iterable[tuple[Path, Path]]) -> Supply:
        """See to it that every package of some locks is there and whole, and link them.

        `environments` are explicit locks, each with the directory in which its packages are to be linked.

        Raises:
            ChannelError: a package cannot be fetched, or is not the one of the lock.
            ResultsError: the store or a directory cannot be written.
        """
        locks = {target: locked(read_whole(lock).decode()) for lock, target in environments}
        wanted = {self.path(package): package for packages in locks.values() for package in packages}
        try:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                fetched = sum(pool.map(self._ensure, wanted.values()))
            for target, packages in locks.items():
                target.mkdir(parents=True, exist_ok=True)
                for package in packages:
                    _link(target / package.folder / package.name, self.path(package))
            return Supply(sum(path.stat().st_size for path in wanted), fetched)
        except OSError as error:
            raise ResultsError(
                f"{error.filename or self._directory}: {error.strerror}; {self._directory} keeps the packages of the "
                'sweep\'s jobs: make room there, choose another conda.cache, or set downloads.packages = "fetch"'
            ) from error

    def _ensure(self, package: Package) -> int:
        """Fetch a package that is missing or damaged; the bytes of that."""
        path = self.path(package)
        if path.is_file() and _md5(path) == package.md5:
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        url = mirrors.replaced(package.url, self._elsewhere)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{package.name}.")
        os.close(handle)
        new = Path(name)
        try:
            for tries_left in reversed(range(_TRIES)):
                try:
                    self._fetch(url, new, package.md5)
                    break
                except ChannelError:
                    if not tries_left:
                        raise
                    time.sleep(_PAUSE)
            new.chmod(0o644)
            size = new.stat().st_size
            new.replace(path)
        finally:
            with suppress(FileNotFoundError):
                new.unlink()
        return size

    def _fetch(self, url: str, new: Path, md5: str) -> None:
        try:
            self._download(url, new)
        except ChannelError as error:
            raise ChannelError(
                f"{error}\njobs are to bring their packages along: check the network and downloads.mirrors, or "
                'set downloads.packages = "fetch"'
            ) from error
        if (found := _md5(new)) != md5:
            raise ChannelError(
                f"{url}: its MD5 is {found}, and the lock says {md5}; if it stays so, the channel or its mirror has "
                "another package under this name: clear the channel's cached metadata and plan again"
            )


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
