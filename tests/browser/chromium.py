"""A headless Chromium without touching the system: the installed one, or Debian's package unpacked into the cache.

The machine's own apt, with private state, finds out which of the package's libraries the machine lacks, and fetches
those too. Nothing is installed and no root is needed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sweep.files import locked

INSTALLED = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
# The shell without a desktop, and a font that has every glyph of the page.
PACKAGES = ("chromium-headless-shell", "fonts-dejavu-core")

_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir><dir>{root}/usr/share/fonts</dir><cachedir>{root}/fontcache</cachedir>
</fontconfig>
"""


class NoChromiumError(Exception):
    """This machine has no Chromium, and its package sources have none either."""


@dataclass(frozen=True)
class Chromium:
    """A program to run, and what has to be in its environment."""

    program: Path
    environment: dict[str, str]


def ensure_chromium(cache: Path) -> Chromium:
    """The Chromium to use; fetched first (about 100 MB) if need be.

    Raises:
        NoChromiumError: there is none to be had here.
        RuntimeError: it cannot be fetched.
    """
    if found := next(filter(None, map(shutil.which, INSTALLED)), None):
        return Chromium(Path(found), {})
    root = cache / "chromium"
    program = root / "usr/lib/chromium/chromium-headless-shell"
    with locked(cache / "chromium.lock", wait=True):
        if not program.is_file():
            _unpack(root)
    libraries = {str(path.parent) for path in (root / "usr/lib").rglob("*.so*")}
    return Chromium(
        program,
        {"LD_LIBRARY_PATH": ":".join(sorted(libraries)), "FONTCONFIG_FILE": str(root / "fonts.conf")},
    )


def _unpack(root: Path) -> None:
    """Into a directory beside the final one, which is then renamed: an interrupted run leaves nothing half-made."""
    if not (shutil.which("apt-get") and Path("/var/lib/dpkg/status").is_file()):
        raise NoChromiumError("no Chromium is installed, and without apt none can be fetched")
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="chromium.new.") as name:
        work = Path(name, "root")
        for debs in _downloaded(Path(name)):
            _run("dpkg-deb", "-x", str(debs), str(work))
        (work / "fonts.conf").write_text(_FONTS.format(root=root))
        work.rename(root)


def _downloaded(state: Path) -> list[Path]:
    """The packages and the libraries that this machine lacks, as files below `state`."""
    for directory in ("lists/partial", "archives/partial"):
        (state / directory).mkdir(parents=True)
    options = {
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": "/var/lib/dpkg/status",
        "Dir::Cache": state,
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "-qq", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    _run(*apt, "update")
    said = _run(*apt, "-y", "--no-install-recommends", "--download-only", "install", *PACKAGES, check=False)
    found = sorted((state / "archives").glob("*.deb"))
    if not any(path.name.startswith(PACKAGES[0]) for path in found):
        if re.search("Unable to locate package|no installation candidate", said):
            raise NoChromiumError(f"no Chromium is installed, and this machine's apt has no {PACKAGES[0]}")
        raise RuntimeError(f"Chromium could not be fetched: {said}")
    return found


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    if check and done.returncode:
        raise RuntimeError(f"{command[0]} failed: {done.stderr.strip()[-500:]}")
    return done.stdout + done.stderr
