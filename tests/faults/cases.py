"""One small sweep whose truth is known, to which something is done, and what became of its verdicts."""

from __future__ import annotations

import contextlib
import json
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

sys.path.insert(0, str(Path(__file__).parents[1] / "pool"))
import processes
from conftest import Gate, Run, Site, submitted

from sweep.model import Cause, Verdict
from sweep.sandbox.machines import Machine, read_machines
from sweep.sandbox.pool import SandboxPool

Found = TypeVar("Found")

PATIENCE = 150.0  # seconds for one stage, or for the end of a sweep
_RESUMES = 3
_HANGS_AFTER = 30.0  # seconds without any job of the sweep in the queue

# Two machines of each class: what fails on one can be tried on the other.
CLASSES = {"7.0": "volta", "7.5": "turing", "8.0": "ampere"}

# By hand, as in tests/pool/truth.py: `gated` is PyTorch, whose cuDNN crashes below 7.5 from 2.8 on; TensorFlow 2.18
# forgets cuDNN in its dependencies.
TRUTH = {
    "gated-2.8-cuda12.9-sm70": "crashed",
    "gated-2.8-cuda12.9-sm75": "all-rungs",
    "gated-2.8-cuda12.9-sm80": "all-rungs",
    "tensorflow-2.18-cuda12.9-sm70": "library-missing",
    "tensorflow-2.18-cuda12.9-sm75": "library-missing",
    "tensorflow-2.18-cuda12.9-sm80": "library-missing",
}

# The installer's Python: `$1` is the installer, `$3` the prefix. It takes its time, so that a fault can hit it.
_INSTALLER_PYTHON = """#!/bin/sh
sleep {pause:.1f}
exec {python} "$@"
"""

# The first digits of a line of the event log.
_EVENT = re.compile(r"^(\d{3}) \((\d+)\.\d+\.\d+\) ", re.M)
_NAME = re.compile(r'SweepTuple = "([^"]+)"')
SUBMIT, EXECUTE, TERMINATED = "000", "001", "005"


class NotHitError(Exception):
    """The fault came too early or too late to hit anything."""


def machines() -> list[Machine]:
    """What the campaign's pools consist of."""
    known = {machine.name: machine for machine in read_machines()}
    return [known[name].model_copy(update={"name": f"{name}{n}"}) for name in CLASSES.values() for n in (0, 1)]


@dataclass(frozen=True)
class LoggedEvent:
    """One event of a sweep's event log, read without HTCondor: it may be a damaged one."""

    kind: str
    cluster: int
    tuple: str | None
    text: str


@dataclass(frozen=True)
class Judgement:
    """What a fault did to the verdicts, in words; empty lists are the goal."""

    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    inconclusive: int = 0

    @property
    def bad(self) -> bool:
        return bool(self.lost or self.wrong)


