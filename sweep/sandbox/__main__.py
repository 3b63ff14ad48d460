"""`python -m sweep.sandbox`: the sandbox from the command line; `make` calls it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from sweep.errors import SandboxError, SweepError
from sweep.places import cache_dir, checkout
from sweep.sandbox import demo
from sweep.sandbox.identity import enter
from sweep.sandbox.pool import SandboxPool, remove_dead_pools
from sweep.sandbox.prefix import ensure_condor

_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one of the commands; its exit status is returned."""
    options = _parser().parse_args(arguments)
    again = [sys.executable, "-m", "sweep.sandbox", *(sys.argv[1:] if arguments is None else arguments)]
    try:
        enter(again, writable=[cache_dir(), *([options.results] if "results" in options else [])])
        with _ending_signals_unwind():
            status: int = options.run(options)
            return status
    except SweepError as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sweep.sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    prefix = commands.add_parser("prefix", help="make HTCondor available, and say where it is")
    prefix.set_defaults(run=prefix_command)

    show = commands.add_parser("demo", help="run a whole sweep on simulated GPUs, and print its table")
    show.add_argument("--results", type=Path, default=default_results(), help="where the sweep's directory goes")
    show.set_defaults(run=demo_command)

    execute = commands.add_parser("exec", help="run a command as a user that HTCondor accepts")
    execute.add_argument("--pool", action="store_true", help="with a pool of simulated GPUs while it runs")
    execute.add_argument("argv", nargs="+", metavar="CMD", help="the command, after --")
    execute.set_defaults(run=exec_command)
    return parser


def prefix_command(options: argparse.Namespace) -> int:
    """Makes the private HTCondor, or finds the installed one."""
    prefix = ensure_condor(cache_dir(), say)
    kind = "installed on this machine" if prefix.installed else "private"
    say(f"HTCondor {prefix.version}, {kind}: {prefix.sbin}")
    return 0


def default_results() -> Path:
    """The checkout's results directory; an installed package puts them where the command is run."""
    return (checkout() or Path.cwd()) / "results"


def demo_command(options: argparse.Namespace) -> int:
    """Runs the demonstration and stops its pool."""
    with temporary_pool() as pool:
        return demo.run(pool, options.results.absolute(), lambda argv: call(argv, pool.environment), say)


def exec_command(options: argparse.Namespace) -> int:
    """Runs a command, with a pool or without; the status is the command's."""
    if not options.pool:
        return call(options.argv, {})
    with temporary_pool() as pool:
        return call(options.argv, pool.environment)


@contextlib.contextmanager
def temporary_pool() -> Iterator[SandboxPool]:
    """A pool in a directory of its own in the cache, removed afterwards unless the pool failed to start."""
    prefix = ensure_condor(cache_dir(), say)
    home = cache_dir() / "pools"
    home.mkdir(parents=True, exist_ok=True)
    remove_dead_pools(home)
    directory = Path(tempfile.mkdtemp(prefix="pool-", dir=home))
    say("starting a pool of simulated GPUs")
    started = False
    try:
        with SandboxPool(prefix, directory) as pool:
            started = True
            yield pool
    finally:
        if started:
            shutil.rmtree(directory, ignore_errors=True)


def call(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command to its end; it is ended first when we are told to end."""
    try:
        child = subprocess.Popen(argv, env={**os.environ, **environment})
    except OSError as error:
        raise SandboxError(f"{argv[0]}: cannot be run: {error}") from error
    try:
        status = child.wait()
    except KeyboardInterrupt:  # the terminal sent it to the command too
        status = child.wait()
        if status == 0:
            raise
    except SystemExit:
        child.terminate()
        child.wait()
        raise
    return status if status >= 0 else 128 - status


def say(line: str) -> None:
    """Tells the user what is going on."""
    print(f"sandbox: {line}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _ending_signals_unwind() -> Iterator[None]:
    """Turns the first ending signal into an exception, so that pools are stopped on the way out."""

    def unwind(number: int, frame: FrameType | None) -> None:
        for each in _ENDING_SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    # A signal that is ignored already stays so: nohup means it.
    heeded = [each for each in _ENDING_SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]
    before = {each: signal.signal(each, unwind) for each in heeded}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


if __name__ == "__main__":
    sys.exit(main())
