"""Finds the processes of a pool and of a sweep's jobs, from /proc alone."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sweep.sandbox import daemons
from sweep.sandbox.pool import SandboxPool


@dataclass(frozen=True)
class Process:
    """One running process."""

    pid: int
    parent: int
    command: tuple[str, ...]

    @property
    def program(self) -> str:
        """The name of what runs."""
        return Path(self.command[0]).name if self.command else ""

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; the process may be gone."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def directory(self) -> str:
        """Where it runs."""
        return str(Path(f"/proc/{self.pid}/cwd").readlink())

    def environment(self) -> dict[str, str]:
        """With what variables it was started; none if it has ended."""
        try:
            data = Path(f"/proc/{self.pid}/environ").read_text(errors="replace")
        except OSError:
            return {}
        return dict(line.partition("=")[::2] for line in data.split("\0") if line)


def process(pid: int) -> Process | None:
    """A process by its number, if it runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    if stat[0] == "Z":
        return None
    return Process(pid, int(stat[1]), tuple(command.decode(errors="replace").rstrip("\0").split("\0")))


def of_pool(pool: SandboxPool) -> Iterator[Process]:
    """The master, its daemons, and their jobs and scripts."""
    master = int((pool.directory / "master.pid").read_text())
    for pid in (master, *daemons.descendants(master)):
        if found := process(pid):
            yield found


def called(pool: SandboxPool, program: str, *words: str) -> list[Process]:
    """The pool's processes that run a program with these words in their command line."""
    return [p for p in of_pool(pool) if p.program == program and all(word in p.command for word in words)]


def dagman(pool: SandboxPool, here: Path, dag: str) -> list[Process]:
    """The DAGMan that runs one of a sweep's two DAGs."""
    found = []
    for each in of_pool(pool):
        with contextlib.suppress(OSError):
            named = {Path(word).name for word in each.command}
            if "-Dag" in each.command and dag in named and each.directory() == str(here):
                found.append(each)
    return found


def steps(pool: SandboxPool, here: Path, step: str) -> list[Process]:
    """A step of the sweep's parent DAG: `plan` or `close`."""
    return [p for p in of_pool(pool) if {"sweep", step, str(here)} <= set(p.command)]


def jobs(pool: SandboxPool, here: Path) -> dict[str, list[Process]]:
    """The processes of a sweep's jobs on the execute nodes by tuple id; the wrapper comes first."""
    found: dict[str, list[Process]] = {}
    for each in sorted(of_pool(pool), key=lambda p: p.pid):
        with contextlib.suppress(OSError):
            ad = Path(each.environment().get("_CONDOR_JOB_AD", os.devnull)).read_text()
            name = re.search(r'^SweepTuple = "(.*)"$', ad, re.M)
            if name and f'Iwd = "{here}/tuples/{name[1]}"' in ad:
                found.setdefault(name[1], []).append(each)
    return found
