"""How an environment is created on the execute node: one small interface, one road for each installer.

All install the lock without solving. Which one is used are the settings conda.installer and pip.installer; a
container image needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sweep import places
from sweep.fields import Platform
from sweep.files import write_atomic

if TYPE_CHECKING:
    from sweep.channels import Channels
    from sweep.wheels import Index


class Installer(Protocol):
    """Puts what the job needs for installing into a directory, and names it."""

    def prepare(self, directory: Path, channels: Channels, names: Sequence[str]) -> str:
        """Make the file ready in `directory`; returns its name, to be transferred with every job."""


class Micromamba:
    """The micromamba executable out of a conda channel, shipped with each job. Needs no Python on the node."""

    def prepare(self, directory: Path, channels: Channels, names: Sequence[str]) -> str:
        """Fetch the executable once and check it against the channel's hash.

        Raises:
            ChannelError: no channel has it, or it cannot be downloaded.
        """
        target = directory / "micromamba"
        if not target.is_file():
            channels.fetch_member(names, "micromamba", "bin/micromamba", target)
        return target.name


class Rattler:
    """A short script for a Python that already has py-rattler on every node: shared file system, image or sandbox."""

    def prepare(self, directory: Path, channels: Channels, names: Sequence[str]) -> str:
        """Copy the script."""
        target = directory / "install_rattler.py"
        write_atomic(target, (places.probes() / target.name).read_bytes())
        return target.name


INSTALLERS: dict[str, Installer] = {"micromamba": Micromamba(), "rattler": Rattler()}


WHEELS = "install_wheels.py"


def prepare_wheels(name: str, directory: Path, index: Index, platform: Platform) -> list[str]:
    """Make ready what installs wheels by pip.installer = `name`; the names of the files in `directory`.

    Both go by a short script for the node's Python. uv travels with the jobs, pip is the node's own.

    Raises:
        ChannelError: uv cannot be had for the platform.
        ResultsError: the directory cannot be written.
    """
    write_atomic(directory / WHEELS, (places.probes() / WHEELS).read_bytes())
    if name != "uv":
        return [WHEELS]
    if not (directory / "uv").is_file():
        index.fetch_uv(platform, directory / "uv")
    return [WHEELS, "uv"]
