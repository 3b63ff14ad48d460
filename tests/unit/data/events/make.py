"""Makes the event logs of this directory anew, on a pool that is up; the README beside it says how to call it.

Every job has the submit file that a sweep would write, but for a job.sh of its own and short limits.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sweep import render
from sweep.model import VersionTuple
from sweep.settings import FrameworkSettings, LimitSettings, ResourceSettings, Settings

HERE = Path(__file__).resolve().parent
PATIENCE = 40  # seconds for any one thing to happen

WELL = "echo '{}' > result.json; exit 0"
SLEEP = "echo '{}' > result.json; sleep 600"
# Ends only when it is started for the second time.
TWICE = "echo '{}' > result.json; [ $(sed -n 's/^NumShadowStarts = //p' $_CONDOR_JOB_AD) -gt 1 ] || sleep 600; exit 0"


def condor(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr}{done.stdout}")
    return done.stdout


class Case:
    """One job, or several of one tuple, and their event log."""

    def __init__(
        self, home: Path, name: str, tuple_id: str, script: str, *, edit: Callable[[str], str] = str, **limits: int
    ) -> None:
        self.name, self.directory = name, home / name
        self.directory.mkdir()
        job = self.directory / "job.sh"
        job.write_text(f"#!/bin/sh\n{script}\n")
        job.chmod(0o755)
        times = {"queue": 90, "run": 90, "install": 1, "probe": 1, "held": 5, "deadline": 90, "retries": 2} | limits
        settings = Settings(
            frameworks={"pytorch": FrameworkSettings()},
            limits=LimitSettings.model_validate_json(json.dumps(times)),
            resources=ResourceSettings.model_validate_json('{"memory": 100, "disk": 100}'),
        )
        text = render.dry_submit_file(VersionTuple.parse(tuple_id), settings, self.directory)
        self.text = edit(text.replace("$(events:by_hand_events.log)", "events.log"))
        self.log = self.directory / "events.log"

    def submit(self) -> str:
        return condor("condor_submit", "-terse", "-", text=self.text).split()[0]

    def wait(self, pattern: str, times: int = 1) -> None:
        """Wait until the log has lines that begin with a match of the pattern."""
        end = time.monotonic() + PATIENCE
        while not self.log.is_file() or len(re.findall(f"^{pattern}", self.log.read_text(), re.MULTILINE)) < times:
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name}: no {pattern} in {PATIENCE} s")
            time.sleep(0.2)

    def keep(self) -> None:
        """Store the log; what names this machine or its directories is replaced."""
        text = self.log.read_text().replace(str(self.directory), "/sweeps/s")
        text = re.sub(r"/\S*/execute/\w+/dir_\d+", "/execute/dir_1", text)
        (HERE / f"{self.name}.log").write_text(text)


def done(home: Path, name: str, script: str, tuple_id: str, **options: int) -> None:
    """A job that comes to its end by itself."""
    case = Case(home, name, tuple_id, script, **options)
    case.submit()
    case.wait(r"(005|009) \(")
    case.keep()


def never_matched(home: Path) -> None:
    case = Case(
        home, "never-matched", "pytorch-2.5-cuda12.4-sm80", WELL, queue=5,
        edit=lambda text: text.replace("requirements            = ", "requirements            = false && "),
    )  # fmt: skip
    case.submit()
    case.wait(r"009 \(")
    case.keep()


def input_missing(home: Path, name: str, **options: int) -> None:
    case = Case(
        home, name, "pytorch-2.5-cuda12.4-sm70", WELL, **options,
        edit=lambda text: re.sub(r"(?m)^transfer_input_files .*$", "transfer_input_files = gone.txt", text),
    )  # fmt: skip
    (case.directory / "gone.txt").write_text("")
    case.text = case.text.replace("\nqueue\n", "\nhold = true\nqueue\n")
    job = case.submit()
    (case.directory / "gone.txt").unlink()
    condor("condor_release", job)
    case.wait(r"009 \(")
    case.keep()


def by_hand(home: Path, name: str, tuple_id: str, *command: str, then: str, **options: int) -> None:
    """A running job that somebody does something to."""
    case = Case(home, name, tuple_id, SLEEP, **options)
    job = case.submit()
    case.wait(r"001 \(")
    condor(*command, job)
    case.wait(then)
    case.keep()
    subprocess.run(["condor_rm", job], capture_output=True, check=False)


def vacated_and_done(home: Path) -> None:
    case = Case(home, "vacated-then-done", "pytorch-2.5-cuda12.4-sm80", TWICE)
    job = case.submit()
    case.wait(r"001 \(")
    condor("condor_vacate_job", job)
    case.wait(r"005 \(")
    case.keep()


def vacated_for_good(home: Path) -> None:
    """Evicted, and then no slot takes it again until the queue limit ends it."""
    case = Case(home, "vacated-idle-again", "pytorch-2.5-cuda12.4-sm90", SLEEP, queue=5)
    job = case.submit()
    case.wait(r"001 \(")
    condor("condor_qedit", job, "Requirements", "false")
    condor("condor_vacate_job", job)
    case.wait(r"009 \(")
    case.keep()


def rescued(home: Path) -> None:
    """Two clusters of one tuple, as a rescue DAG makes them, and a job of somebody else between them."""
    case = Case(home, "rescued", "pytorch-2.5-cuda12.4-sm75", SLEEP)
    first = case.submit()
    case.wait(r"001 \(")
    condor("condor_rm", first)
    case.wait(r"009 \(")
    foreign = "executable = /bin/true\ntransfer_executable = false\nrequest_memory = 10MB\nrequest_disk = 10MB\n"
    foreign += "log = events.log\n"
    foreign += f"initialdir = {case.directory}\nsubmit_event_notes = a job of somebody else\nqueue 2\n"
    condor("condor_submit", "-terse", "-", text=foreign)
    case.wait(r"005 \(", 2)
    (case.directory / "job.sh").write_text(f"#!/bin/sh\n{WELL}\n")
    case.submit()
    case.wait(r"005 \(", 3)
    case.keep()


def unfinished(home: Path) -> None:
    case = Case(home, "unfinished", "pytorch-2.5-cuda12.4-sm80", SLEEP)
    job = case.submit()
    case.wait(r"001 \(")
    case.keep()
    condor("condor_rm", job)


def held_by_policy(home: Path) -> None:
    """An expression of the job's own holds it, with a code for it."""
    policy = (
        "periodic_hold = JobStatus == 2 && time() - EnteredCurrentStatus > 2\n"
        'periodic_hold_reason = "enough seen"\nperiodic_hold_subcode = 42\n'
    )
    case = Case(
        home, "held-by-policy", "pytorch-2.5-cuda12.4-sm80", SLEEP,
        edit=lambda text: text.replace("\nqueue\n", f"\n{policy}queue\n"),
    )  # fmt: skip
    case.submit()
    case.wait(r"009 \(")
    case.keep()


