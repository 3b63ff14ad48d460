"""Installs an explicit lock with py-rattler, with the checks that rattler leaves out: LOCK PREFIX CACHE [ARCHIVES].

rattler does not compare `file://` packages with the lock's hashes, "installs" an empty list, and leaves a half-made
prefix behind when it fails. This script does the first, refuses the second, and removes the third. It runs on a
node that has Python 3.10 or newer with py-rattler 0.28.

rattler keeps no archives: with ARCHIVES, packages are first fetched into that directory, and left there for others,
each under its name only when it is what the lock says.

Exit codes: 0 installed, 10 checksum, 11 corrupt, 12 missing, 13 count, 14 network, 15 disk full, 16 anything else.
The last line on standard error says why.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
import sys
import urllib.parse
from typing import Any, List, NamedTuple, NoReturn, Optional

EXIT_CODES = {
    "checksum": 10,
    "corrupt": 11,
    "missing": 12,
    "count": 13,
    "network": 14,
    "disk-full": 15,
    "other": 16,
}

AT_ONCE = 8  # packages that are fetched at a time
TRIES = 3  # of each package: an answer can be cut, or be another one, for once
PAUSE = 1.0  # seconds between them

# What rattler's errors say, by kind; the first that fits decides. A full disk shows itself as many other errors.
TEXTS = (
    ("disk-full", r"No space left on device|os error 28\b|[Qq]uota exceeded|os error 122\b"),
    ("checksum", r"hash mismatch"),
    ("missing", r"\b(404|410)\b"),
    (
        "network",
        r"error sending request|[Cc]onnection (refused|reset|closed)|timed? ?out|dns error|"
        r"\b(403|407|408|429|5\d\d) [A-Z][a-z]|error decoding response body",
    ),
    (
        "corrupt",
        r"[Dd]ata corruption|[Ii]nvalid checksum|EOF reached|[Uu]nexpected (end|EOF)|"
        r"numeric field (was not a number|did not have utf-8 text)|"
        r"bzip2: |[Zz]ip archive|[Zz]std|frame descriptor|fill whole buffer",
    ),
)


class Failure(Exception):  # noqa: N818 - it is not always an error of this program
    """Why the lock cannot be installed; `kind` is one of EXIT_CODES."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Package(NamedTuple):
    """One line of the lock."""

    url: str
    algorithm: Optional[str]
    digest: str
    name: str
    version: str
    build: str
    subdir: str
    file_name: str
    channel: str


def parse_line(line: str) -> Package:
    """The package of a line `URL#MD5`, `URL#SHA256` or `URL#sha256:SHA256`.

    Raises:
        Failure: the line is not one.
    """
    url, _, digest = line.partition("#")
    digest = digest.lower()
    if digest.startswith("sha256:"):
        digest = digest[len("sha256:") :]
    algorithm = {0: None, 32: "md5", 64: "sha256"}.get(len(digest), "unknown")
    match = re.fullmatch(r"(.+)/([^/]+)/(([^/]+)-([^/-]+)-([^/-]+)\.(?:conda|tar\.bz2))", url)
    if match is None or algorithm == "unknown" or not re.fullmatch(r"[0-9a-f]*", digest):
        raise Failure("other", "the lock has a line that is not a package: %r" % line)
    subdir, file_name, name, version, build = (urllib.parse.unquote(part) for part in match.groups()[1:])
    return Package(url, algorithm, digest, name, version, build, subdir, file_name, match.group(1))


