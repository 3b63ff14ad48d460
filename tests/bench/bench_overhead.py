"""Measures what the sweep adds to DAGMan: a sweep of no-op tuples against the same nodes in a bare DAG.

Run by hand, as an ordinary user (`python -m sweep.sandbox exec -- python tests/bench/bench_overhead.py 1000 --rounds
3`); asserts nothing. Both run the very same submit files and nodes, by turns, on one private pool: with 68 simulated
GPUs, so that no tuple waits long, or with `--sandbox` on the machines that the sandbox has for everybody. Bare is
`condor_submit_dag tuples.dag`, the sweep is `sweep submit`, from there to the end of its DAG. Planning, which bare
DAGMan needs done beforehand too, is timed apart. The jobs' script is replaced by one that only writes its
result. Memory is the peak of each process of the sweeper and of each DAGMan, from /proc. With `--share` both have no
more of each GPU class at once, and the most that was held is read from the event log.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from savings import held
from tabulate import tabulate
from watching import Watcher, memory, processes

from sweep import events, places
from sweep.files import read_model
from sweep.places import EVENTS, PARENT_DAG, PLAN, TUPLES_DAG, cache_dir
from sweep.sandbox.channel import build_channel
from sweep.sandbox.machines import Device, Machine
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import ensure_condor
from sweep.schema import Plan

# Eight devices of each capability: no tuple waits long, so that what is measured is the work.
CAPABILITIES = ("7.0", "7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
MACHINES = [
    Machine(
        name=f"m{capability.replace('.', '')}",
        driver="580.65.06",
        runtime="13.0",
        devices=(Device(name=f"Model {capability}", capability=capability, memory_mb=40000, count=8),),
    )
    for capability in CAPABILITIES
]
# A second, smaller class of one of them.
MACHINES.append(
    MACHINES[2].model_copy(
        update={
            "name": "other",
            "devices": (MACHINES[2].devices[0].model_copy(update={"name": "Other", "count": 4}),),
        }
    )
)
VERSIONS = ("2.4", "2.5", "2.8", "2.10")
NO_OP = """#!/bin/sh
result='{"schema": "sweep.result/1", "tuple": "%s", "state": "done", "started": 1, "ended": 1, "steps": []}'
printf "$result" "$1" >result.json
"""
FRAMEWORK = """schema = 1
name = "{name}"
title = "no-op"
package = "pytorch"
series = 2
cuda_package = "pytorch"
specs = ["pytorch {{version}}.*", "cuda-version {{cuda}}.*"]
probe = "{name}.py"
"""


def settings(directory: Path, count: int, pool: SandboxPool, share: float) -> Path:
    """A sweep.toml of at least `count` tuples: as many frameworks as that takes, all of them PyTorch.

    `share` is that of the devices; the number of jobs at once is not limited beside it.
    """
    files = directory / "frameworks"
    files.mkdir()
    there = {device.capability for machine in pool.machines for device in machine.devices}
    names = [f"noop{n}" for n in range(-(-count // (len(VERSIONS) * len(there.intersection(CAPABILITIES)))))]
    for name in names:
        (files / f"{name}.toml").write_text(FRAMEWORK.format(name=name))
        shutil.copy(places.probes() / "pytorch.py", files / f"{name}.py")
    python = str(Path(sys.executable).absolute())
    tables = "".join(f'[frameworks.{name}]\nversions = {list(VERSIONS)}\npython = "3.12"\n' for name in names)
    path = directory / "sweep.toml"
    path.write_text(
        f"""[sweep]
results = "{directory}/results"
framework_files = "{files}"
[cuda]
runtimes = ["12.9"]
[conda]
channels = ["{build_channel(cache_dir() / "channel", python)}"]
cache = "{cache_dir()}"
installer = "rattler"
installer_python = "{python}"
[load]
share = {share}
jobs = 1000
gate = false
[rules]
off = []
[resources]
memory = "500MB"
disk = "200MB"
[pool]
condor_config = "{pool.config_file}"
{tables}"""
    )
    return path


def plan(file: Path, script: str) -> tuple[Path, float, dict[str, int]]:
    """Plan a sweep whose jobs run another script; its directory, the seconds that it took, and its peak memory."""
    command = [sys.executable, "-m", "sweep", "--settings", str(file), "new"]
    here = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()).parent
    began = time.time()
    with Memory(here) as memory:
        command = [sys.executable, "-P", "-m", "sweep", "plan", str(here)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (here / "job.sh").write_text(script)
    return here, time.time() - began, memory.peaks


class Memory(Watcher):
    """The peak memory of processes, by what they are, while the context lasts; MiB."""

    def __init__(self, here: Path) -> None:
        super().__init__(0.1)
        self.here = str(here)
        self.peaks: dict[str, int] = {}

    def look(self) -> None:
        """Look at the sweep's processes."""
        for process, words in processes():
            with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
                if (name := self._name(words, process)) is not None:
                    self.peaks[name] = max(memory(process, "VmHWM"), self.peaks.get(name, 0))

    def _name(self, words: list[str], process: Path) -> str | None:
        if "condor_dagman" in words[0]:
            if str((process / "cwd").readlink()) != self.here:
                return None
            return "DAGMan, " + ("parent" if any(PARENT_DAG in w for w in words) else "tuples")
        if words[1:4] == ["-P", "-m", "sweep"] and self.here in words:
            return f"sweep {words[4]}"
        return None


