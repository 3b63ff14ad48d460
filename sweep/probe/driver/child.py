"""What a child of the driver does: climb the ladder, ask the driver's library, or measure."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import sys
import traceback
from typing import Any, Callable, Dict

from . import libcuda, speed
from .common import MESSAGE_CHARS, SHORT_CHARS, Facts, attached, clean, describe
from .rungs import LADDER, tidy

Report = Callable[[Facts], None]

# What a probe file is made of; sweep/probe/pytorch.py is the pattern.
PARTS = (
    *("LACKS", "FORMATS", "BENCHES", "load", "cuda_build", "device", "copy", "matmul", "total", "cudnn", "conv"),
    *("gradient", "jit", "bench"),
)


def run(options: argparse.Namespace) -> None:
    """Do the task, and leave without unwinding."""
    die_with_parent()
    os.set_inheritable(options.child, False)  # a compiler's helpers must not hold the pipe open

    def report(message: Facts) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(options.child, (json.dumps(message) + "\n").encode("ascii"))

    tasks: Dict[str, Callable[[], None]] = {
        "node": lambda: look(report),
        "ladder": lambda: climb(load_probe(options.probe), options.capability, report),
        "speed": lambda: measure(load_probe(options.probe), report),
    }
    tasks[options.task]()
    sys.stdout.flush()
    sys.stderr.flush()
    # A crash while the libraries unload says nothing about the rungs.
    os._exit(0)


def die_with_parent() -> None:
    """Let the kernel kill this process when the driver is killed; without that, HTCondor has to find it."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
    except Exception:
        pass  # not Linux, or a Python without ctypes


def load_probe(path: str) -> Any:
    """The framework's probe file as a module. It may be named like the package that it imports, so by its path.

    Raises:
        AttributeError: a part of a probe is missing from it; that says nothing about the framework.
    """
    here = os.path.realpath(os.path.dirname(os.path.abspath(path)))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != here]
    spec = importlib.util.spec_from_file_location("framework_probe", path)
    assert spec is not None and spec.loader is not None
    probe: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(probe)
    missing = [name for name in PARTS if not hasattr(probe, name) and name not in getattr(probe, "LACKS", ())]
    if missing:
        raise AttributeError("%s is no whole probe: it lacks %s" % (path, ", ".join(missing)))
    return probe


def climb(probe: Any, capability: str, report: Report) -> None:
    """Climb rung by rung and stop at the first that fails; `report` gets a dict for each begin and end."""
    for rung, call in LADDER.items():
        report({"event": "begin", "rung": rung})
        if rung in probe.LACKS:
            report({"event": "end", "rung": rung, "outcome": "skipped", "message": probe.LACKS[rung]})
            continue
        try:
            facts = call(probe, capability)
        except BaseException as error:  # a framework may well raise SystemExit
            traceback.print_exc()
            report(
                {
                    "event": "end",
                    "rung": rung,
                    "outcome": "failed",
                    "exception": clean(type(error).__name__, SHORT_CHARS),
                    "message": clean(describe(error), MESSAGE_CHARS),
                    "facts": tidy(attached(error)),
                }
            )
            return
        report({"event": "end", "rung": rung, "outcome": "passed", "facts": tidy(facts or {})})


def look(report: Report) -> None:
    """What the driver's library says of this machine."""
    report({"event": "node", "library": libcuda.look()})


def measure(probe: Any, report: Report) -> None:
    """Prepare the framework as the ladder's first rungs do, and measure; a probe may have nothing to measure."""
    if not probe.BENCHES:
        return
    probe.load()
    probe.device()
    speed.measure(probe, report)
