"""Starting a child of the driver, following it, and killing it with all that it started."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import selectors
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Optional, Tuple

from .record import Record

LINE_BYTES = 262144  # of one report; a longer one is not ours
REAP_SECONDS = 10.0  # for a killed child to go; one stuck in the GPU's driver may never
CACHES = {
    "CUDA_CACHE_PATH": "cuda-cache",  # the driver's own, of what it compiles from PTX; else in the home directory
    "CUPY_CACHE_DIR": "cupy-cache",
    "MPLCONFIGDIR": "matplotlib",
    "NUMBA_CACHE_DIR": "numba-cache",
    "TORCHINDUCTOR_CACHE_DIR": "inductor-cache",
    "TRITON_CACHE_DIR": "triton-cache",
    "XDG_CACHE_HOME": "cache",
}

Child = Tuple["subprocess.Popen[bytes]", int, int]


def own_environment(work: str) -> Dict[str, str]:
    """The environment of a child: every place that a framework may want to write to lies in the job's directory.

    A job may have no home directory, its user no name, and the system may be read-only.
    """
    environment = dict(os.environ)
    for name, directory in {"HOME": "home", "TMPDIR": "tmp", **CACHES}.items():
        if name in CACHES or not _writable(environment.get(name)):
            environment[name] = os.path.join(work, directory)
            os.makedirs(environment[name], exist_ok=True)
    if not _has_name():
        environment.setdefault("USER", "probe")
        environment.setdefault("LOGNAME", environment["USER"])
    return environment


def _writable(directory: Optional[str]) -> bool:
    return bool(directory) and os.path.isdir(str(directory)) and os.access(str(directory), os.W_OK | os.X_OK)


def _has_name() -> bool:
    try:
        return bool(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return False


def start(options: argparse.Namespace, task: str) -> Child:
    """A child in a session of its own, and the read ends of its report and output pipes."""
    report_read, report_write = os.pipe()
    command = [sys.executable, "-s", "-B", os.path.abspath(sys.argv[0]), "--child", str(report_write), "--task", task]
    command += ["--probe", os.path.abspath(options.probe), "--capability", options.capability]
    work = os.path.join(os.path.dirname(os.path.abspath(options.result)), "work")
    os.makedirs(work, exist_ok=True)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[report_write],
        start_new_session=True,
        cwd=work,
        env=own_environment(work),
    )
    os.close(report_write)
    assert child.stdout is not None
    return child, report_read, child.stdout.fileno()


def kill(child: "subprocess.Popen[bytes]") -> None:
    """Kill a child, also one that has ended, and all that it started. What does not go is left to HTCondor."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except OSError:
        pass
    try:
        child.wait(REAP_SECONDS)
    except subprocess.TimeoutExpired:
        pass


def follow(started: Child, record: Record, take: Callable[[Any], None], deadline: Callable[[], float]) -> bool:
    """Follow a child until it ends or its deadline passes; whether it ended by itself.

    Args:
        started: the child and its pipes; the report pipe is closed at the end.
        record: gets the child's output.
        take: gets each report; what is none of ours is dropped.
        deadline: by the monotonic clock; asked again and again, since each rung has its own.
    """
    child, report, output = started
    selector = selectors.DefaultSelector()
    for fd in (report, output):
        os.set_blocking(fd, False)
        selector.register(fd, selectors.EVENT_READ)
    pending = b""
    try:
        while True:
            gone = child.poll() is not None  # asked before the pipes are read, so that nothing is left in them
            remaining = deadline() - time.monotonic()
            if remaining <= 0 and not gone:
                return False
            # A child that closed its pipes, or left them to a helper, is noticed by polling.
            ready = selector.select(0 if gone else min(remaining, 0.25)) if selector.get_map() else []
            if not ready and not gone and not selector.get_map():
                time.sleep(0.05)
            data_seen = False
            for key, _ in ready:
                try:
                    data = os.read(key.fd, 65536)
                except BlockingIOError:
                    continue
                if not data:
                    selector.unregister(key.fd)
                    continue
                data_seen = True
                if key.fd == output:
                    record.take_output(data)
                    continue
                *lines, pending = (pending + data).split(b"\n")
                pending = pending[-LINE_BYTES:]
                for line in lines:
                    _take(take, line)
            if gone and (not data_seen or remaining <= 0):
                return True
    finally:
        selector.close()
        os.close(report)


def _take(take: Callable[[Any], None], line: bytes) -> None:
    try:
        message = json.loads(line.decode("ascii"))
        take(message)
    except (ValueError, KeyError, TypeError):
        pass  # not a report