def wait(here: Path, dag: str) -> None:
    """Until a DAG is over."""
    subprocess.run(["condor_wait", str(here / f"{dag}.dagman.log")], check=True, stdout=subprocess.DEVNULL)


def run_bare(here: Path) -> None:
    """The tuples' DAG alone."""
    command = ["condor_submit_dag", "-notification", "never", TUPLES_DAG]
    subprocess.run(command, cwd=here, check=True, stdout=subprocess.DEVNULL)
    wait(here, TUPLES_DAG)


def run_sweep(here: Path) -> None:
    """The sweep, planned already."""
    subprocess.run([sys.executable, "-m", "sweep", "submit", here], check=True, stdout=subprocess.DEVNULL)
    wait(here, PARENT_DAG)


def copies(planned: Path) -> Iterator[Path]:
    """Copies of a planned sweep that never ran, each in a directory of its own."""
    number = 0
    while True:
        number += 1
        here = planned.with_name(f"2100-01-01T0000{number:02}")  # no time at which it may have been planned
        shutil.copytree(planned, here)
        for path in [here / PARENT_DAG, here / TUPLES_DAG, here / "gate.sh", *here.glob("tuples/*/job.sub")]:
            path.write_text(path.read_text().replace(str(planned), str(here)))
        plan = here / PLAN
        plan.write_text(plan.read_text().replace(planned.name, here.name))
        yield here


class Course(NamedTuple):
    """How a run went: seconds until the first job was in the queue, until the last ended, until the end; and jobs."""

    before: float
    jobs: float
    after: float
    completed: int

    @property
    def whole(self) -> float:
        """Seconds in all."""
        return self.before + self.jobs + self.after


def course(here: Path, began: float, ended: float) -> Course:
    """The course of a run between two moments (Unix seconds); the event log knows whole seconds."""
    histories = events.read(here / EVENTS).histories.values()
    first = min(h.jobs[0].submitted for h in histories)
    last = max(h.last.ended or 0 for h in histories)
    done = sum(h.decisive.exit_code == 0 for h in histories)
    return Course(max(0.0, first - began), last - max(first, began), ended - last, done)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("tuples", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--sandbox", action="store_true", help="on the sandbox's own machines; they are few")
    parser.add_argument("--sweep-first", action="store_true", help="in the first round; else bare DAGMan")
    arguments = parser.parse_args()
    ways: list[tuple[str, Callable[[Path], None]]] = [("bare", run_bare), ("sweep", run_sweep)]
    if arguments.sweep_first:
        ways.reverse()
    machines = None if arguments.sandbox else MACHINES
    with (
        tempfile.TemporaryDirectory() as scratch,
        SandboxPool(ensure_condor(cache_dir(), print), Path(scratch) / "pool", machines) as pool,
    ):
        os.environ.update(pool.environment)
        file = settings(Path(scratch), arguments.tuples, pool, arguments.share)
        planned, planning, peaks = plan(file, NO_OP)
        rows = []
        found: dict[str, list[float]] = {"bare": [], "sweep": []}
        for number, here in enumerate(itertools.islice(copies(planned), 2 * arguments.rounds)):
            # What comes second has a schedd with more history: each round turns the order of the last one around.
            name, run = ways[(number + number // 2) % 2]
            with Memory(here) as watched:
                began = time.time()
                run(here)
                went = course(here, began, time.time())
            found[name].append(went.whole)
            peaks |= watched.peaks
            rows.append([name, *went, went.whole])
            print(f"{name}: {went.whole:.1f} s", file=sys.stderr, flush=True)  # a run takes minutes
        print(
            tabulate(rows, ["", "to the first job", "jobs", "after the last", "exit 0", "whole, s"], floatfmt=".1f")
        )
        bare, whole = (statistics.median(times) for times in found.values())
        made = read_model(planned / PLAN, Plan, "sweep plan")
        jobs = sum(t.submitted for t in made.tuples)
        print(f"{jobs} tuples: bare {bare:.1f} s, sweep {whole:.1f} s, ratio {whole / bare:.3f}")
        print(f"planning: {planning:.1f} s")
        if arguments.share < 1:
            for each in held(here, made.pool.classes, arguments.share):
                print(
                    f"{each.gpu.label}: {each.most} of {each.gpu.devices} devices at most, the share is {each.share}"
                )
        print("MiB at the peak:", ", ".join(f"{name} {peak}" for name, peak in sorted(peaks.items())))


if __name__ == "__main__":
    main()
