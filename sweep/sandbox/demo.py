"""The demonstration: a real DAG on a private HTCondor, with simulated GPUs and stand-in packages, to its table."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweep import places
from sweep.errors import SandboxError
from sweep.files import write_atomic
from sweep.sandbox.channel import build_channel
from sweep.sandbox.pool import SandboxPool

# The class whose only device another user holds for the whole demonstration: its tuples wait in vain,
BUSY_CAPABILITY = "6.0"
# but for one, whose waiting job the pool's administrator puts on hold.
HELD_TUPLE = "jax-0.6-cuda12.9-sm60"

_BUSY_JOB = f"""
executable     = /bin/sleep
arguments      = 3600
request_cpus   = 1
request_memory = 100MB
request_disk   = 10MB
request_gpus   = 1
require_gpus   = Capability == {BUSY_CAPABILITY}
transfer_executable = false
+BackgroundUser = true
queue
"""


def write_settings(
    pool: SandboxPool, directory: Path, results: Path, *, queue_limit: int = 120, deadline: int = 900
) -> Path:
    """Build the sandbox's channel and write a sweep.toml that uses it; the limits are seconds.

    Raises:
        SandboxError: the channel cannot be built.
    """
    python = str(Path(sys.executable).absolute())
    channel = build_channel(places.cache_dir() / "channel", python)
    environment = Environment(
        loader=FileSystemLoader(places.templates()),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - TOML, and the values are our own paths
        keep_trailing_newline=True,
    )
    text = environment.get_template("demo.toml.j2").render(
        results=results,
        channel=channel,
        cache=places.cache_dir(),
        python=python,
        condor_config=pool.config_file,
        queue_limit=queue_limit,
        deadline=deadline,
    )
    path = directory / "sweep.toml"
    write_atomic(path, text)
    return path


@contextmanager
def another_user(pool: SandboxPool, seconds: float = 60) -> Iterator[None]:
    """A background job that holds the only GPU of one class while the context lasts.

    Raises:
        SandboxError: the job does not start in time.
    """
    done = _condor(pool, "condor_submit", "-terse", "-", text=_BUSY_JOB)
    job = done.split(".")[0].strip()
    end = time.monotonic() + seconds
    try:
        while _condor(pool, "condor_q", job, "-af", "JobStatus").strip() != "2":
            if time.monotonic() > end:
                raise SandboxError(f"the background job {job} did not start within {seconds:.0f} s")
            time.sleep(0.5)
        yield
    finally:
        _condor(pool, "condor_rm", job)


@contextmanager
def administrator(pool: SandboxPool) -> Iterator[None]:
    """Holds the job of one tuple as soon as it waits in the queue, while the context lasts."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            chosen = f'SweepTuple == "{HELD_TUPLE}" && JobStatus == 1'
            if _condor(pool, "condor_q", "-constraint", chosen, "-af", "ClusterId").strip():
                _condor(pool, "condor_hold", "-reason", "held by the administrator", "-constraint", chosen)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _condor(pool: SandboxPool, *command: str, text: str = "") -> str:
    done = subprocess.run(
        command,
        input=text,
        text=True,
        capture_output=True,
        env={**os.environ, **pool.environment},
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise SandboxError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def run(pool: SandboxPool, results: Path, call: Callable[[list[str]], int], say: Callable[[str], None]) -> int:
    """Run the demonstration in a pool that is up; `call` runs a command in its environment, as this does."""
    settings = write_settings(pool, pool.directory, results)
    sweep = [sys.executable, "-m", "sweep", "--settings", str(settings)]
    say("the pool is up; `sweep pool` shows it")
    call([*sweep, "pool"])
    with another_user(pool), administrator(pool):
        say(f"another user's job has the only GPU of capability {BUSY_CAPABILITY}, so its tuples will wait in vain;")
        say(f"the administrator will hold the job of {HELD_TUPLE}")
        say("`sweep submit --wait` runs the DAG (about two and a half minutes)")
        return call([*sweep, "submit", "--wait"])
