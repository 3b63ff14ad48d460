"""Installs a locked requirements.txt into a new virtual environment: LOCK PREFIX CACHE INSTALLER [SHARED].

INSTALLER is `uv`, the executable beside this script, or `pip`, that of the Python that runs it. Nothing is resolved
and nothing built: every wheel is in the lock with its hashes, and what is installed is compared with the lock. It
runs with the node's own Python, 3.8 or newer, and needs nothing else of it.

SHARED is a directory in which the jobs of a machine share a cache; CACHE is this job's own. uv compares what it has
unpacked into its cache with nothing, so installed files are compared with their records, and a cache that is found
damaged is removed. Whatever goes wrong with a shared cache is tried once more without it.

Exit codes: 0 installed, 10 checksum, 11 corrupt, 12 missing, 13 count, 14 network, 15 disk full, 16 anything else.
The last line on standard error says why.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
import venv
from typing import Dict, List, NoReturn, Optional, Set

EXIT_CODES = {"checksum": 10, "corrupt": 11, "missing": 12, "count": 13, "network": 14, "disk-full": 15, "other": 16}

# What reading an installed file or its record raises when these are not what they should be; other errors of the
# system say nothing about them.
UNREADABLE = (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError, TypeError, csv.Error)

# Before their first error uv and pip tell of their progress, with names and sizes that look like anything.
ERROR = re.compile(r"^\s*(error\b|×|Traceback\b)", flags=re.MULTILINE | re.IGNORECASE)

# What uv and pip say, by kind; the first that fits decides. A full disk shows itself as many other errors, and a
# connection that breaks damages archives. Where pip cannot reach an index, it says that there is no version at all.
# What this machine cannot run, read or write says nothing about the lock.
TEXTS = (
    ("disk-full", r"No space left on device|os error 28\b|[Qq]uota exceeded|os error 122\b"),
    ("checksum", r"[Hh]ash mismatch|DO NOT MATCH THE HASHES"),
    (
        "network",
        r"error sending request|[Cc]onnection (refused|reset|closed|broken)|timed? ?out|dns error|Name or service|"
        r"\b(403|407|408|429|5\d\d) [A-Z][a-z]|error decoding response body|NewConnectionError|SSLError|"
        r"invalid peer certificate|\(from versions: none\)|Failed to fetch.*\n.*(connect|incomplete)",
    ),
    (
        "other",
        r"matching (platform|Python version|Python ABI|Python implementation|ABI) tag|[Ii]nput/output error|"
        r"Stale file handle|Too many open files|Cannot allocate memory|Read-only file system|Permission denied",
    ),
    (
        "missing",
        r"client error \((404|410) |HTTP error (404|410)\b|\b(404|410) Client Error|No solution found|"
        r"not found in the package registry|No matching distribution",
    ),
    (
        "corrupt",
        r"[Zz]ip (file|archive)|BadZipFile|[Cc]orrupt|CRC|[Ff]ailed to (extract|unpack)|while decompressing|"
        r"[Uu]nexpected (end|EOF)|invalid (wheel|metadata)|[Ww]heel '.*' located at .* is invalid",
    ),
)


class Failure(Exception):  # noqa: N818 - it is not always an error of this program
    """Why the lock cannot be installed; `kind` is one of EXIT_CODES."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def normal(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(path: str) -> Set[str]:
    """The names of the distributions in a requirements.txt with hashes.

    Raises:
        Failure: the file cannot be read, lists nothing, is for another Python, or has an entry without a hash.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise Failure("other", "the lock cannot be read: %s" % error) from error
    made_for = re.search(r"^# For Python (\d+\.\d+)\b", text, flags=re.MULTILINE)
    here = "%d.%d" % sys.version_info[:2]
    if made_for and made_for.group(1) != here:
        raise Failure("other", "%s is Python %s, the lock is for %s" % (sys.executable, here, made_for.group(1)))
    lines = (line.strip() for line in text.replace("\\\n", " ").splitlines())
    entries = [line for line in lines if line and not line.startswith(("#", "-"))]
    found = set()
    for entry in entries:
        match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==\S+.*--hash=sha256:[0-9a-f]{64}\b", entry)
        if match is None:
            raise Failure("other", "the lock has a line that is not a pinned package with a hash: %r" % entry[:200])
        found.add(normal(match.group(1)))
    if not found:
        raise Failure("other", "%s lists no packages" % path)
    return found


def command(installer: str, lock: str, prefix: str, cache: str) -> List[str]:
    """The installer's command line: what is in the lock, by its hashes, and nothing else.

    uv copies: what a job did to a link, it would do to the cache.
    """
    python = os.path.join(prefix, "bin", "python")
    strict = ["--require-hashes", "--no-deps", "--only-binary", ":all:", "-r", lock, "--cache-dir", cache]
    if installer == "pip":
        return [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install", *strict]
    uv = os.path.join(os.path.dirname(os.path.abspath(__file__)), "uv")
    return [
        uv,
        "pip",
        "install",
        "--python",
        python,
        "--no-config",
        "--no-python-downloads",
        "--link-mode",
        "copy",
        *strict,
    ]


def environment() -> Dict[str, str]:
    """The installer's environment: the node's certificates, if any; of uv's own variables only time limits."""
    kept = {name: value for name, value in os.environ.items() if not re.match("UV_(?!HTTP_)", name)}
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath)):
        kept["UV_SYSTEM_CERTS"] = "true"
    return kept


def kind_of(text: str) -> str:
    """The kind of a failure, by what the installer says from its first error on."""
    error = ERROR.search(text)
    said = text[error.start() :] if error else ""
    return next((kind for kind, pattern in TEXTS if re.search(pattern, said)), "other")


