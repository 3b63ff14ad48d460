"""Wheels of Python package indexes: what there is, what requirements resolve to, and the lock of that.

The only module that knows uv and the indexes' protocol (PEP 503 and 691). Nothing here compiles or runs a package:
wheels alone are looked at. Both are imported where they are needed: a sweep of conda packages has no use for them.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from sweep.errors import ChannelError, SettingsError
from sweep.fields import Platform
from sweep.files import write_atomic

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage, PyPISimple

ARCHITECTURES: Final[Mapping[Platform, str]] = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
# The glibc versions that uv knows a platform of; a machine with another one has all that lower ones have.
_GLIBC_MINORS = (17, 28, *range(31, 41))
_TIMEOUT = 60.0  # seconds for one answer of an index, and for pip to tell of its configuration
_LOCK_LIMIT = 600.0  # seconds for one lock, of which uv needs a few
_AT_ONCE = 8  # uv waits for the network most of the time
_SECRET = re.compile(r"://[^/@\s]*@")


@dataclass(frozen=True)
class Demand:
    """What is asked of the indexes for one environment.

    `requirements` are put to `indexes` (the first that has a package decides) and then to the index of the settings;
    `python` is a version such as 3.11, `platform` uv's name of a platform.
    """

    requirements: tuple[str, ...]
    python: str
    platform: str
    indexes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Locked:
    """What requirements resolve to.

    `text` is a requirements.txt with hashes; `versions` and `wanted_by` have an entry for each distribution, by its
    normalised name: its version, and the distributions (or `-r requirements.in`) that ask for it. `size` is the
    download in bytes, as far as the indexes say.
    """

    text: str
    versions: Mapping[str, str]
    wanted_by: Mapping[str, frozenset[str]]
    size: int


@dataclass(frozen=True)
class Refused:
    """Why requirements do not resolve, in uv's words."""

    explanation: str


def runtime_package(cuda: str) -> str:
    """The distribution that brings the CUDA runtime, and has its version. From CUDA 13 on it has no suffix.

    Source: the packages nvidia-cuda-runtime-cu11, -cu12 and nvidia-cuda-runtime of the Python package index.
    """
    major = int(cuda.partition(".")[0])
    return f"nvidia-cuda-runtime-cu{major}" if major < 13 else "nvidia-cuda-runtime"


def uv_platform(glibc: str, platform: Platform) -> str | None:
    """uv's name of the newest manylinux platform that a machine with this glibc is; None where there is none."""
    major, minor = (int(part) for part in (*glibc.split("."), "0")[:2])
    known = [known for known in _GLIBC_MINORS if major > 2 or (major == 2 and known <= minor)]
    return f"{ARCHITECTURES[platform]}-manylinux_2_{known[-1]}" if known else None


