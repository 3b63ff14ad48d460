"""The command line: the parent, or one of its children.

Exit code: 0 when a verdict was reached (result.json has the state `done`), 75 when not.
"""

from __future__ import annotations

import argparse

from . import child
from .parent import Parent


def main() -> int:
    """The exit code; see `--help`."""
    parser = argparse.ArgumentParser(description="Run a framework's probe and record the rungs that it climbs.")
    parser.add_argument("--result", help="result.json: read if there, then rewritten")
    parser.add_argument("--tuple", default="", help="the tuple's id")
    parser.add_argument("--probe", required=True, help="the framework's probe file")
    parser.add_argument("--capability", required=True, help="the compute capability that the job asked for")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for everything")
    parser.add_argument(
        "--speed-limit", type=float, default=60.0, help="seconds of them to measure in; 0: do not measure"
    )
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=("node", "ladder", "speed"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child.run(options)
    elif options.result is None:
        parser.error("--result is missing")
    return Parent(options).run()
