"""The full product, as a suite without planning submits it: a GPU job for every candidate, in one bare DAG.

Where the sweeper has an environment for a tuple, the job is the one that the sweeper renders, and the sweeper's own
classification reads it. For every other tuple the job asks for the same GPU and solves the environment there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sweep import condor, events, render
from sweep.config import load_stored
from sweep.cuda import driver_floor
from sweep.framework import load_frameworks
from sweep.history import History
from sweep.model import Cause, Verdict, VersionTuple
from sweep.places import EVENTS, SETTINGS, TUPLES_DAG
from sweep.schema import Plan
from sweep.settings import Settings
from sweep.verdict import classify

FULL_DAG = "full.dag"
# Every rule that settles a tuple before the solver is asked.
RULES_OFF = (
    "no-build", "missing-from-channel", "toolkit-dropped-capability", "capability-not-in-pool", "no-driver-in-pool",
    "no-willing-slot",
)  # fmt: skip
SOLVER = Path(__file__).with_name("solve_on_node.py")
ANSWERS = {"unsatisfiable": Cause.UNSATISFIABLE, "cpu-build": Cause.CPU_BUILD}


@dataclass(frozen=True)
class Settled:
    """What the full product says of a tuple.

    `cause` is None where it cannot be compared: for a job that no slot took, and for a solver's answer, which the
    sweeper foresees under other names. `ran` is whether the job ever started.
    """

    verdict: Verdict
    cause: Cause | None
    ran: bool


def write_dag(here: Path, plan: Plan) -> Path:
    """The DAG of all candidates, beside the sweep's own, whose nodes it begins with."""
    settings = load_stored(here / SETTINGS)
    lines = [(here / TUPLES_DAG).read_text()]
    for planned in plan.tuples:
        if not planned.submitted:
            file = here / "tuples" / planned.id / "solve.sub"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_solving_job(VersionTuple.parse(planned.id), settings, here, file.parent))
            node = render.node_name(planned.id)
            lines += [f"JOB {node} {file}", f'VARS {node} run="./" events="{here / EVENTS}"']
    path = here / FULL_DAG
    path.write_text("\n".join(lines) + "\n")
    return path


def _solving_job(tuple_: VersionTuple, settings: Settings, here: Path, directory: Path) -> str:
    """The sweeper's own request for a GPU, with another program: of two values condor_submit takes the later one."""
    framework = load_frameworks(settings)[tuple_.framework]
    floor = driver_floor(tuple_.cuda, settings.cuda.driver_policy)
    python = settings.frameworks[tuple_.framework].python_of(tuple_.version)
    arguments = " ".join(
        f"'{each}'"
        for each in (
            SOLVER.name,
            *settings.conda.channels,
            floor,
            *framework.specs_for(tuple_.version, tuple_.cuda, python),
        )
    )
    request = render.dry_submit_file(tuple_, settings, here).rstrip().removesuffix("queue")
    return f"""{request}
executable              = {sys.executable}
transfer_executable     = false
arguments               = "{arguments}"
initialdir              = {directory}
transfer_input_files    = {SOLVER}
transfer_output_files   = ""
transfer_output_remaps  = ""
output                  = solve.out
error                   = solve.err
queue
"""


def run(dag: Path, patience: float) -> None:
    """Submit the DAG and wait for its end.

    Once nothing has run or happened for `patience` seconds the queue limit of whatever still waits is over.
    """
    subprocess.run([condor.tool("condor_submit_dag"), dag], check=True, stdout=subprocess.DEVNULL)
    tracker = events.Tracker(dag.with_name(EVENTS))
    last_word = 0  # the newest event when a queue limit was ended
    while not dag.with_name(f"{dag.name}.metrics").is_file():
        time.sleep(2)
        log = tracker.update()
        states = {history.last.state for history in log.histories.values()}
        quiet = time.time() - log.newest > patience and events.JobState.RUNNING not in states
        if quiet and events.JobState.IDLE in states and log.newest != last_word:
            _end_queue_limit()
            last_word = log.newest


def _end_queue_limit() -> None:
    waiting = "JobStatus == 1 && SweepTuple =!= undefined"
    command = [condor.tool("condor_qedit"), "-constraint", waiting, "SweepQueueLimit", "1"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def settled(here: Path, plan: Plan) -> Mapping[str, Settled]:
    """By tuple id, what the full product has settled; what stayed inconclusive is left out."""
    return dict(_from_ladders(here)) | dict(_from_solvers(here, plan))


def _from_ladders(here: Path) -> Iterator[tuple[str, Settled]]:
    for outcome in classify(here).tuples:
        if outcome.submitted and outcome.verdict is not Verdict.INCONCLUSIVE:
            ran = outcome.attempts > 0
            yield outcome.id, Settled(outcome.verdict, outcome.cause if ran else None, ran)


def _from_solvers(here: Path, plan: Plan) -> Iterator[tuple[str, Settled]]:
    histories = events.read(here / EVENTS).histories
    for planned in plan.tuples:
        if not planned.submitted and planned.id in histories:
            found = _solved(histories[planned.id], here / "tuples" / planned.id / "solve.out")
            if found is not None:
                yield planned.id, found


def _solved(history: History, output: Path) -> Settled | None:
    if not history.attempts and "sweep:never-matched" in history.last.removal:
        return Settled(Verdict.MATCH_FAILURE, None, ran=False)
    answer = output.read_text().strip() if history.last.exit_code == 0 else ""
    return Settled(ANSWERS[answer].verdict, None, ran=True) if answer in ANSWERS else None
