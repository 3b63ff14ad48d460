"""Makes the three stored sweeps of this directory anew: real sweeps of a sandbox pool that changes between them.

The README beside it says how to call it, and what changes from quarter to quarter.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from sweep.places import cache_dir
from sweep.sandbox import channel, demo
from sweep.sandbox.machines import Machine, read_machines
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import ensure_condor

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
from stored import golden  # noqa: E402

ONLY = ("pytorch-2.10-*", "pytorch-2.8-*", "jax-0.[67]-*", "tensorflow-2.1[89]-*")
QUEUE_LIMIT = 75  # seconds; what another user holds is waited for that long

Machines = tuple[Machine, ...]


def updated(machines: Machines, name: str, **changes: str) -> Machines:
    return tuple(m.model_copy(update=changes) if m.name == name else m for m in machines)


def spring(machines: Machines) -> Machines:
    """Hopper gets a new driver; Turing is set back to an old one."""
    machines = updated(machines, "hopper", driver="580.65.06", runtime="13.0")
    return updated(machines, "turing", driver="470.256.02", runtime="11.4")


def summer(machines: Machines) -> Machines:
    """A new class comes, the oldest one goes, and Turing has its driver back."""
    b200 = {
        "name": "grace",
        "driver": "580.65.06",
        "runtime": "13.0",
        "devices": [{"name": "NVIDIA B200", "capability": "10.0", "memory_mb": 183359, "count": 4}],
    }
    kept = tuple(m for m in spring(machines) if m.name != "kepler")
    return (*updated(kept, "turing", driver="535.104.05", runtime="12.2"), Machine.model_validate(b200))


def repaired(data: str) -> str:
    """The archive of jaxlib 0.7.2 is whole; PyTorch 2.10 for CUDA 12.9 now takes the newest cuDNN."""
    start = data.index("[[corrupt]]")
    without = data[:start] + data[data.index("# ---", start) :]
    capped = '"cudnn >=9.10.2.21,<9.11.0a0",\n    "libcublas >=12.9.1.4,<13.0a0",\n    "triton 3.6.0"'
    assert without.count(capped) == 1
    return without.replace(capped, capped.replace("<9.11.0a0", "<10.0a0"))


@dataclass(frozen=True)
class Quarter:
    """One sweep: its file's name, the pool, the channel's data, and whether another user holds a GPU meanwhile."""

    name: str
    machines: Callable[[Machines], Machines]
    data: Callable[[str], str]
    busy: bool


QUARTERS = (
    Quarter("winter", lambda machines: machines, str, busy=True),
    Quarter("spring", spring, repaired, busy=False),
    Quarter("summer", summer, repaired, busy=False),
)


def run(quarter: Quarter, home: Path) -> None:
    """Run a quarter's sweep on a pool of its own, and store its outcomes.

    The channel's place is the same in every quarter, since its URLs stand in the locks.
    """
    directory = home / quarter.name
    directory.mkdir()
    data = directory / "channel.toml"
    data.write_text(quarter.data(channel.DATA.read_text()))
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(channel, "DATA", data))
        stack.enter_context(mock.patch.dict(os.environ, {"SWEEP_CACHE": str(home / "cache")}))
        prefix = ensure_condor(REAL_CACHE, print)
        pool = stack.enter_context(SandboxPool(prefix, directory / "pool", quarter.machines(read_machines())))
        settings = demo.write_settings(pool, directory, directory / "results", queue_limit=QUEUE_LIMIT)
        if quarter.busy:
            stack.enter_context(demo.another_user(pool))
            stack.enter_context(demo.administrator(pool))
        words = [w for glob in ONLY for w in ("--only", glob)]
        subprocess.run(
            [sys.executable, "-m", "sweep", "--settings", settings, "submit", "--wait", *words],
            env={**os.environ, **pool.environment},
            check=True,
        )
    outcomes = (directory / "results" / "latest" / "outcomes.json").read_text()
    (HERE / f"{quarter.name}.json").write_text(trimmed(outcomes, str(home)))


def trimmed(text: str, directory: str) -> str:
    """Outcomes without the paths of this machine, one line a tuple."""
    data: dict[str, Any] = json.loads(text.replace(directory, "/sandbox"))
    rows = data.pop("tuples")
    head = json.dumps(data, indent=1).removesuffix("\n}")
    return head + ',\n "tuples": [\n' + ",\n".join("  " + json.dumps(row) for row in rows) + "\n ]\n}\n"


REAL_CACHE = cache_dir()


def make_sweeps() -> None:
    home = Path(tempfile.mkdtemp(prefix="quarters-", dir=REAL_CACHE))
    try:
        for each in QUARTERS:
            run(each, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def make_texts() -> None:
    for each in QUARTERS:
        for name, text in golden(each.name).items():
            (HERE / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["texts"]:
        make_sweeps()
    make_texts()
