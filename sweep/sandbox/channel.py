"""The sandbox's conda channel: small installable packages, described in channel.toml, indexed by py-rattler.

The packages are real conda archives (format: conda's `.tar.bz2` with an `info/` folder) that hold stand-ins
instead of software. The bytes of an archive depend on nothing but this directory's files and the path of the
host's Python, so locks made against the channel stay valid when it is built again.
"""

from __future__ import annotations

import asyncio
import atexit
import bz2
import contextlib
import fcntl
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from sweep.errors import SandboxError
from sweep.model import Frozen

HERE = Path(__file__).resolve().parent
DATA = HERE / "channel.toml"
STANDINS = HERE / "standins"
SHARED = "_simgpu"
SUBDIRS = ("linux-64", "noarch")
STAMP = ".complete"

# Every archive says that it was made at this moment: a build time would change its hash.
TIMESTAMP = 1_700_000_000
# conda replaces this text by the prefix when it installs a file that holds it; the length is conda-build's own.
PLACEHOLDER = "/opt/placehold_" + "p" * 240

# The sandbox brings no interpreter: its `python` runs the host's with the prefix's packages in front. `-S` and
# PYTHONNOUSERSITE keep the host's own packages out, as a real environment would.
_INTERPRETER = """#!/bin/sh
PYTHONPATH="{prefix}/lib/python{series}/site-packages${{PYTHONPATH:+:$PYTHONPATH}}"
CONDA_PREFIX="{prefix}"
PYTHONNOUSERSITE=1
export PYTHONPATH CONDA_PREFIX PYTHONNOUSERSITE
exec {host} -S "$@"
"""

Files = dict[str, tuple[bytes, int]]
"""Path inside the package -> content and mode."""


class _Build(Frozen):
    """One archive; its lists add to the package's."""

    version: str
    build: str
    number: int | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    facts: dict[str, str | tuple[str, ...]] | None = None

    @property
    def build_number(self) -> int:
        """As the recipe's `build: number`, which conda-forge puts last in the build string."""
        return self.number if self.number is not None else int(self.build.rpartition("_")[2])


class _Package(Frozen):
    """What all builds of a package share."""

    name: str
    license: str
    noarch: Literal["generic", "python"] | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    standin: tuple[str, ...] = ()
    arch_script: str | None = None
    interpreter: bool = False
    builds: tuple[_Build, ...]

    @property
    def subdir(self) -> str:
        return "noarch" if self.noarch else "linux-64"


class _Archive(Frozen):
    """An archive by name."""

    name: str
    version: str
    build: str

    @property
    def file_name(self) -> str:
        return f"{self.name}-{self.version}-{self.build}.tar.bz2"


class _Data(Frozen):
    """channel.toml."""

    schema_: Literal[1] = Field(alias="schema")
    corrupt: tuple[_Archive, ...] = ()
    package: tuple[_Package, ...]


def build_channel(directory: Path, host_python: str, data: Path | None = None) -> str:
    """Build the channel in `directory`, unless it is there already, and return its `file://` URL.

    What is there is kept as long as it was made from the same data, stand-ins and host Python. A new channel is
    built beside it and moved into place whole.

    Args:
        directory: the channel's own directory; its parent is created.
        host_python: absolute path of the Python that the channel's `python` package runs (3.8 or newer), the
            same on every machine that installs from the channel.
        data: what to build, in the form of channel.toml; by default that.

    Raises:
        SandboxError: the data are wrong, or the directory cannot be written.
    """
    directory = Path(directory).absolute()
    if not Path(host_python).is_absolute() or set(host_python) & set(" \t\n'\"\\$`"):
        raise SandboxError(f"host Python {host_python!r}: give an absolute path without spaces or quotes")
    source = DATA if data is None else data
    stamp = _stamp(host_python, source)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        with _exclusively(directory.with_name(f".{directory.name}.lock")):
            if not _is_complete(directory, stamp):
                _build_beside(directory, host_python, source, stamp)
    except OSError as error:
        raise SandboxError(
            f"cannot build the sandbox's channel in {directory}: {error.strerror or error}; check its "
            "permissions and free space, or choose another directory"
        ) from error
    return directory.as_uri()


def _build_beside(directory: Path, host_python: str, source: Path, stamp: str) -> None:
    data = _load(source)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as scratch:
        fresh = Path(scratch, "channel")
        for subdir in SUBDIRS:
            (fresh / subdir).mkdir(parents=True)
        for package in data.package:
            for build in package.builds:
                _write_archive(fresh, package, build, host_python)
        _index(fresh)
        for archive in data.corrupt:
            _damage(fresh, archive, source)
        (fresh / STAMP).write_text(stamp)
        if directory.exists():
            directory.rename(Path(scratch, "old"))
        fresh.rename(directory)


def _is_complete(directory: Path, stamp: str) -> bool:
    with contextlib.suppress(OSError):
        return (directory / STAMP).read_text() == stamp
    return False