class Case:
    """One sweep of four tuples behind gates, in a directory of its own."""

    def __init__(self, pool: SandboxPool, directory: Path, chance: random.Random) -> None:
        self.pool, self.directory, self.chance = pool, directory, chance
        self.gate = Gate(directory)
        self.capabilities = sorted(["7.0", chance.choice(["7.5", "8.0"])])
        self.truth = {
            name: cause
            for name, cause in TRUTH.items()
            if name.rpartition("sm")[2] in {c.replace(".", "") for c in self.capabilities}
        }
        # Causes that a tuple may have instead, because of the fault.
        self.excused: dict[str, set[str]] = {}
        self.damaged_log = False  # the fault took events away: what ran twice cannot be told from it
        # DAGMan waits for ever for a job whose end it could not write down; somebody has to remove the sweep then.
        self.may_hang = False
        self.stage = "before"
        self.problems: list[str] = []
        self.over = contextlib.ExitStack()  # what the fault has to give back
        self._ended = False

    @property
    def gated(self) -> list[str]:
        """The tuples whose probes wait until the gate is opened."""
        return [name for name in self.truth if name.startswith("gated")]

    @property
    def here(self) -> Path:
        """The sweep's directory."""
        return self.run.here

    # ----------------------------------------------------------------- the sweep's life

    def prepare(self, **changes: dict[str, Any]) -> Site:
        """The user's settings; `changes` are tables of sweep.toml."""
        tables: dict[str, dict[str, Any]] = {
            "frameworks.gated": {"versions": ["2.8"]},
            "frameworks.tensorflow": {"versions": ["2.18"]},
            "gpus": {"capabilities": self.capabilities},
            "sweep": {"framework_files": str(self.gate.files), **changes.pop("sweep", {})},
            "limits": {"queue": "90s", "held": "6s", **changes.pop("limits", {})},
            "conda": {"installer_python": str(self.installer_python()), **changes.pop("conda", {})},
            **changes,
        }
        self.site = Site(self.pool, self.directory, **tables)
        return self.site

    def start(self, **changes: dict[str, Any]) -> None:
        """Submit the sweep."""
        self.prepare(**changes)
        self.follow(self.site.start())

    def installer_python(self) -> Path:
        """What the settings name as the installer's Python."""
        path = self.directory / "python"
        path.write_text(_INSTALLER_PYTHON.format(pause=self.chance.uniform(0, 1.5), python=sys.executable))
        path.chmod(0o755)
        return path

    def follow(self, run: Run) -> None:
        """From now on this is the case's sweep."""
        self.run = run

    def command(self, *words: object) -> subprocess.CompletedProcess[str]:
        """One of HTCondor's commands; its failure is the campaign's."""
        done = self.site.command(*words)
        if done.returncode:
            raise RuntimeError(f"{words}: {done.stdout}{done.stderr}")
        return done

    def sweep(self, *words: object) -> subprocess.CompletedProcess[str]:
        """A `sweep` command; a traceback is a problem whatever the command."""
        done = self.site.sweep(*words)
        if "Traceback" in done.stderr:
            self.problems.append(f"`sweep {words[0]}` died: {done.stderr.strip().splitlines()[-1]}")
        return done

    def until(self, what: Callable[[], Found], seconds: float = PATIENCE, interval: float = 0.1) -> Found:
        """What `what` returns as soon as that is true."""
        end = time.monotonic() + seconds
        while not (found := what()):
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:.0f} s in vain ({self.stage})\n{self.site.account(self.here)}")
            self.look_at_outcomes()
            time.sleep(interval)
        return found

    def end(self) -> None:
        """Wait until the sweep's DAG has left the queue; one that may hang is removed when it does."""
        if self.may_hang:
            quiet_since = time.monotonic()
            while not self._has_ended() and time.monotonic() - quiet_since < _HANGS_AFTER:
                if self._in_the_queue():
                    quiet_since = time.monotonic()
            if not self._has_ended():
                self.command("condor_rm", self.run.job)
                self.may_hang = False
        self.until(self._has_ended)

    def _has_ended(self) -> bool:
        log = str(self.here / "sweep.dag.dagman.log")
        waited = subprocess.run(
            ["condor_wait", "-wait", "1", log, self.run.job], env=self.site.environment, capture_output=True
        )
        return waited.returncode == 0

    def _in_the_queue(self) -> bool:
        ours = f'JobUniverse == 5 && substr(Iwd, 0, {len(str(self.here))}) == "{self.here}"'
        return bool(self.site.command("condor_q", "-constraint", ours, "-af", "ClusterId").stdout.strip())

    def finish(self) -> None:
        """Open the gates, wait, and take the sweep up again as long as something is left of it."""
        if self._ended:
            return
        self.gate.open()
        self.end()
        for _ in range(_RESUMES):
            if self.complete():
                break
            resumed = self.sweep("submit", self.here)
            if resumed.returncode:
                self.problems.append(f"cannot be resumed: {resumed.stderr.strip()}")
                break
            self.follow(submitted(resumed))
            self.end()
        self._ended = True

    def abandon(self) -> None:
        """Take the sweep out of the way of the others; nothing more is asked of it."""
        self.gate.open()
        if not self._ended:
            with contextlib.suppress(Exception):
                self.site.command("condor_rm", self.run.job)

    def complete(self) -> bool:
        """Whether the sweep's DAG ended well, by HTCondor's own log."""
        log = (self.here / "sweep.dag.dagman.log").read_text(errors="replace")
        ends = [e for e in re.split(r"^\.\.\.$", log, flags=re.M) if f"005 ({int(self.run.job):03}." in e]
        return bool(ends) and "Normal termination (return value 0)" in ends[-1]

    # ----------------------------------------------------------------- stages

    def reach(self, *stages: str) -> str:
        """Wait until the sweep is at one of these stages, drawn by chance; a tuple that is there, or "".

        planning: the environments are being written. queued: the jobs are. running: a job has started. installing,
        probing: so it has. partly: the tuples that no gate holds are done. closing: all are, and are being reported.
        """
        self.stage = self.chance.choice(stages)
        if self.stage == "planning":
            self.until((self.here / "environments").is_dir, interval=0.002)
            return ""
        if self.stage == "closing":
            self.gate.open()
            self.until(lambda: processes.steps(self.pool, self.here, "close"))
            return ""
        if self.stage == "partly":
            ungated = set(self.truth) - set(self.gated)
            self.until(lambda: ungated <= self.finished() and self.known_as_done() >= len(ungated))
        victim = self.chance.choice(self.gated)
        if self.stage == "queued":
            self.until(lambda: victim in self.clusters())
        elif self.stage == "running":
            self.until(lambda: any(e.kind == EXECUTE and e.tuple == victim for e in self.events()))
        elif self.stage == "installing":
            self.until(lambda: self.process_of(victim, "install_rattler.py"), interval=0.02)
        else:
            self.until(lambda: self.process_of(victim, "driver.pyz"))
        time.sleep(self.chance.uniform(0, 0.5) if self.stage != "installing" else 0)
        return victim

    def process_of(self, victim: str, word: str) -> processes.Process | None:
        """The first process of a tuple's job that has a word in its command line."""
        found = processes.jobs(self.pool, self.here).get(victim, [])
        return next((p for p in found if word in p.command), None)

    def wrapper_of(self, victim: str) -> processes.Process:
        """The job of a tuple, as HTCondor started it."""
        found = processes.jobs(self.pool, self.here).get(victim, [])
        wrapper = next((p for p in found if victim in p.command and "driver.pyz" not in p.command), None)
        if wrapper is None:
            raise NotHitError
        return wrapper

    def known_as_done(self) -> int:
        """How many tuples DAGMan knows to be done."""
        try:
            return (self.here / "tuples.dag.dagman.out").read_text().count("completed successfully")
        except FileNotFoundError:
            return 0

    # ----------------------------------------------------------------- the event log

    def events(self) -> list[LoggedEvent]:
        """What the jobs' event log says, as far as it can be read."""
        try:
            log = (self.here / "events.log").read_text(errors="replace")
        except FileNotFoundError:
            return []
        starts = [match.start() for match in _EVENT.finditer(log)]
        names: dict[int, str] = {}
        found = []
        for start, after in pairwise([*starts, len(log)]):
            text = log[start:after]
            match = _EVENT.match(text)
            assert match is not None
            cluster = int(match[2])
            if match[1] == SUBMIT and (name := _NAME.search(text)):
                names[cluster] = name[1]
            found.append(LoggedEvent(match[1], cluster, names.get(cluster), text))
        return found

    def clusters(self) -> dict[str, int]:
        """The newest job of each tuple."""
        return {e.tuple: e.cluster for e in self.events() if e.kind == SUBMIT and e.tuple}

    def finished(self) -> set[str]:
        """The tuples that reached a verdict, by the log."""
        return {e.tuple for e in self.events() if e.tuple and _reached_a_verdict(e)}

    def machine_of(self, victim: str) -> str:
        """Where a tuple's newest job started, as the pool calls the machine."""
        slots = [
            re.search(r"SlotName: \S+@(\w+)\.", e.text)
            for e in self.events()
            if e.kind == EXECUTE and e.tuple == victim
        ]
        if not slots or slots[-1] is None:
            raise NotHitError
        return slots[-1][1]

    # ----------------------------------------------------------------- judgement

    def look_at_outcomes(self) -> None:
        """At any moment there is a whole outcomes.json or none."""
        with contextlib.suppress(OSError):
            try:
                json.loads((self.here / "outcomes.json").read_bytes())
            except ValueError:
                self.problems.append("outcomes.json was half a file")

    def judge(self) -> Judgement:
        """Compare what the finished sweep says with the truth."""
        lost, wrong = [], list(self.problems)
        try:
            table = {each["id"]: each for each in json.loads((self.here / "outcomes.json").read_text())["tuples"]}
        except (OSError, ValueError) as error:
            return Judgement([f"every verdict: outcomes.json: {error}"], wrong)
        inconclusive = 0
        for name, truth in self.truth.items():
            if name not in table:
                lost.append(f"{name} is not in outcomes.json")
                continue
            cause = table[name]["cause"]
            if cause == truth:
                continue
            said = f"{name} is {cause} instead of {truth}: {table[name]['reason']}"
            if cause in self.excused.get(name, ()):
                inconclusive += Cause(cause).verdict is Verdict.INCONCLUSIVE
            elif Cause(cause).verdict is Verdict.INCONCLUSIVE and name not in self.excused:
                lost.append(said)
            else:
                wrong.append(said)
        if not self.damaged_log:
            lost += [f"{name} was run again after it had finished" for name in self._repeated()]
        return Judgement(lost, wrong, inconclusive)

    def _repeated(self) -> list[str]:
        finished: set[str] = set()
        again: Counter[str] = Counter()
        for event in self.events():
            if event.tuple is None:
                continue
            if event.kind == EXECUTE and event.tuple in finished:
                again[event.tuple] += 1
            if _reached_a_verdict(event):
                finished.add(event.tuple)
        return sorted(again)


def _reached_a_verdict(event: LoggedEvent) -> bool:
    return event.kind == TERMINATED and "Normal termination (return value 0)" in event.text
