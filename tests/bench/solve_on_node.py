"""A job that solves an environment on the execute node and prints unsatisfiable, cpu-build or solved.

Usage: solve_on_node.py CHANNEL CUDA SPEC...; CUDA is the runtime that the node's driver supports at least. The solver
and what counts as a CUDA build are the sweeper's own, with an empty cache as a fresh node has.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sweep.builds import cuda_of
from sweep.channels import Channels, Refusal, Request


def main(channel: str, cuda: str, *specs: str) -> str:
    """Solve once."""
    virtual = ("__unix=0", "__linux=5.14", "__glibc=2.34", f"__cuda={cuda}")
    channels = Channels(Path.cwd() / "repodata", "linux-64")
    answer = channels.solve_all({"here": Request((channel,), specs, virtual)})["here"]
    if isinstance(answer, Refusal):
        return "unsatisfiable"
    build = answer.build_of("pytorch")
    return "solved" if build is not None and cuda_of(build).cuda else "cpu-build"


if __name__ == "__main__":
    print(main(*sys.argv[1:]))
