"""People meddle with jobs and sweeps, and the steps on the access point are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import disks
import processes
from cases import Case
from conftest import Run, submitted
from kinds import ANY, IN_A_JOB, fault, kill

# --------------------------------------------------------------------------- people


@fault()
def job_removed(case: Case) -> None:
    case.start()
    victim = case.reach("queued", *IN_A_JOB)
    case.command("condor_rm", case.clusters()[victim])
    case.excused[victim] = {"removed"}


@fault()
def job_held(case: Case) -> None:
    case.start()
    victim = case.reach("queued", *IN_A_JOB)
    case.command("condor_hold", case.clusters()[victim])
    case.excused[victim] = {"held"}


@fault()
def job_held_and_released(case: Case) -> None:
    case.start(limits={"held": "60s"})
    victim = case.reach("queued", *IN_A_JOB)
    case.command("condor_hold", case.clusters()[victim])
    time.sleep(case.chance.uniform(1, 4))
    case.command("condor_release", case.clusters()[victim])


@fault()
def job_vacated(case: Case) -> None:
    case.start()
    victim = case.reach(*IN_A_JOB)
    how = case.chance.choice([["-fast"], []])
    case.command("condor_vacate_job", *how, case.clusters()[victim])


@fault()
def sweep_removed(case: Case) -> None:
    case.start()
    case.reach(*ANY)
    case.command("condor_rm", case.run.job)


@fault()
def tuples_dag_removed(case: Case) -> None:
    case.start()
    case.reach("queued", *IN_A_JOB)
    case.command("condor_rm", "-constraint", f"JobUniverse == 7 && DAGManJobId == {case.run.job}")


@fault()
def dagman_killed_and_sweep_removed(case: Case) -> None:
    """Neither DAGMan lives to write down what is done."""
    case.start()
    case.reach("queued", *IN_A_JOB)
    for dag in ("sweep.dag", "tuples.dag"):
        kill(case.until(lambda dag=dag: processes.dagman(case.pool, case.here, dag)))
    case.command("condor_rm", case.run.job)


@fault()
def sweep_held_and_released(case: Case) -> None:
    case.start()
    case.reach(*ANY)
    case.command("condor_hold", case.run.job)
    time.sleep(case.chance.uniform(1, 4))
    case.command("condor_release", case.run.job)


@fault()
def two_submissions_at_once(case: Case) -> None:
    """Exactly one of them becomes a sweep; or, of an interrupted one, its continuation."""
    site = case.prepare()
    words: list[object] = ["submit"]
    if case.chance.random() < 0.5:
        case.follow(site.start())
        case.reach("queued", *IN_A_JOB)
        case.command("condor_rm", case.run.job)
        case.end()
        words.append(case.here)
    command = [sys.executable, "-m", "sweep", "--settings", str(site.settings), *map(str, words)]
    options = {"env": site.environment, "cwd": case.directory, "stdout": -1, "stderr": -1, "text": True}
    several = [subprocess.Popen(command, **options) for _ in range(case.chance.randint(2, 4))]
    done = [subprocess.CompletedProcess(command, p.wait(), *p.communicate()) for p in several]
    codes = sorted(each.returncode for each in done)
    if codes != [0] + [9] * (len(done) - 1):
        case.problems.append(f"of {len(done)} submissions at once the exit codes are {codes}")
    case.follow(submitted(next(each for each in done if each.returncode == 0)))


@fault()
def submission_killed(case: Case) -> None:
    """The command that submits dies; the next one submits, or says that a sweep is in the queue."""
    site = case.prepare()
    command = [sys.executable, "-m", "sweep", "--settings", str(site.settings), "submit"]
    first = subprocess.Popen(
        command, env=site.environment, cwd=case.directory, stdout=-3, stderr=-3, start_new_session=True
    )
    time.sleep(case.chance.uniform(0.1, 0.7))
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    second = case.sweep("submit")
    found = re.search(r"the sweep in (\S+) is in the queue as job (\d+)", second.stderr)
    case.follow(Run(Path(found[1]), found[2]) if found else submitted(second))


# --------------------------------------------------------------------------- the steps on the access point


@fault()
def planning_killed(case: Case) -> None:
    case.start()
    case.reach("planning")
    time.sleep(case.chance.uniform(0, 0.3))
    kill(processes.steps(case.pool, case.here, "plan"))


@fault()
def closing_killed(case: Case) -> None:
    case.start()
    case.stage = "closing"
    case.gate.open()
    found = case.until(lambda: processes.steps(case.pool, case.here, "close"), interval=0.005)
    time.sleep(case.chance.uniform(0, 1.5))
    for each in found:
        each.kill()


@fault(needs_disk=True)
def results_disk_full(case: Case) -> None:
    disk = case.over.enter_context(disks.disk())
    case.start(sweep={"results": str(disk.path / "results")})
    victim = case.reach("planning", "queued", "installing", "probing", "partly")
    disk.fill(case.chance.choice([0, 4096, 20000]))
    if case.chance.random() < 0.5:
        case.gate.open()
    time.sleep(case.chance.uniform(2, 15))
    disk.relieve()
    # A result that finds no room is held back; the events of that time are lost.
    case.damaged_log = case.may_hang = bool(victim)
    case.excused = {name: {"transfer-failed", "held", "no-result", "removed"} for name in case.truth}