def released(home: Path) -> None:
    """Held while it runs, and released: it starts again from the beginning."""
    case = Case(home, "released", "pytorch-2.5-cuda12.4-sm75", TWICE, held=80)
    job = case.submit()
    case.wait(r"001 \(")
    condor("condor_hold", "-reason", "a look at the node", job)
    case.wait(r"012 \(")
    condor("condor_release", job)
    case.wait(r"005 \(")
    case.keep()


def suspended(home: Path) -> None:
    case = Case(home, "suspended", "pytorch-2.5-cuda12.4-sm70", "echo '{}' > result.json; sleep 3; exit 0")
    job = case.submit()
    case.wait(r"001 \(")
    condor("condor_suspend", job)
    case.wait(r"010 \(")
    condor("condor_continue", job)
    case.wait(r"005 \(")
    case.keep()


def late_materialised(home: Path) -> None:
    """A cluster whose jobs come into being one by one."""
    case = Case(
        home, "late-materialised", "pytorch-2.5-cuda12.4-sm80", WELL,
        edit=lambda text: text.replace("\nqueue\n", "\nmax_materialize = 1\nqueue 2\n"),
    )  # fmt: skip
    case.submit()
    case.wait(r"036 \(")
    case.keep()


def cases() -> dict[str, Callable[[Path], None]]:
    """What can be recorded, by name; all of it at the same time."""
    return {
        "exit-0": lambda home: done(home, "exit-0", WELL, "pytorch-2.5-cuda12.4-sm80"),
        "retried": lambda home: done(
            home, "retried", "echo '{}' > result.json; sleep 1; exit 75", "pytorch-2.5-cuda12.4-sm80", retries=1
        ),
        "requeued-idle-again": lambda home: done(
            home, "requeued-idle-again", "echo '{}' > result.json; exit 75", "pytorch-2.5-cuda12.4-sm70", queue=5
        ),
        "signal": lambda home: done(
            home, "signal", "echo '{}' > result.json; kill -9 $$", "pytorch-2.5-cuda12.4-sm75", retries=0
        ),
        "output-missing": lambda home: done(home, "output-missing", "exit 0", "pytorch-2.5-cuda12.4-sm75", retries=0),
        "run-limit": lambda home: done(home, "run-limit", SLEEP, "pytorch-2.5-cuda12.4-sm90", run=3),
        "never-matched": never_matched,
        "input-missing": lambda home: input_missing(home, "input-missing", retries=0),
        "input-missing-idle-again": lambda home: input_missing(home, "input-missing-idle-again", queue=5),
        "held-by-hand": lambda home: by_hand(
            home,
            "held-by-hand",
            "pytorch-2.5-cuda12.4-sm70",
            "condor_hold",
            "-reason",
            "maintenance \x1b[31mof | the <b>rack</b>",
            then=r"009 \(",
        ),
        "still-held": lambda home: by_hand(
            home,
            "still-held",
            "pytorch-2.5-cuda12.4-sm89",
            "condor_hold",
            "-reason",
            "maintenance",
            then=r"012 \(",
            held=80,
        ),
        "removed-by-hand": lambda home: by_hand(
            home,
            "removed-by-hand",
            "pytorch-2.5-cuda12.4-sm60",
            "condor_rm",
            "-reason",
            "not needed",
            then=r"009 \(",
        ),
        "held-by-policy": held_by_policy,
        "released": released,
        "suspended": suspended,
        "late-materialised": late_materialised,
        "vacated-then-done": vacated_and_done,
        "vacated-idle-again": vacated_for_good,
        "rescued": rescued,
        "unfinished": unfinished,
    }


def main() -> None:
    known = cases()
    with tempfile.TemporaryDirectory(prefix="events-") as directory:
        home = Path(directory)
        chosen = sys.argv[1:] or list(known)
        with ThreadPoolExecutor(len(chosen)) as threads:
            started = [threads.submit(known[name], home) for name in chosen]
        for each in started:
            each.result()


if __name__ == "__main__":
    main()
