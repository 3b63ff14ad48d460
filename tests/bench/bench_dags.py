"""Measures what DAGMan itself costs at size: the tuples' nodes in one DAG, and spread over several sub-DAGs.

Run by hand, as an ordinary user (`python -m sweep.sandbox exec -- python tests/bench/bench_dags.py`); asserts
nothing. The nodes are DAGMan's no-ops, which submit no job: jobs cost the same whoever submits them. DAGMan submits
no more than a hundred nodes in one interval, of five seconds where nothing else is configured and of one here. Memory
and processor time are those of all DAGMan processes together, at their peak.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from pathlib import Path

from tabulate import tabulate
from watching import Watcher, memory, processes

from sweep.places import cache_dir
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import ensure_condor

CATEGORIES = 8


def write(directory: Path, nodes: int, parts: int) -> Path:
    """A DAG of so many nodes, directly or in so many sub-DAGs; the path of the one to submit."""
    directory.mkdir()
    each = nodes // parts
    for part in range(parts):
        lines = [f"MAXJOBS c{n} 50" for n in range(CATEGORIES)]
        for n in range(each):
            lines += [f"JOB t{n} {directory}/job.sub NOOP", f'VARS t{n} run="./"', f"CATEGORY t{n} c{n % CATEGORIES}"]
        (directory / f"part{part}.dag").write_text("\n".join(lines) + "\n")
    if parts == 1:
        return directory / "part0.dag"
    whole = directory / "whole.dag"
    whole.write_text("".join(f"SUBDAG EXTERNAL p{n} {directory}/part{n}.dag\n" for n in range(parts)))
    return whole


class Watched(Watcher):
    """Memory (MiB) and processor time (s) of the DAGMan processes that run while the context lasts."""

    def __init__(self) -> None:
        super().__init__(0.05)
        self.peak = 0
        self._times: dict[str, float] = {}

    @property
    def cpu(self) -> float:
        """Processor time of all of them."""
        return sum(self._times.values())

    def look(self) -> None:
        """Look at every DAGMan."""
        tick = os.sysconf("SC_CLK_TCK")
        held = 0
        for process, words in processes():
            if "condor_dagman" not in words[0]:
                continue
            with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
                held += memory(process, "VmRSS")
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                self._times[process.name] = (int(fields[11]) + int(fields[12])) / tick
        self.peak = max(self.peak, held)


def main() -> None:
    """Measure and print."""
    rows = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        SandboxPool(ensure_condor(cache_dir(), print), Path(scratch) / "pool") as pool,
    ):
        os.environ.update(pool.environment)
        for nodes, parts in ((1_000, 1), (10_000, 1), (10_000, 4), (10_000, 16)):
            dag = write(Path(scratch) / f"{nodes}-{parts}", nodes, parts)
            with Watched() as watched:
                began = time.perf_counter()
                command = ["condor_submit_dag", "-notification", "never", dag.name]
                subprocess.run(command, cwd=dag.parent, check=True, stdout=subprocess.DEVNULL)
                log = dag.with_name(f"{dag.name}.dagman.log")
                subprocess.run(["condor_wait", str(log)], check=True, stdout=subprocess.DEVNULL)
                rows.append([nodes, parts, time.perf_counter() - began, watched.cpu, watched.peak])
    headers = ["nodes", "DAGs", "wall s", "CPU s", "MiB at the peak"]
    print(tabulate(rows, headers=headers, floatfmt=".1f"))


if __name__ == "__main__":
    main()
