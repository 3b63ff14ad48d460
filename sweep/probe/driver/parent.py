"""Runs the children one after the other and draws the line: a verdict was reached, or another machine has to tell."""

from __future__ import annotations

import argparse
import errno
import os
import signal
import time
import traceback
from typing import Any, Callable, Optional

from . import process
from .blame import machine_at_fault, machine_at_fault_for_crash
from .common import Elsewhere, Interrupted, WrongDevice
from .libcuda import form_of_visible, processor, trouble
from .record import Record
from .rungs import RUNGS
from .slot import add_devices, real_devices

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: no verdict, HTCondor tries another machine
NODE_SECONDS = 30.0  # for the driver's library; a driver in trouble may never answer
SHARE = 0.5  # of the ladder's time that one rung may take
WITHOUT_GPU = ("import", "cuda-build")  # rungs that touch no device


class Parent:
    """One run of the driver; `child` is the process in progress."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.record = Record(os.path.abspath(options.result), options.tuple)
        self.child: Optional[Any] = None
        self.reached = False  # a verdict, and it is on the disk
        self.end = 0.0  # of the time for ladder and measures together, by the monotonic clock

    def run(self) -> int:
        """Everything; the exit code."""
        record = self.record
        handle_signals(_interrupt)
        try:
            self.node()
            self.ladder()
            record.step("probe", record.began, True)
            record.finish()
            record.save()
            self.reached = True
            self.speed()
        except Interrupted as interruption:
            return self.leave("killed", "the probe was interrupted by %s" % interruption)
        except Elsewhere as error:
            return self.leave("elsewhere", str(error))
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            return self.leave("disk-full" if full else "other", "%s: %s" % (type(error).__name__, error))
        except Exception as error:
            traceback.print_exc()
            return self.leave("other", "%s: %s" % (type(error).__name__, error))
        return 0

    def leave(self, kind: str, message: str) -> int:
        """End early: without a verdict, and why; or with the one that was reached, which nothing changes any more."""
        handle_signals(signal.SIG_IGN)
        try:
            if self.reached:
                return 0
            self.record.data["state"] = "running"
            self.record.step("probe", self.record.began, False, kind, message)
            self.record.save()
        finally:
            if self.child is not None:
                process.kill(self.child)
        return TRY_AGAIN

    def follow(self, task: str, take: Callable[[Any], None], deadline: Callable[[], float]) -> bool:
        """Run a child to its end; whether it ended by itself. Its helpers are gone in any case."""
        started = process.start(self.options, task)
        self.child = started[0]
        ended = process.follow(started, self.record, take, deadline)
        process.kill(started[0])
        return ended

    def node(self) -> None:
        """What the machine says of itself; nothing of it fails a tuple, but it explains what does."""
        node = self.record.data["node"]
        add_devices(node)
        node["visible_form"] = form_of_visible()
        node["cpu"] = processor() or None
        self.record.save()
        limit = time.monotonic() + NODE_SECONDS
        ended = self.follow("node", self.record.take_node, lambda: limit)
        if "library" not in node:
            how = "ended with code %s" % self.child.returncode if ended and self.child else "did not answer"
            node["library"] = {"loads": True, "problem": "the process that asked the driver's library %s" % how}

    def ladder(self) -> None:
        """Climb, and judge how it ended."""
        record = self.record
        limit: float = self.options.limit
        self.end = end = time.monotonic() + limit

        def deadline() -> float:
            return min(end, record.began_rung + SHARE * limit) if record.running else end

        ended = self.follow("ladder", record.take_rung, deadline)
        assert self.child is not None
        late = "the ladder's %g s" % limit if time.monotonic() >= end else "a rung's %g s" % (SHARE * limit)
        stuck = not ended and self.child.poll() is None
        judge(record, None if not ended else self.child.returncode, late)
        if stuck:
            raise Elsewhere("the probe process outlives SIGKILL: it is stuck in the kernel")
        blame_machine(record)

    def speed(self) -> None:
        """Measure, where all but the compiler is right; a failure or a hang changes nothing."""
        if not self.options.speed_limit or not self.record.right():
            return
        began = time.monotonic()
        limit = min(began + self.options.speed_limit, self.end)
        ended = self.follow("speed", self.record.take_measure, lambda: limit)
        assert self.child is not None
        code = self.child.returncode
        if ended and code == 0:
            self.record.step("speed", began, True)
        elif ended:
            self.record.step("speed", began, False, "other", "the process that measured ended with code %s" % code)
        else:
            self.record.step("speed", began, False, "timeout", "no end after %g s" % (limit - began))
        self.record.save()


def judge(record: Record, code: Optional[int], late: str) -> None:
    """Close the rung that the child died or hung in, and the ladder.

    Args:
        record: the ladder as the child reported it.
        code: what the child returned, or None if it was out of time.
        late: which time it was out of.

    Raises:
        RuntimeError: the child never reached the first rung; that says nothing about the framework.
    """
    rungs = record.data["rungs"]
    if code is None:
        record.end("hung", "the rung had not ended when %s had passed" % late)
    elif not rungs:
        raise RuntimeError("the probe process ended with code %s before its first rung" % code)
    elif record.running is not None and code < 0:
        record.end("crashed", "killed by %s" % signal_name(-code), number=-code)
    elif record.running is not None:
        record.end("failed", "the probe process ended with exit code %s" % code, exception="Exited")
    elif rungs[-1]["outcome"] != "failed" and len(rungs) < len(RUNGS):
        raise RuntimeError("the probe process ended with code %s between two rungs" % code)
    record.skip_rest()
    record.closed = True


def blame_machine(record: Record) -> None:
    """Tell apart what the machine did and what the framework did, where the ladder broke.

    Raises:
        Elsewhere: the device is another one than was asked for, what a rung said or the signal that ended it is the
            machine's doing, the driver's own library shows no device either, or a rung hung that touches no device.
    """
    broken = record.broken()
    if broken is None:
        return
    rung, outcome, said = broken["rung"], broken["outcome"], broken.get("message") or ""
    if broken.get("exception") == WrongDevice.__name__:
        raise Elsewhere(said)
    if rung == RUNGS[-1]:
        return  # kernels have run before it, whatever becomes of it
    if outcome == "hung" and rung in WITHOUT_GPU:
        raise Elsewhere("rung %s: %s; it touches no device: the disk or the network is slow" % (rung, said))
    node, stderr = record.data["node"], record.stderr.decode("utf-8", "replace")
    reason = trouble(node["library"]) if real_devices(node) and rung not in WITHOUT_GPU else None
    if reason is not None:
        raise Elsewhere("rung %s: %s; without any framework: %s" % (rung, said, reason))
    rule = None
    if outcome == "failed":
        said = "%s: %s" % (broken.get("exception"), said)
        rule = machine_at_fault(rung, said, stderr)
    elif outcome == "crashed":
        rule = machine_at_fault_for_crash(rung, signal_name(broken["signal"]), stderr)
    if rule is not None:
        raise Elsewhere("rung %s: %s (rule %s)" % (rung, said, rule))


def signal_name(number: int) -> str:
    """SIGTERM for 15, as far as Python knows the number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number


def handle_signals(handler: Any) -> None:
    """Install a handler for every signal that tells a job to go."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, handler)


def _interrupt(number: int, frame: Any) -> None:
    raise Interrupted(signal_name(number))