def configured_index() -> str | None:
    """The index that pip itself is configured with on this machine; None where that is pip's own default.

    Raises:
        ChannelError: pip does not answer.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise ChannelError(f"`pip config list` gave no answer in {error.timeout:.0f} s; set pip.index") from error
    told = dict(re.findall(r"^(global|install)\.index-url='(.*)'$", done.stdout, flags=re.MULTILINE))
    # The environment counts where there is no pip to ask, too.
    return os.environ.get("PIP_INDEX_URL") or told.get("install") or told.get("global")


class Index:
    """A package index, and others that come before it for some questions.

    Args:
        url: the index; None is pip's own default.
        cache: a directory for what has been downloaded.
    """

    def __init__(self, url: str | None, cache: Path) -> None:
        if url is not None and _SECRET.search(url):
            raise SettingsError(
                "pip is configured here with an index whose URL has a password, which would be written into every "
                "lock; set pip.index to the URL without it, and keep the password in netrc files"
            )
        self.url = url
        self._cache = cache / "uv"
        self._pages: dict[tuple[str | None, str], list[DistributionPackage]] = {}

    @property
    def name(self) -> str:
        """What the plan calls it."""
        return self.url or "the default package index"

    def wheels(self, package: str, platform: Platform, index: str | None = None) -> list[DistributionPackage]:
        """The wheels of a package for a platform, without those that were taken back.

        Raises:
            ChannelError: the index cannot be reached or read.
        """
        machine = ARCHITECTURES[platform]
        return [
            each
            for each in self._files(package, index or self.url)
            if not each.is_yanked and re.search(rf"(linux\S*_{machine}|-any)\.whl$", each.filename)
        ]

    def versions(self, package: str, platform: Platform, index: str | None = None) -> tuple[str, ...]:
        """The versions of a package that have wheels for a platform, in no order.

        Raises:
            ChannelError: the index cannot be reached or read.
        """
        found = (_version(each.filename) for each in self.wheels(package, platform, index))
        return tuple(dict.fromkeys(version for version in found if version))

    def _files(self, package: str, url: str | None) -> list[DistributionPackage]:
        key = (url, canonicalize_name(package))
        if key not in self._pages:
            self._pages[key] = _page(url, key[1])
        return self._pages[key]

    def lock_all(self, demands: Mapping[str, Demand], directory: Path) -> dict[str, Locked | Refused]:
        """The answers to several demands, each in its own folder below `directory`: requirements.in and the lock.

        Raises:
            ChannelError: an index cannot be reached, or uv fails otherwise.
            ResultsError: the directory cannot be written.
        """
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = pool.map(lambda item: self._lock(item[1], directory / item[0]), demands.items())
            return dict(zip(demands, answers, strict=True))

    def _lock(self, demand: Demand, here: Path) -> Locked | Refused:
        write_atomic(here / "requirements.in", "".join(f"{r}\n" for r in demand.requirements), durable=False)
        done = self._compile(demand, here, "--generate-hashes", "--emit-index-url")
        if done.returncode:
            said = _SECRET.sub("://***@", done.stderr).strip()
            if "No solution found" not in said:
                raise ChannelError(
                    f"uv cannot lock {', '.join(demand.requirements)} from {self.name}: {said}; "
                    "check pip.index and the network"
                )
            return Refused(said)
        head = f"# For Python {demand.python} on {demand.platform}. To install it: "
        text = f"{head}pip install --require-hashes --no-deps -r requirements.txt\n{done.stdout}"
        write_atomic(here / "requirements.txt", text, durable=False)
        return Locked(text, *_entries(text), self._size(demand, here))

    def _size(self, demand: Demand, here: Path) -> int:
        if not any(each.size for page in self._pages.values() for each in page):
            return 0  # the index says no sizes at all, and asking takes as long as locking
        done = self._compile(demand, here, "--format", "pylock.toml")
        packages = tomllib.loads(done.stdout).get("packages", []) if done.returncode == 0 else []
        return sum(next((wheel.get("size", 0) for wheel in each.get("wheels", ())), 0) for each in packages)

    def _compile(self, demand: Demand, here: Path, *options: str) -> subprocess.CompletedProcess[str]:
        from uv import find_uv_bin

        command = [find_uv_bin(), "pip", "compile", "requirements.in", "--quiet", "--no-config", "--no-header"]
        command += ["--only-binary", ":all:", "--python-platform", demand.platform, "--python-version", demand.python]
        command += ["--python", sys.executable, "--no-python-downloads", "--cache-dir", str(self._cache), *options]
        for index in demand.indexes:
            command += ["--index", index]
        if self.url:
            command += ["--default-index", self.url]
        # What uv's own variables would change is said above, but for time limits and retries.
        environment = {name: value for name, value in os.environ.items() if not re.match("UV_(?!HTTP_)", name)}
        environment["UV_SYSTEM_CERTS"] = "true"
        try:
            return subprocess.run(
                command, cwd=here, env=environment, capture_output=True, text=True, timeout=_LOCK_LIMIT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise ChannelError(
                f"uv did not lock {', '.join(demand.requirements)} from {self.name} within {error.timeout:.0f} s; "
                "check pip.index and the network"
            ) from error

    def fetch_uv(self, platform: Platform, target: Path) -> None:
        """Put the uv executable that this version of uv has for a platform at `target`, checked by its hash.

        It is the statically linked one, which runs with any C library.

        Raises:
            ChannelError: the index does not have it, or it cannot be downloaded.
        """
        from importlib.metadata import version

        wanted = version("uv")
        fits = re.compile(rf"uv-{re.escape(wanted)}-.*musllinux_1_1_{ARCHITECTURES[platform]}\.whl")
        found = next((each for each in self._files("uv", self.url) if fits.fullmatch(each.filename)), None)
        if found is None:
            raise ChannelError(f'{self.name} has no static uv {wanted} for {platform}; set pip.installer to "pip"')
        archive = self._cache / found.filename
        try:
            archive.parent.mkdir(parents=True, exist_ok=True)
            with _client(self.url) as client:
                client.download_package(found, archive, timeout=_TIMEOUT)
            with zipfile.ZipFile(archive) as wheel:
                write_atomic(target, wheel.read(f"uv-{wanted}.data/scripts/uv"), mode=0o755)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:  # requests' errors are OSErrors
            raise ChannelError(f"{found.filename} cannot be had from {self.name}: {error}") from error
        finally:
            archive.unlink(missing_ok=True)


def _version(wheel: str) -> str | None:
    """The version in a wheel's file name; None where the index has one that breaks the rules."""
    try:
        return str(parse_wheel_filename(wheel)[1])
    except InvalidWheelFilename:
        return None


def _client(url: str | None) -> PyPISimple:
    """Talks to an index, trusting the certificates that this machine trusts, as uv does: sites have their own."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT, PyPISimple
    from requests import Session
    from requests.adapters import HTTPAdapter

    class SystemCertificates(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, **options, ssl_context=ssl.create_default_context())

    session = Session()
    session.mount("https://", SystemCertificates())
    return PyPISimple(url or PYPI_SIMPLE_ENDPOINT, session=session)


def _page(url: str | None, package: str) -> list[DistributionPackage]:
    """The files that an index lists for a package; none where it does not know it."""
    from pypi_simple import NoSuchProjectError, ProjectPage

    try:
        if url and url.startswith("file://"):
            page = Path(unquote(urlsplit(url).path), package, "index.html")
            return ProjectPage.from_html(package, page.read_bytes(), f"{url}/{package}/").packages
        with _client(url) as client:
            return client.get_project_page(package, timeout=_TIMEOUT).packages
    except (NoSuchProjectError, FileNotFoundError):
        return []
    except (OSError, ValueError) as error:
        said = _SECRET.sub("://***@", str(error))
        raise ChannelError(
            f"the package index {url or '(the default one)'} cannot be read: {said}; check pip.index and the network"
        ) from error


def _entries(text: str) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """Version of each distribution of a requirements.txt as uv writes it, and who asks for it."""
    versions: dict[str, str] = {}
    wanted: dict[str, set[str]] = {}
    name = ""
    for line in text.splitlines():
        if entry := re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", line):
            name = canonicalize_name(entry[1])
            versions[name], wanted[name] = entry[2], set()
        elif name and (comment := re.match(r"\s+#\s+(?:via\b\s*)?(.*)", line)) and comment[1]:
            wanted[name].add(comment[1])
    return versions, {name: frozenset(found) for name, found in wanted.items()}
