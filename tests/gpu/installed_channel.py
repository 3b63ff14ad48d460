"""A conda channel of what is installed already: packages without content, and a Python that has the frameworks.

So a sweep can be run over frameworks that no channel needs to be reached for: planning, locking, installing and the
job are the real ones, and only what would be downloaded is there before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sweep import places
from sweep.framework import Framework, load_framework
from sweep.sandbox import channel


@dataclass(frozen=True)
class Installed:
    """A framework that a Python has: its version, and the CUDA runtime that its build is for."""

    framework: str
    version: str
    cuda: str


def build(directory: Path, python: str, python_version: str, installed: Iterable[Installed]) -> str:
    """Build the channel below `directory`; its URL.

    Args:
        directory: gets the channel, its description and the interpreter.
        python: the interpreter that has the frameworks.
        python_version: such as 3.11.7.
        installed: what it has.
    """
    directory.mkdir(parents=True, exist_ok=True)
    # The channel's Python runs its host without site-packages; here they are what is wanted.
    host = directory / "python"
    host.write_text(f'#!/bin/sh\nshift\nexec {python} "$@"\n')
    host.chmod(0o755)
    data = directory / "channel.toml"
    data.write_text(description(python_version, installed))
    before, channel.DATA = channel.DATA, data
    try:
        return channel.build_channel(directory / "channel", str(host))
    finally:
        channel.DATA = before


def description(python_version: str, installed: Iterable[Installed]) -> str:
    """The channel's description, in the form of the sandbox's channel.toml."""
    packages = {"python": [_build(python_version, "0_cpython")]}
    for each in installed:
        framework = load_framework(places.frameworks() / f"{each.framework}.toml")
        for spec in framework.specs:
            name, _, wanted = spec.partition(" ")
            version = each.version if "{version}" in wanted else each.cuda
            build = _build(version, _build_string(framework, name, each), _depends(framework, name, each))
            known = packages.setdefault(name, [])
            if build not in known:
                known.append(build)
    tables = [_table(name, builds) for name, builds in packages.items()]
    return "schema = 1\n\n" + "\n".join(tables)


def _build_string(framework: Framework, name: str, each: Installed) -> str:
    return f"cuda{each.cuda.replace('.', '')}_0" if name == framework.cuda_package else "h0_0"


def _depends(framework: Framework, name: str, each: Installed) -> tuple[str, ...]:
    if name != framework.cuda_package:
        return ()
    return ("__cuda", "python", f"cuda-version {each.cuda}.*")


def _build(version: str, build: str, depends: tuple[str, ...] = ()) -> str:
    wanted = ", ".join(f'"{each}"' for each in depends)
    return f'{{ version = "{version}", build = "{build}", number = 0, depends = [{wanted}] }}'


def _table(name: str, builds: list[str]) -> str:
    lines = ["[[package]]", f'name = "{name}"', 'license = "LicenseRef-installed"']
    lines += ["interpreter = true"] if name == "python" else []
    return "\n".join([*lines, f"builds = [{', '.join(builds)}]", ""])
