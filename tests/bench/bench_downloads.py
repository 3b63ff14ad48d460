"""Measures what each way of getting packages to jobs asks of the channel's host and of HTCondor.

One environment on every GPU class of a pool of three machines, on a private HTCondor with simulated GPUs, four jobs
at a time. The channel is the sandbox's, with three of the environment's packages padded to 30 MB, behind a server on
this machine that counts. All simulated machines are this one, and share one cache; real ones would fill one each.

Run by hand: python -m sweep.sandbox exec -- python tests/bench/bench_downloads.py; prints, asserts nothing.
"""

from __future__ import annotations

import bz2
import io
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
sys.path.insert(0, str(Path(__file__).parents[1] / "pool"))
from conftest import Site, event_log, outcomes
from counted import Host, counted
from planning import index
from tabulate import tabulate

from sweep import events
from sweep.places import EVENTS, cache_dir
from sweep.sandbox.channel import build_channel
from sweep.sandbox.machines import Device, Machine
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import ensure_condor

MACHINES, CLASSES = 3, 4  # classes of each machine
PADDED = ("pytorch-2.5.1-cuda126*", "libcublas-12.9*", "triton-3.1.0-cuda126*")
PADDING = 30_000_000  # bytes, of the kind that does not compress
WAYS: dict[str, dict[str, Any]] = {
    "fetch": {},
    "fetch, cache": {"cache": "kept"},
    "transfer": {"packages": "transfer"},
    "common": {"packages": "common"},
}


def machines() -> Iterator[Machine]:
    """Machines whose devices are all of one capability, and each of a class of its own."""
    for m in range(MACHINES):
        devices = tuple(
            Device(name=f"NVIDIA Model {m}{c}", capability="8.0", memory_mb=40000) for c in range(CLASSES)
        )
        yield Machine(name=f"node{m}", driver="570.86.15", runtime="12.8", devices=devices)


def padded_channel(target: Path) -> None:
    """The sandbox's channel with some packages made large."""
    build_channel(cache_dir() / "channel", sys.executable)
    shutil.copytree(cache_dir() / "channel", target)
    metadata = target / "linux-64" / "repodata.json"
    repodata = json.loads(metadata.read_text())
    for pattern in PADDED:
        for archive in target.glob(f"linux-64/{pattern}"):
            tar = io.BytesIO(bz2.decompress(archive.read_bytes()))
            with tarfile.open(fileobj=tar, mode="a") as whole:
                entry = tarfile.TarInfo("share/padding")
                entry.size = PADDING
                whole.addfile(entry, io.BytesIO(os.urandom(PADDING)))
            archive.write_bytes(bz2.compress(tar.getvalue(), 1))
            del repodata["packages"][archive.name]  # what is in it already is not looked at again
    metadata.write_text(json.dumps(repodata))
    index(target)


def measure(pool: SandboxPool, home: Path, name: str, host: Host) -> tuple[object, ...]:
    """One sweep: what was asked of the host, what HTCondor transferred, and how long it took."""
    directory = home / name.replace(", ", "-")
    directory.mkdir()
    downloads = {key: str(directory / value) if key == "cache" else value for key, value in WAYS[name].items()}
    began = time.monotonic()
    site = Site(
        pool,
        directory,
        conda={"channels": [host.url], "cache": str(directory / "cache")},
        gpus={"capabilities": ["8.0"]},
        space={"one_per": "gpu-class"},
        downloads=downloads,
        load={"share": 4 / (MACHINES * CLASSES), "share_of": "capability"},
        resources={"memory": "500MB", "disk": "2GB"},
        **{"frameworks.pytorch": {"versions": ["2.5"]}},
    )
    run = site.start()
    planned = time.monotonic() - began
    assert site.end(run) == 0, site.account(run.here)
    lasted = time.monotonic() - began
    found = list(outcomes(run.here).values())
    attempts = [a for h in events.read(run.here / EVENTS).histories.values() for a in h.attempts]
    common = sum(e.kind == "COMMON_FILES" and "Started" in str(e.fields.values()) for e in event_log(run.here))
    size = sum(path.stat().st_size for path in run.here.glob("environments/*/job/packages/*/*"))
    told = sum(each.get("transferred_bytes", 0) for each in found)
    print(name, Counter(each["cause"] for each in found), flush=True)
    return (
        name, len(found), len({a.machine for a in attempts}), sum(host.packages.values()), len(host.packages),
        host.sent / 1e6, told / 1e6, common * size / 1e6, sum(each.get("fetched_bytes", 0) for each in found) / 1e6,
        sum(a.seconds(0) for a in attempts) / len(attempts), lasted, planned,
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        channel = home / "channel"
        padded_channel(channel)
        rows = []
        with SandboxPool(ensure_condor(cache_dir(), print), home / "pool", tuple(machines())) as pool:
            os.environ.update(pool.environment)
            for name in WAYS:
                with counted(channel) as host:
                    rows.append(measure(pool, home, name, host))
    headers = [
        "way", "tuples", "machines", "requests for packages", "packages", "MB from the host",
        "MB by HTCondor", "MB as common files", "MB fetched by jobs", "s on a slot, mean", "s in all", "s submitting",
    ]  # fmt: skip
    print(tabulate(rows, headers=headers, floatfmt=".1f"))


if __name__ == "__main__":
    main()
