"""Real frameworks, each installed once into the cache: from the Python registry, or out of Debian's packages."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweep import places
from sweep.sandbox import debian

ROOT = places.cache_dir() / "frameworks"

# Ranges, so that a new release is met on purpose. PyTorch's own wheel for Linux is a CUDA build that needs gigabytes
# of libraries beside it; Debian has a CPU build.
REQUIREMENTS = {
    "jax": ["jax[cpu]>=0.10,<0.11"],
    "tensorflow": ["tensorflow-cpu>=2.21,<2.22"],
    "cupy": ["cupy-cuda12x>=14.2,<15"],
    "numba": ["numba-cuda>=0.30,<0.31", "nvidia-cuda-nvrtc-cu12>=12.9,<13"],
    "numba-bare": ["numba-cuda>=0.30,<0.31"],
    "xgboost": ["xgboost-cpu>=3.2,<3.3"],
}


@dataclass(frozen=True)
class Python:
    """An interpreter that has a framework, and the variables that it needs for it."""

    path: Path
    variables: dict[str, str]


class InstallError(Exception):
    """A framework could not be fetched; the tests need the network once, and after that the cache."""


def python_with(name: str) -> Python:
    """The interpreter that has a framework, made first if need be.

    Raises:
        InstallError: it cannot be installed.
    """
    if name == "pytorch":
        return _from_debian("python3-torch")
    requirements = REQUIREMENTS[name]
    place = ROOT / f"{name}-{_digest(sys.version, *requirements)}"
    with _making(place) as missing:
        if missing:
            _run([sys.executable, "-m", "venv", "--without-pip", str(place)])
            pip = [sys.executable, "-m", "pip", "--python", str(place / "bin/python"), "--no-cache-dir", "--quiet"]
            _run([*pip, "install", "--no-compile", *requirements])
    return Python(place / "bin/python", {})


def _from_debian(package: str) -> Python:
    """The machine's own Python with a package of its own distribution, which is unpacked and not installed."""
    codename = debian.os_release().get("VERSION_CODENAME", "")
    place = ROOT / f"{package}-{codename}"
    with _making(place) as missing:
        if missing:
            state = place / "apt"
            archives = state / "cache/archives"
            for directory in (state / "lists/partial", archives / "partial"):
                directory.mkdir(parents=True)
            (state / "sources.list").write_text(f"deb {debian.archive_site()} {codename} main\n")
            (state / "apt.conf").write_text(debian.private_settings(state, debian.architecture()))
            apt = ["apt-get", "-c", str(state / "apt.conf"), "-o", "Dir::State::status=/var/lib/dpkg/status"]
            _run([*apt, "update"])
            _run([*apt, "install", "--download-only", "--yes", "--no-install-recommends", package])
            for deb in sorted(archives.glob("*.deb")):
                _run(["dpkg-deb", "-x", str(deb), str(place)])
            shutil.rmtree(state)
    found = (path for part in ("lib", "usr/lib") for path in (place / part).rglob("lib*.so.*"))
    libraries = {str(path.parent) for path in found}
    variables = {
        "LD_LIBRARY_PATH": ":".join(sorted(libraries)),
        "PYTHONPATH": str(place / "usr/lib/python3/dist-packages"),
    }
    return Python(Path("/usr/bin/python3"), variables)


@contextmanager
def _making(place: Path) -> Iterator[bool]:
    """Whether the place is still to be made; half-made ones are removed. One process at a time."""
    place.parent.mkdir(parents=True, exist_ok=True)
    stamp = place / "complete.json"
    with place.with_suffix(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not stamp.exists()
        if missing and place.exists():
            shutil.rmtree(place)
        yield missing
        if missing:
            stamp.write_text(json.dumps({"place": str(place)}))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise InstallError(
            f"{' '.join(command[:6])} ... failed; the tests with real frameworks need the network once:\n{said}"
        )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
