"""Runs a project's own command on the execute node, in the tuple's environment, and records what became of it.

It unpacks payload.tar into a directory of its own and runs payload.sh there, with a limit on its time. Three files
of bounded size are left: payload.json, what it printed in payload.out, and its JUnit file, if any, in payload.xml.
Standard library only, Python 3.8 or newer.

Exit code 0: payload.json says what happened. Anything else: the command could not be run at all.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import time
from typing import Any, Dict, List, Optional

DIRECTORY = "payload"
HEAD = 32 * 1024  # bytes of its output that are kept from the beginning
TAIL = 224 * 1024  # and from the end
JUNIT_LIMIT = 5 * 1024 * 1024  # bytes
GRACE = 10.0  # seconds between SIGTERM and SIGKILL, and for the rest of its output


class Kept:
    """The beginning and the end of a stream."""

    def __init__(self) -> None:
        self.head = b""
        self.tail = b""
        self.size = 0

    def add(self, data: bytes) -> None:
        """More of the stream."""
        self.size += len(data)
        room = HEAD - len(self.head)
        self.head += data[:room]
        self.tail = (self.tail + data[room:])[-TAIL:]

    def text(self) -> bytes:
        """What is kept, with a line about what is not."""
        left_out = self.size - len(self.head) - len(self.tail)
        middle = b"\n... %d bytes left out ...\n" % left_out if left_out else b""
        return self.head + middle + self.tail


def reached(rung: str) -> bool:
    """Whether the probe's result says that it passed a rung."""
    try:
        with open("result.json", encoding="utf-8") as file:
            rungs = json.load(file)["rungs"]
        return any(each["rung"] == rung and each["outcome"] == "passed" for each in rungs)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def write(record: Dict[str, Any]) -> None:
    """Write payload.json, whole or not at all."""
    with open("payload.json.new", "w", encoding="utf-8") as file:
        json.dump(record, file)
    os.replace("payload.json.new", "payload.json")


told_to_go: List[int] = []  # the signals that this process has had


def note_signal(number: int, _: object) -> None:
    """A signal to this process ends the command too."""
    told_to_go.append(number)


def end_group(process: "subprocess.Popen[bytes]") -> None:
    """End the command with everything that it has started, first politely."""
    for number, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        try:
            os.killpg(process.pid, number)
        except OSError:
            return  # nobody is left
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    return


def run(limit: float, tuple_id: str, kept: Kept) -> "tuple[Optional[int], str]":
    """Run payload.sh; its exit code (negative: a signal) and how it ended: `exited`, `timeout` or `interrupted`."""
    script = os.path.abspath("payload.sh")
    process = subprocess.Popen(
        ["sh", script],
        cwd=DIRECTORY,
        env={**os.environ, "SWEEP_TUPLE": tuple_id},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    pipe = process.stdout.fileno()
    os.set_blocking(pipe, False)
    end = time.monotonic() + limit
    how = "exited"
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        # What goes on in the background with the pipe in its hands is not waited for.
        while process.poll() is None:
            if told_to_go or time.monotonic() > end:
                how = "interrupted" if told_to_go else "timeout"
                break
            if not selector.get_map():
                time.sleep(0.1)
            elif selector.select(0.2):
                data = os.read(pipe, 1 << 16)
                kept.add(data)
                if not data:
                    selector.unregister(pipe)
    end_group(process)
    drain(pipe, kept)
    return process.poll(), how


def drain(pipe: int, kept: Kept) -> None:
    """Take what is left in the pipe; who has left the group may still hold it, or go on writing for ever."""
    end = time.monotonic() + GRACE
    while time.monotonic() < end:
        try:
            data = os.read(pipe, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            return
        kept.add(data)


def take_junit(path: str) -> str:
    """Copy the JUnit file to payload.xml; what is wrong with it, or nothing."""
    inside = os.path.realpath(DIRECTORY)
    found = os.path.realpath(os.path.join(DIRECTORY, path))
    if not found.startswith(inside + os.sep):
        return "%s leads out of the payload's directory" % path
    try:
        status = os.stat(found)
    except OSError:
        return "%s was not written" % path
    if not stat.S_ISREG(status.st_mode) or status.st_size > JUNIT_LIMIT:
        return "%s is no file of at most %d bytes" % (path, JUNIT_LIMIT)
    shutil.copyfile(found, "payload.xml")
    return ""


def main(words: List[str]) -> int:
    """The command line; paths are relative to the job's directory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tuple", required=True)
    parser.add_argument("--limit", type=float, required=True, help="seconds")
    parser.add_argument("--junit", help="where the command writes a JUnit file, below its directory")
    parser.add_argument("--after", help="the rung that the probe must have passed")
    chosen = parser.parse_args(words)
    record = {"schema": "sweep.payload/1", "tuple": chosen.tuple, "ended": "skipped", "seconds": 0.0, "note": ""}
    if chosen.after and not reached(chosen.after):
        write({**record, "note": "the probe did not pass its %s rung" % chosen.after})
        return 0
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note_signal)
    os.makedirs(DIRECTORY, exist_ok=True)
    with tarfile.open("payload.tar") as archive:
        archive.extractall(DIRECTORY)  # noqa: S202 - the access point has made it
    kept = Kept()
    began = time.monotonic()
    code, how = run(chosen.limit, chosen.tuple, kept)
    record["seconds"] = round(time.monotonic() - began, 3)
    with open("payload.out", "wb") as file:
        file.write(kept.text())
    note = take_junit(chosen.junit) if chosen.junit else ""
    write({**record, "ended": how, "exit_code": code, "output_bytes": kept.size, "note": note})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