def is_too_old(lock: str) -> bool:
    """Whether this machine's C library is older than what the lock was made for: it may lack wheels that exist.

    uv says so, but pip calls such wheels missing.
    """
    with open(lock, encoding="utf-8") as file:
        needed = re.search(r"^# For Python .*-manylinux_(\d+)_(\d+)\b", file.read(), flags=re.MULTILINE)
    here = re.match(r"(\d+)\.(\d+)", platform.libc_ver()[1])
    return needed is not None and (here is None or tuple(map(int, here.groups())) < tuple(map(int, needed.groups())))


def site_packages(prefix: str) -> str:
    """Where an environment's distributions are."""
    return os.path.join(prefix, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")


def installed(prefix: str) -> Set[str]:
    """The names of the distributions in an environment."""
    site = site_packages(prefix)
    return {normal(name.split("-")[0]) for name in os.listdir(site) if name.endswith(".dist-info")}


def altered(prefix: str) -> Optional[str]:
    """The first installed file that is not as a distribution's record has it, or is in none; None where all are."""
    site = site_packages(prefix)
    recorded: Dict[str, Set[str]] = {}
    for name in sorted(os.listdir(site)):
        if not name.endswith(".dist-info"):
            continue
        record = os.path.join(name, "RECORD")
        try:
            with open(os.path.join(site, record), encoding="utf-8", newline="") as file:
                rows = [row for row in csv.reader(file) if len(row) == 3]
        except UNREADABLE:
            return record
        for path, digest, _ in rows:
            recorded.setdefault(os.path.normpath(path), set()).add(digest)
    for path, digests in recorded.items():
        # Where two distributions have the same file, the installer has left that of one of them.
        if "" not in digests and not any(fits(os.path.join(site, path), digest) for digest in digests):
            return path
    # A file that is in no record may still be run: Python does so with each .pth.
    for directory, _, names in os.walk(site):
        for name in names:
            path = os.path.relpath(os.path.join(directory, name), site)
            if path not in recorded:
                return path
    return None


def fits(path: str, digest: str) -> bool:
    """Whether a file is there with a digest as records have it, `ALGORITHM=BASE64`."""
    algorithm, _, expected = digest.partition("=")
    try:
        with open(path, "rb") as content:
            found = hashlib.new(algorithm, content.read()).digest()
    except UNREADABLE:
        return False
    return base64.urlsafe_b64encode(found).decode().rstrip("=") == expected


def put_away(cache: str) -> None:
    """Remove a damaged cache: by a rename first, so that no job begins with half of it."""
    aside = "%s.damaged.%d" % (cache, os.getpid())
    try:
        os.rename(cache, aside)
    except OSError as error:
        sys.stderr.write("it cannot be removed: %s\n" % error)
        return
    shutil.rmtree(aside, ignore_errors=True)


def install(lock: str, prefix: str, cache: str, installer: str, shared: Optional[str] = None) -> int:
    """Install a lock into a new environment, with the cache that jobs share if there is one; the number of packages.

    Raises:
        Failure: with its kind. The environment is gone then, whatever was in it.
    """
    if shared is not None:
        kept = os.path.join(shared, installer)
        try:
            count = install_with(lock, prefix, kept, installer)
            path = altered(prefix)
            if path is None:
                return count
            sys.stderr.write("%s is not as it was packed: the cache in %s is damaged and removed\n" % (path, kept))
            put_away(kept)
        except (Failure, OSError) as failure:
            sys.stderr.write("with the cache in %s: %s\n" % (kept, failure))
        sys.stderr.write("once more without the cache\n")
        shutil.rmtree(prefix, ignore_errors=True)
    return install_with(lock, prefix, cache, installer)


def install_with(lock: str, prefix: str, cache: str, installer: str) -> int:
    """Install a lock with one cache; the number of packages.

    Raises:
        Failure: with its kind. The environment is gone then, whatever was in it.
    """
    packages = read_lock(lock)
    try:
        venv.EnvBuilder(symlinks=True, with_pip=False).create(prefix)
        done = subprocess.run(
            command(installer, lock, prefix, cache),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        text = done.stdout.decode("utf-8", "replace").strip()
        sys.stderr.write(text + "\n")
        if done.returncode:
            # Whoever was killed has not said why.
            kind = kind_of(text) if done.returncode > 0 else "other"
            if kind == "missing" and is_too_old(lock):
                kind = "other"
            raise Failure(kind, "%s ended with code %d" % (installer, done.returncode))
        found = installed(prefix)
        if found != packages:
            odd = ", ".join(sorted(found ^ packages)[:5])
            counts = "%d packages are installed, the lock has %d" % (len(found), len(packages))
            raise Failure("count", "%s; not in both: %s" % (counts, odd))
    except OSError as error:
        shutil.rmtree(prefix, ignore_errors=True)
        kind = "disk-full" if "No space left" in "%s" % error else "other"
        raise Failure(kind, "%s: %s" % (type(error).__name__, error)) from error
    except BaseException:
        shutil.rmtree(prefix, ignore_errors=True)
        raise
    return len(packages)


def main() -> NoReturn:
    """The command line: LOCK PREFIX CACHE INSTALLER [SHARED]."""
    if len(sys.argv) not in (5, 6) or sys.argv[4] not in ("uv", "pip"):
        sys.stderr.write("usage: install_wheels.py LOCK PREFIX CACHE uv|pip [SHARED]\n")
        sys.exit(2)
    try:
        count = install(*sys.argv[1:])
    except Failure as failure:
        sys.stderr.write("%s: %s\n" % (failure.kind, failure))
        sys.exit(EXIT_CODES[failure.kind])
    sys.stderr.write("%d packages installed\n" % count)
    sys.exit(0)


if __name__ == "__main__":
    main()
