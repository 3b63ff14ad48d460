"""Measures how long a colleague's jobs wait while a sweep runs, and how long without one.

Run by hand, as an ordinary user (`python -m sweep.sandbox exec -- python tests/bench/bench_neighbour.py`); asserts
nothing. A colleague (another submitter, so that HTCondor shares fairly) submits a job of two seconds for each
capability every three seconds: to the idle pool, while a sweep with half of each class goes through it, and while one
without a limit does. The sweep's jobs only sleep, so that this machine's processors do not matter. Waiting is from
the submit event to the execute event, in whole seconds, as the event log has it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import htcondor2
from bench_overhead import CAPABILITIES, MACHINES, NO_OP, plan, settings
from tabulate import tabulate

from sweep import events
from sweep.places import EVENTS, PARENT_DAG, cache_dir
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import ensure_condor

JOB = """
executable            = /bin/sleep
arguments             = 2
transfer_executable   = false
request_cpus          = 1
request_memory        = 100MB
request_disk          = 10MB
request_gpus          = 1
require_gpus          = Capability == $(capability)
accounting_group_user = colleague
log                   = {log}
queue capability in ({capabilities})
"""
EVERY = 3  # seconds
TUPLES, SLEEP = 64, 12


def waits(log: Path, goes_on: Callable[[], bool]) -> list[int]:
    """Submit the colleague's jobs as long as it goes on; how many seconds each waited."""
    text = JOB.format(log=log, capabilities=", ".join(CAPABILITIES))
    while goes_on():
        subprocess.run(["condor_submit", "-"], input=text, text=True, check=True, stdout=subprocess.DEVNULL)
        time.sleep(EVERY)
    subprocess.run(["condor_wait", str(log)], check=True, stdout=subprocess.DEVNULL)
    submitted: dict[tuple[int, int], int] = {}
    found = []
    for event in htcondor2.JobEventLog(str(log)).events(stop_after=0):
        if event.type is htcondor2.JobEventType.SUBMIT:
            submitted[event.cluster, event.proc] = event.timestamp
        elif event.type is htcondor2.JobEventType.EXECUTE:
            found.append(event.timestamp - submitted[event.cluster, event.proc])
    return found


def beside(scratch: Path, pool: SandboxPool, share: float) -> list[int]:
    """How long they waited beside a sweep that may have a share of the devices."""
    there = scratch / f"share-{share}"
    there.mkdir()
    file = settings(there, TUPLES, pool, share)
    here, _, _ = plan(file, NO_OP + f"sleep {SLEEP}\n")
    subprocess.run([sys.executable, "-m", "sweep", "submit", here], check=True, stdout=subprocess.DEVNULL)
    while not any(h.attempts for h in events.read(here / EVENTS).histories.values()):
        time.sleep(1)
    over = here / f"{PARENT_DAG}.metrics"
    return waits(there / "colleague.log", lambda: not over.is_file())


def main() -> None:
    """Measure and print."""
    machines = [
        m.model_copy(update={"devices": tuple(d.model_copy(update={"count": 2}) for d in m.devices)})
        for m in MACHINES
    ]
    with (
        tempfile.TemporaryDirectory() as scratch,
        SandboxPool(ensure_condor(cache_dir(), print), Path(scratch) / "pool", machines) as pool,
    ):
        os.environ.update(pool.environment)
        htcondor2.reload_config()
        end = time.monotonic() + 60
        found = {"alone": waits(Path(scratch) / "alone.log", lambda: time.monotonic() < end)}
        for share in (0.5, 1.0):
            found[f"beside a sweep, share {share}"] = beside(Path(scratch), pool, share)
    rows = [
        [name, len(each), statistics.median(each), statistics.quantiles(each, n=20)[-1], max(each)]
        for name, each in found.items()
    ]
    print(f"the sweep's jobs sleep {SLEEP} s, on two devices of each of {len(CAPABILITIES)} capabilities")
    print(tabulate(rows, headers=["a colleague's jobs", "jobs", "median wait, s", "95 %", "longest"]))


if __name__ == "__main__":
    main()
