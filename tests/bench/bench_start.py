"""Measures what a person waits for: the command's start, and one more environment.

Run with `make bench`; prints medians, asserts nothing. Times are wall seconds on the machine at hand.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sweep.channels import Channels, Request
from sweep.lock import write_locks
from sweep.sandbox.channel import build_channel

ROUNDS = 15
NODE = ("__unix=0", "__linux=4.18.0", "__glibc=2.28", "__archspec=1=x86_64_v2", "__cuda=12.0")


def median(what: str, action: Callable[[], object], rounds: int = ROUNDS) -> None:
    """Run an action several times and print the median and the slowest."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    print(f"{what:<55} median {statistics.median(times):7.3f} s   slowest {max(times):7.3f} s   ({rounds} rounds)")


def main() -> None:
    """Measure and print."""
    median("sweep --help", lambda: subprocess.run([sys.executable, "-m", "sweep", "--help"], capture_output=True))
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(scratch)
        median("build the sandbox's channel", lambda: build_channel(there / f"c{time.time_ns()}", sys.executable), 3)
        channel = build_channel(there / "channel", sys.executable)
        channels = Channels(there / "cache", "linux-64")
        request = Request((channel,), ("pytorch 2.8.*", "cuda-version 12.9.*", "python 3.12.*"), NODE)
        median("solve one environment (sandbox channel)", lambda: channels.solve_all({"e": request}))
        solution = channels.solve_all({"e": request})["e"]
        median("write its locks", lambda: write_locks(there / "environment", request, solution, "linux-64"))


if __name__ == "__main__":
    main()
