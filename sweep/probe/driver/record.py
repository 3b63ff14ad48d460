"""result.json in memory and on disk: rewritten by rename after every change, so it is whole whenever the job ends.

It takes the file over from the job's wrapper and keeps what that wrote.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from typing import Any, Dict, List, Optional

from .common import MESSAGE_CHARS, SHORT_CHARS, Facts, clean
from .rungs import RUNGS

TAIL_BYTES = 16384  # of the children's output
MOST_OUTPUT = 4 * 2**20  # bytes of it that go to the job's standard error
MOST_MEASURES = 16


class Record:
    """What is known so far."""

    def __init__(self, path: str, tuple_id: str) -> None:
        self.path = path
        self.began = time.monotonic()
        self.stderr = b""
        self.closed = False  # the ladder is: what is written after it explains nothing of it
        self.passed_on = 0
        self.began_rung: float = self.began
        self.data: Facts = {"schema": "sweep.result/1", "tuple": clean(tuple_id, SHORT_CHARS)}
        self.data.update(steps=[], node={})
        try:
            with open(path, encoding="utf-8") as file:
                self.data.update(json.load(file))
        except (OSError, ValueError) as error:
            sys.stderr.write("driver: %s is not readable (%s): starting a new one\n" % (path, error))
        self.data["state"] = "running"
        self.data["rungs"] = []
        self.data["framework"] = None
        self.data["speed"] = []

    def save(self) -> None:
        """Write by rename. On a full disk the wrapper's reserve is given up; if that is not enough, OSError."""
        self.data["stderr"] = clean(self.stderr.decode("utf-8", "replace"), TAIL_BYTES)
        text = json.dumps(self.data, indent=1) + "\n"
        temporary = self.path + ".new"
        for last in (False, True):
            try:
                with open(temporary, "w", encoding="ascii") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self.path)
                return
            except OSError as error:
                if last or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                try:
                    os.unlink(os.path.join(os.path.dirname(self.path), "reserve"))
                except OSError:
                    pass

    @property
    def running(self) -> Optional[Facts]:
        """The rung that has begun and not ended, if any."""
        rungs: List[Facts] = self.data["rungs"]
        return rungs[-1] if rungs and rungs[-1]["outcome"] == "running" else None

    def take_output(self, data: bytes) -> None:
        """Keep the tail of what a child writes until the ladder is closed; pass on what fills no disk."""
        if not self.closed:
            self.stderr = (self.stderr + data)[-TAIL_BYTES:]
        if self.passed_on < MOST_OUTPUT:
            self.passed_on += len(data)
            try:
                os.write(2, data)
            except OSError:
                pass  # the disk may be full

    # ------------------------------------------------------------- the ladder

    def take_rung(self, message: Any) -> None:
        """Apply one report of the climbing child; one that is out of turn is ignored."""
        rungs, running = self.data["rungs"], self.running
        event, rung = message["event"], message["rung"]
        if event == "begin" and running is None and len(rungs) < len(RUNGS) and rung == RUNGS[len(rungs)]:
            self.begin(rung)
        elif event == "end" and running is not None and running["rung"] == rung:
            facts = message.get("facts") or {}
            running.update({"formats": facts.pop("formats")} if "formats" in facts else {})
            if facts:
                self.data["framework"] = dict(self.data["framework"] or {}, **facts)
            self.end(message["outcome"], message.get("message"), message.get("exception"))
        self.save()

    def begin(self, rung: str) -> None:
        """A rung begins."""
        self.began_rung = time.monotonic()
        self.data["rungs"].append({"rung": rung, "outcome": "running", "seconds": 0.0})

    def end(
        self,
        outcome: str,
        message: Optional[str] = None,
        exception: Optional[str] = None,
        number: Optional[int] = None,
    ) -> None:
        """Close the running rung; where none runs, the next one gets the outcome."""
        if self.running is None and len(self.data["rungs"]) < len(RUNGS):
            self.begin(RUNGS[len(self.data["rungs"])])
        rung = self.running
        if rung is None:
            return
        rung["outcome"] = outcome
        rung["seconds"] = round(time.monotonic() - self.began_rung, 3)
        for key, value in (("message", message), ("exception", exception), ("signal", number)):
            if value is not None:
                rung[key] = value

    def skip_rest(self) -> None:
        """The rungs that were not reached."""
        for rung in RUNGS[len(self.data["rungs"]) :]:
            self.data["rungs"].append({"rung": rung, "outcome": "skipped", "seconds": 0.0})

    def broken(self) -> Optional[Facts]:
        """The rung that was neither passed nor skipped, if any; there is one at most."""
        return next((rung for rung in self.data["rungs"] if rung["outcome"] not in ("passed", "skipped")), None)

    def right(self) -> bool:
        """Whether nothing broke but perhaps the last rung, the compiler's."""
        broken = self.broken()
        return broken is None or broken["rung"] == RUNGS[-1]

    # ------------------------------------------------------------- what is no rung

    def take_node(self, message: Dict[str, Any]) -> None:
        """What a child found out about the driver's library."""
        self.data["node"]["library"] = message["library"]
        self.save()

    def take_measure(self, message: Dict[str, Any]) -> None:
        """One figure of the workload."""
        if len(self.data["speed"]) < MOST_MEASURES:
            self.data["speed"].append(message["measure"])
            self.save()

    def step(
        self, name: str, began: float, ok: bool, kind: Optional[str] = None, message: Optional[str] = None
    ) -> None:
        """How a step ended, or stands."""
        step: Facts = {"name": name, "ok": ok, "seconds": round(time.monotonic() - began, 3)}
        if not ok:
            step.update(kind=kind, message=clean(message, MESSAGE_CHARS))
        self.data["steps"] = [s for s in self.data["steps"] if s.get("name") != name] + [step]

    def finish(self) -> None:
        """A verdict was reached."""
        self.data["state"] = "done"
        self.data["ended"] = round(time.time(), 3)