@contextlib.contextmanager
def _exclusively(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _stamp(host_python: str, data: Path) -> str:
    """A digest of everything that the channel's bytes depend on."""
    digest = hashlib.sha256(host_python.encode())
    named = [("code", Path(__file__)), ("data", data)]
    named += [(path.relative_to(STANDINS).as_posix(), path) for path in _sources(STANDINS)]
    for name, path in named:
        content = path.read_bytes()
        digest.update(f"\0{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest() + "\n"


def _load(path: Path) -> _Data:
    try:
        return _Data.model_validate(tomllib.loads(path.read_text()))
    except tomllib.TOMLDecodeError as error:
        raise SandboxError(f"{path}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise SandboxError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


# --------------------------------------------------------------------------- archives


def _write_archive(channel: Path, package: _Package, build: _Build, host_python: str) -> None:
    files = _contents(package, build, host_python)
    info = _metadata(package, build, files)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, (content, mode) in (*sorted(info.items()), *sorted(files.items())):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode, entry.mtime = len(content), mode, TIMESTAMP
            tar.addfile(entry, io.BytesIO(content))
    name = _Archive(name=package.name, version=build.version, build=build.build).file_name
    (channel / package.subdir / name).write_bytes(bz2.compress(buffer.getvalue()))


def _metadata(package: _Package, build: _Build, files: Files) -> Files:
    index: dict[str, Any] = {
        "name": package.name,
        "version": build.version,
        "build": build.build,
        "build_number": build.build_number,
        "depends": [*package.depends, *build.depends],
        "constrains": [*package.constrains, *build.constrains],
        "license": package.license,
        "subdir": package.subdir,
        "timestamp": TIMESTAMP * 1000,
    }
    index |= {"noarch": package.noarch} if package.noarch else {"arch": "x86_64", "platform": "linux"}
    info: dict[str, Any] = {
        "info/index.json": index,
        "info/paths.json": {"paths": [_path_entry(p, c) for p, (c, _) in sorted(files.items())], "paths_version": 1},
    }
    if package.noarch == "python":
        info["info/link.json"] = {
            "noarch": {"type": "python", "entry_points": []},
            "package_metadata_version": 1,
        }
    listed = {name: (_json(content), 0o644) for name, content in info.items()}
    return listed | {"info/files": ("".join(f"{path}\n" for path in sorted(files)).encode(), 0o644)}


def _path_entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "_path": path,
        "path_type": "hardlink",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_in_bytes": len(content),
    }
    if PLACEHOLDER.encode() in content:
        entry |= {"file_mode": "text", "prefix_placeholder": PLACEHOLDER}
    return entry


def _contents(package: _Package, build: _Build, host_python: str) -> Files:
    note = f"simulated: a stand-in for {package.name} {build.version} {build.build} that holds none of its software\n"
    files: Files = {f"share/simulated/{package.name}.txt": (note.encode(), 0o644)}
    files |= {f"lib/{name}": (b"", 0o644) for name in (*package.libraries, *build.libraries)}
    if package.interpreter:
        series = ".".join(build.version.split(".")[:2])
        script = _INTERPRETER.format(prefix=PLACEHOLDER, series=series, host=host_python).encode()
        files |= {f"bin/{name}": (script, 0o755) for name in ("python", "python3", f"python{series}")}
    site = "site-packages" if package.noarch else "lib/python3.12/site-packages"
    facts: Mapping[str, Any] = {"version": build.version, **(build.facts or {})}
    for module in package.standin:
        files |= {f"{site}/{path}": (content, 0o644) for path, content in _module(module, "cuda" in facts)}
        files[f"{site}/{module}/_build.json"] = (_json(facts), 0o644)
    if package.arch_script and build.facts:
        arches = ";".join(build.facts["archs"])
        files[package.arch_script] = (f'export CF_TORCH_CUDA_ARCH_LIST="{arches}+PTX"\n'.encode(), 0o644)
    return files


def _module(name: str, cuda: bool) -> Iterator[tuple[str, bytes]]:
    """The files of a stand-in. A CPU build has no `cuda` package inside; pure `jax` needs no driver of its own."""
    for path in _sources(STANDINS / name):
        relative = path.relative_to(STANDINS)
        if cuda or relative.parts[1:2] != ("cuda",) or name != "jaxlib":
            yield relative.as_posix(), path.read_bytes()
    if name != "jax":
        for path in _sources(STANDINS / SHARED):
            yield f"{name}/{path.relative_to(STANDINS).as_posix()}", path.read_bytes()


def _sources(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*.py") if path.is_file())


def _json(content: object) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


# --------------------------------------------------------------------------- index


def _index(channel: Path) -> None:
    from rattler.index import index_fs

    _wait_for_rattler_at_exit()
    # A file:// channel is read from its plain repodata.json; nothing else is needed.
    asyncio.run(index_fs(channel, write_zst=False, write_shards=False))
    shutil.rmtree(channel / ".tmp", ignore_errors=True)
    for subdir in SUBDIRS:
        path = channel / subdir / "repodata.json"
        repodata = json.loads(path.read_bytes())
        for record in (*repodata["packages"].values(), *repodata.get("packages.conda", {}).values()):
            record.pop("indexed_timestamp", None)  # the moment of indexing, the only thing that changes
        path.write_bytes(_json(repodata))


_waits: list[bool] = []


def _wait_for_rattler_at_exit() -> None:
    # A thread of rattler that still runs when the interpreter ends can crash it (pyo3-async-runtimes issue 40).
    if not _waits:
        _waits.append(True)
        atexit.register(time.sleep, 0.05)


def _damage(channel: Path, archive: _Archive, source: Path) -> None:
    found = [path for subdir in SUBDIRS if (path := channel / subdir / archive.file_name).is_file()]
    if not found:
        raise SandboxError(f"{source}: corrupt: there is no {archive.file_name}")
    content = bytearray(found[0].read_bytes())
    content[len(content) // 2] ^= 0xFF
    found[0].write_bytes(content)
