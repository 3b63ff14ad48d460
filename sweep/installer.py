"""How an environment is created on the execute node: one small interface, two roads.

Both install the explicit lock without solving. Which one is used is the setting conda.installer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sweep import places
from sweep.files import write_atomic

if TYPE_CHECKING:
    from sweep.channels import Channels


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
