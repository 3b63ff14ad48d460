"""Measures what planning a large sweep costs: whole plans in processes of their own, and their parts.

Run with `make bench`, in the sandbox's pool; asserts nothing. The collector is a real one, and holds the ads of
`bench_pool` besides the sandbox's own; the channel is that of `big_channel`, over HTTP on this machine. Each plan
varies one thing against the whole of about 50,000 tuples, 700,000 records and 20,000 slots. Times are wall seconds on
the machine at hand, which should have nothing else to do; memory is the peak of the planning process.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
import htcondor2
from bench_pool import slots
from big_channel import big_channel
from planning import served
from repodata import SLICE
from tabulate import tabulate

from sweep import condor, render
from sweep.config import load
from sweep.files import read_model, write_model
from sweep.model import Source
from sweep.places import PLAN
from sweep.schema import Plan
from sweep.settings import Settings

FRAMEWORKS = ("pytorch", "tensorflow", "jax", "cupy", "numba_cuda", "xgboost")
# With 45 versions in the slice, 60 GPU classes and the sandbox's 9 some 50,000 tuples.
RUNTIMES = (
    *("11.6", "11.7", "11.8", "12.0", "12.1", "12.2", "12.3", "12.4", "12.5", "12.6", "12.8", "12.9"),
    *("13.0", "13.1", "13.2", "13.3"),
)
RECORDS, SLOTS = 700_000, 20_000
MIB = 1024  # KiB


@dataclass(frozen=True)
class Planned:
    """A plan that was made, and what it cost: wall seconds, seconds of CPU, and MiB at the peak."""

    plan: Plan
    settings: Settings
    seconds: float
    cpu: float
    peak: int


def plan(directory: Path, channel: str, cache: Path, runtimes: tuple[str, ...] = RUNTIMES) -> Planned:
    """Run `sweep plan` on a channel."""
    home = Path(tempfile.mkdtemp(dir=directory))
    settings = home / "sweep.toml"
    # The slice has no archive to take micromamba from.
    tables = {
        "sweep": {"results": str(home / "results")},
        "cuda": {"runtimes": runtimes},
        "space": {"one_per": "gpu-class"},
        "conda": {
            "channels": [channel], "cache": str(cache), "installer": "rattler", "installer_python": sys.executable,
        },
        **{f"frameworks.{name}": {"versions": ">=0"} for name in FRAMEWORKS},
    }  # fmt: skip
    settings.write_text(
        "".join(
            f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
            for name, table in tables.items()
        )
    )
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "sweep", "--settings", settings, "plan"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as child:
        assert child.stdout is not None
        said = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    assert child.returncode == 0, said
    made = next(home.glob(f"results/*/{PLAN}"))
    cpu = usage.ru_utime + usage.ru_stime
    return Planned(read_model(made, Plan, "sweep plan"), load(settings), seconds, cpu, usage.ru_maxrss // MIB)


def stop_negotiator() -> None:
    """The sandbox's looks at the whole pool every second or two: a core's work, where the pool is so large."""
    subprocess.run([condor.tool("condor_off"), "-negotiator"], stdout=subprocess.DEVNULL, check=True)


def advertise(count: int) -> None:
    """Have the pool's collector know `count` slots, besides the sandbox's own."""
    ads = list(slots(count))
    for ad in ads:
        ad["MyAddress"] = "<127.0.0.1:9>"  # the collector wants one; nobody is there
    htcondor2.Collector().advertise(ads, "UPDATE_STARTD_AD")
    known = 0
    while known < count:
        time.sleep(0.5)
        known = len(htcondor2.Collector().query(htcondor2.AdType.Startd, projection=["Name"]))


def timed(what: str, action: Callable[[], object]) -> None:
    """Run an action once and print how long it took."""
    began = time.perf_counter()
    action()
    print(f"{time.perf_counter() - began:6.2f} s  {what}", flush=True)


def first_tuples(whole: Planned, count: int) -> Plan:
    """A plan that submits `count` of its tuples and has no others."""
    chosen = (t.model_copy(update={"submitted": True}) for t in whole.plan.tuples[:count])
    return whole.plan.model_copy(update={"tuples": tuple(chosen)})


def shown(plans: Mapping[str, Planned]) -> str:
    """A table of plans: their size, cost, and seconds by stage."""
    stages = dict.fromkeys(stage for made in plans.values() for stage in made.plan.timings)
    rows = {
        "tuples": [len(made.plan.tuples) for made in plans.values()],
        "to submit": [sum(t.submitted for t in made.plan.tuples) for made in plans.values()],
        "environments": [len(made.plan.environments) for made in plans.values()],
        "slots": [made.plan.pool.slots for made in plans.values()],
        "peak MiB": [made.peak for made in plans.values()],
        **{stage: [f"{made.plan.timings[stage]:.2f}" for made in plans.values()] for stage in stages},
        "all": [f"{made.seconds:.2f}" for made in plans.values()],
        "seconds of CPU": [f"{made.cpu:.2f}" for made in plans.values()],
    }
    return tabulate([[name, *values] for name, values in rows.items()], headers=["", *plans], disable_numparse=True)


def main() -> None:
    """Measure and print."""
    if not SLICE.is_dir():
        print(f"there is no slice of real metadata at {SLICE}: the sandbox's few versions make a small space")
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(scratch)
        plans = measured(there)
        print(shown(plans), end="\n\n")
        whole = plans["whole, cold"]
        timings = whole.plan.timings
        for stage in ("solve", "lock"):
            print(f"{timings[stage] / len(whole.plan.environments):6.3f} s  {stage} of one environment, on average")
        for count in (5_000, 10_000):
            some = first_tuples(whole, count)
            work = functools.partial(
                render.write_tuples, some, whole.settings, there / f"render-{count}", {Source.CONDA: ["installer"]}
            )
            timed(f"render {count} tuples with their DAG", work)
        path = there / PLAN
        write_model(path, whole.plan)
        timed(f"read plan.json back ({path.stat().st_size >> 20} MiB)", lambda: read_model(path, Plan, "sweep plan"))


def measured(there: Path) -> dict[str, Planned]:
    """The whole and its halves."""
    found = {}
    stop_negotiator()
    advertise(SLOTS // 2)
    with served(big_channel(RECORDS)) as url:
        plan(there, url, there / "warm")  # fills its cache
        found["half the slots"] = plan(there, url, there / "warm")
        advertise(SLOTS)
        found["half the tuples"] = plan(there, url, there / "warm", RUNTIMES[::2])
        found["whole"] = plan(there, url, there / "warm")
        found["whole, cold"] = plan(there, url, there / "cold")
        shutil.rmtree(there / "cold")
    with served(big_channel(RECORDS // 2)) as url:
        found["half the records, cold"] = plan(there, url, there / "cold")
    return found


if __name__ == "__main__":
    main()