def read_lock(path: str) -> List[Package]:
    """The packages of an `@EXPLICIT` file, in its order.

    Raises:
        Failure: the file cannot be read, is not explicit, or lists nothing.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise Failure("other", "the lock cannot be read: %s" % error) from error
    lines = [line for line in lines if line and not line.startswith("#")]
    if "@EXPLICIT" not in lines:
        raise Failure("other", "%s has no line @EXPLICIT" % path)
    packages = [parse_line(line) for line in lines if line != "@EXPLICIT"]
    if not packages:
        raise Failure("other", "%s lists no packages" % path)
    return packages


def check_local(package: Package) -> None:
    """Compare a `file://` package with its hash; rattler would install it unseen.

    Raises:
        Failure: the file is not there, or is another one.
    """
    if not package.url.startswith("file://"):
        return
    compare(package, urllib.parse.unquote(urllib.parse.urlsplit(package.url).path))


def compare(package: Package, path: str) -> None:
    """Compare an archive with the lock's hash, if there is one.

    Raises:
        Failure: it is not there, or is another one.
    """
    digest = hashlib.new(package.algorithm or "md5")
    try:
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    except FileNotFoundError as error:
        raise Failure("missing", "%s is not there" % package.url) from error
    except OSError as error:
        raise Failure("network", "%s cannot be read: %s" % (package.url, error)) from error
    if package.algorithm and digest.hexdigest() != package.digest:
        raise Failure(
            "checksum",
            "%s: %s is %s, the lock says %s"
            % (package.file_name, package.algorithm, digest.hexdigest(), package.digest),
        )


async def fetch_one(client: Any, package: Package, path: str) -> None:
    """Fetch a package to a path, where nothing appears but what has the lock's hash.

    Raises:
        Failure: it has another hash, at every try.
        Exception: one of rattler's, it cannot be had.
    """
    import pathlib

    from rattler.package_streaming import download_to_path

    part = path + ".part"
    for tries_left in reversed(range(TRIES)):
        try:
            await download_to_path(client, package.url, pathlib.Path(part))
            compare(package, part)
            break
        except Exception:
            if not tries_left:
                raise
            await asyncio.sleep(PAUSE)
    os.replace(part, path)


async def fetch(packages: List[Package], directory: str) -> List[Package]:
    """The packages with what is not on this machine fetched into a directory, and named by its place there."""
    import pathlib

    from rattler import Client

    os.makedirs(directory, exist_ok=True)
    client = Client.default_client()
    places = asyncio.Semaphore(AT_ONCE)

    async def one(package: Package) -> Package:
        if package.url.startswith("file://"):
            return package
        path = os.path.join(os.path.abspath(directory), package.file_name)
        async with places:
            await fetch_one(client, package, path)
        return package._replace(url=pathlib.Path(path).as_uri())

    return list(await asyncio.gather(*(one(package) for package in packages)))


def record_of(package: Package) -> Any:
    """What rattler needs to know to install a package; the rest comes from the archive."""
    from rattler import BuildString, PackageRecord, RepoDataRecord

    digest = bytes.fromhex(package.digest)
    record = PackageRecord(
        package.name,
        package.version,
        BuildString(package.build),
        0,
        package.subdir,
        md5=digest if package.algorithm == "md5" else None,
        sha256=digest if package.algorithm == "sha256" else None,
    )
    return RepoDataRecord(record, file_name=package.file_name, url=package.url, channel=package.channel)


def kind_of(error: BaseException) -> str:
    """The kind of an error of rattler's, or of the system's."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "disk-full"
    text = "%s" % error
    return next((kind for kind, pattern in TEXTS if re.search(pattern, text)), "other")


def install(lock: str, prefix: str, cache: str, archives: Optional[str] = None) -> int:
    """Install a lock into a new prefix; the number of packages.

    Raises:
        Failure: with its kind. The prefix is gone then, whatever was in it.
    """
    packages = read_lock(lock)
    prefix = os.path.abspath(prefix)  # a relative one would be written into the installed scripts
    try:
        for package in packages:
            check_local(package)
        if archives is not None:
            packages = asyncio.run(fetch(packages, archives))
        import pathlib

        import rattler

        records = [record_of(package) for package in packages]
        asyncio.run(
            rattler.install(records, prefix, cache_dir=pathlib.Path(os.path.abspath(cache)), show_progress=False)
        )
        found = len([name for name in os.listdir(os.path.join(prefix, "conda-meta")) if name.endswith(".json")])
        if found != len(packages):
            raise Failure("count", "%d packages are installed, the lock has %d" % (found, len(packages)))
    except BaseException as error:  # rattler's panics are not Exceptions
        shutil.rmtree(prefix, ignore_errors=True)
        if isinstance(error, (Failure, KeyboardInterrupt, SystemExit)):
            raise
        raise Failure(kind_of(error), "%s: %s" % (type(error).__name__, error)) from error
    return len(packages)


def leave(code: int) -> NoReturn:
    """End at once: rattler's threads can crash an interpreter that finalises while they end."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> NoReturn:
    """The command line: LOCK PREFIX CACHE [ARCHIVES]."""
    if len(sys.argv) not in (4, 5):
        sys.stderr.write("usage: install_rattler.py LOCK PREFIX CACHE [ARCHIVES]\n")
        leave(2)
    try:
        count = install(*sys.argv[1:])
    except Failure as failure:
        sys.stderr.write("%s: %s\n" % (failure.kind, failure))
        leave(EXIT_CODES[failure.kind])
    except BaseException as error:
        sys.stderr.write("other: %s: %s\n" % (type(error).__name__, error))
        leave(EXIT_CODES["other"])
    sys.stderr.write("%d packages installed\n" % count)
    leave(0)


if __name__ == "__main__":
    main()
