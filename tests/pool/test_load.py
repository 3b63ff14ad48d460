"""A sweep is a good neighbour: it takes no more of a pool than its share, and stops when its budget is spent."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from classad2 import ClassAd, ExprTree
from conftest import Gate, Site, event_log, outcomes, seen, submitted, wait_for

from sweep import condor
from sweep.advise import advise, gpu_lines
from sweep.model import Cause
from sweep.sandbox.pool import SandboxPool

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from test_advise import gpu, outcome, sweep_of

VERSIONS = ("2.4", "2.5", "2.8")


COLLEAGUE = """
executable            = /bin/true
transfer_executable   = false
request_cpus          = 1
request_memory        = 100MB
request_disk          = 10MB
request_gpus          = 1
require_gpus          = Capability == 7.0
accounting_group_user = colleague
log                   = colleague.log
queue
"""


def most_in_queue(here: Path, tuples: set[str]) -> int:
    """The greatest number of jobs of these tuples that were in the queue at a moment, by the event log."""
    inside, most = set(), 0
    for event in event_log(here):
        if event.tuple in tuples:
            if event.kind == "SUBMIT":
                inside.add(event.cluster)
            elif event.kind in ("JOB_TERMINATED", "JOB_ABORTED"):
                inside.discard(event.cluster)
            most = max(most, len(inside))
    return most


def most_running(here: Path) -> dict[str, int]:
    """By device name, the greatest number of jobs that ran on such devices at a moment, by the event log."""
    running: dict[int, str] = {}
    most: dict[str, int] = {}
    for event in event_log(here):
        if event.kind == "EXECUTE":
            properties = event.fields["ExecuteProps"]
            device = next(properties[name] for name in properties if name.startswith(("GPUs_GPU_", "GPUs_MIG_")))
            running[event.cluster] = device["DeviceName"]
        else:
            running.pop(event.cluster, None)
        for name, count in Counter(running.values()).items():
            most[name] = max(most.get(name, 0), count)
    return most


def test_no_class_gives_more_than_its_share_and_a_colleague_has_the_rest_at_once(
    gated_site: Callable[..., Site], gate: Gate
) -> None:
    site = gated_site(*VERSIONS, gpus={"capabilities": ["7.0", "8.0"]}, load={"share": 0.5, "idle": 9})
    run = site.start()
    # One of the two V100s, and one A100: if a second job landed on the other of its class, that would be all it has.
    wait_for(lambda: len(seen(run.here, "EXECUTE")) >= 2)
    assert site.command("condor_submit", "-", input=COLLEAGUE).returncode == 0
    # While the sweep's own jobs sit at the gate.
    assert site.command("condor_wait", "-wait", 60, "colleague.log").returncode == 0
    assert len(seen(run.here, "EXECUTE")) == 2
    gate.open()
    assert site.end(run) == 0
    submitted = {name for name, each in outcomes(run.here).items() if each["submitted"]}
    for capability in ("sm70", "sm80"):
        of_capability = {name for name in submitted if name.endswith(capability)}
        assert len(of_capability) > 1
        assert most_in_queue(run.here, of_capability) == 1
    assert set(most_running(run.here).values()) == {1}
    assert {outcomes(run.here)[name]["verdict"] for name in submitted} <= {"works", "gpu-failure"}
    assert re.search(r"Setting DAGMAN_MAX_JOBS_IDLE.*\b9\b|DAGMAN_MAX_JOBS_IDLE setting: 9", _dagman(run.here))


def _dagman(here: Path) -> str:
    return (here / "tuples.dag.dagman.out").read_text()


def test_a_budget_that_is_spent_lets_what_runs_finish_and_starts_nothing_more(
    gated_site: Callable[..., Site], gate: Gate
) -> None:
    site = gated_site(*VERSIONS, gpus={"capabilities": ["7.5", "9.0"]}, load={"share": 0.5, "gpu_hours": 0.002})
    run = site.start()
    wait_for(lambda: (run.here / "spent.json").is_file())
    # A device is held from where input begins to arrive, seconds before the log says that the job executes.
    running = set(seen(run.here, "FILE_TRANSFER"))
    gate.open()
    assert site.end(run) == 0
    found = outcomes(run.here)
    started = set(seen(run.here, "EXECUTE"))
    assert started == running
    assert {found[name]["verdict"] for name in started} <= {"works", "gpu-failure"}
    unspent = {name: each for name, each in found.items() if each["submitted"] and name not in started}
    assert unspent
    assert {(each["verdict"], each["cause"]) for each in unspent.values()} == {("inconclusive", "over-budget")}
    assert json.loads((run.here / "outcomes.json").read_text())["state"] == "over-budget"
    spent = json.loads((run.here / "spent.json").read_text())
    assert spent["budget"] == 0.002 <= spent["spent"]
    assert (run.here / "summary.txt").read_text().count("over-budget")


def test_a_capability_whose_own_budget_is_spent_stops_alone(gated_site: Callable[..., Site], gate: Gate) -> None:
    changes = {"load": {"share": 0.5}, "load.gpu_hours_of": {'"7.5"': 0.001}}
    site = gated_site(*VERSIONS, gpus={"capabilities": ["7.5", "9.0"]}, **changes)
    run = site.start()
    wait_for(lambda: (run.here / "spent-7.5.json").is_file())
    gate.open()
    assert site.end(run) == 0, site.account(run.here)
    started = set(seen(run.here, "EXECUTE"))
    for name, each in outcomes(run.here).items():
        if not each["submitted"]:
            continue
        if each["capability"] == "9.0":
            assert name in started
        elif name not in started:
            assert each["cause"] == "over-budget"
            assert "capability 7.5's budget of 0.001 GPU-hours was spent" in each["reason"]
    assert len([name for name in started if name.endswith("sm75")]) == 1


def test_what_the_first_tuple_proves_of_an_environment_is_not_run_again(pool: SandboxPool, tmp_path: Path) -> None:
    site = Site(
        pool,
        tmp_path,
        **{"frameworks.jax": {"versions": ["0.6", "0.7"]}},
        gpus={"capabilities": ["7.5", "8.0", "9.0"]},
        load={"share": 1.0, "gate": True},
    )
    run = site.start()
    assert site.end(run) == 0
    found = outcomes(run.here)
    ran = set(seen(run.here, "EXECUTE"))
    assert {name for name in ran if name.startswith("jax-0.6")} == {
        n for n in found if n.startswith("jax-0.6-cuda12.9")
    }
    broken = {name: each for name, each in found.items() if name.startswith("jax-0.7-cuda12.9")}
    (first,) = ran & set(broken)
    assert {(each["verdict"], each["cause"]) for each in broken.values()} == {("resolve-failure", "install-failed")}
    for name in set(broken) - {first}:
        assert (broken[name]["submitted"], broken[name]["rule"]) == (False, "same-environment")
        assert first in broken[name]["reason"]
        assert broken[name]["evidence"] == broken[first]["evidence"]
    assert json.loads((run.here / "outcomes.json").read_text())["state"] == "complete"


def test_a_removed_sweep_with_a_gate_resumes_with_the_first_tuple_and_those_behind_it(
    gated_site: Callable[..., Site], gate: Gate
) -> None:
    site = gated_site("2.8", gpus={"capabilities": ["7.5", "8.0", "9.0"]}, load={"share": 1.0, "gate": True})
    run = site.start()
    (first,) = wait_for(lambda: set(seen(run.here, "EXECUTE")))
    site.command("condor_rm", run.job)
    wait_for(lambda: first in seen(run.here, "JOB_ABORTED"))
    wait_for(lambda: (run.here / "sweep.dag.metrics").is_file() and (run.here / "outcomes.json").is_file())
    assert outcomes(run.here)[first]["verdict"] == "inconclusive"
    gate.open()
    again = submitted(site.sweep("submit", run.here))
    assert site.end(again) == 0, site.account(run.here)
    found = outcomes(run.here)
    assert len(found) == 3
    assert {each["verdict"] for each in found.values()} <= {"works", "gpu-failure"}


def test_the_advised_submit_lines_are_what_condor_submit_makes_of_them(pool: SandboxPool) -> None:
    """A hole between the capabilities that work: none of HTCondor's own bounds may be lost for it."""
    classes = [gpu("7.0"), gpu("8.0"), gpu("8.6"), gpu("9.0"), gpu("12.0")]
    works = ("8.0", "9.0")
    causes = [Cause.ALL_RUNGS if c.capability in works else Cause.CRASHED for c in classes]
    tuples = [outcome("2.8", c.capability, cause) for c, cause in zip(classes, causes, strict=True)]
    (pick,) = (advice := advise(sweep_of(classes, *tuples), (), "pytorch")).picks
    lines = gpu_lines(advice, pick, "12.0", classes)
    ad = condor.job_ad("executable = /bin/true\n" + "\n".join(lines) + "\nqueue\n")
    required = str(ad.lookup("RequireGPUs"))
    for each in classes:
        device = ClassAd({"Capability": float(each.capability), "MaxSupportedVersion": 13000})
        device["Takes"] = ExprTree(required)
        assert device.eval("Takes") is (each.capability in works), required


def test_a_second_sweep_reuses_what_the_first_has_shown_and_checks_a_share(pool: SandboxPool, tmp_path: Path) -> None:
    changes = {"gpus": {"capabilities": ["7.5", "8.0", "9.0"]}, "reuse": {"recheck": 0.0}}
    site = Site(pool, tmp_path, **changes)
    first = site.start()
    assert site.end(first) == 0, site.account(first.here)
    second = site.start("submit", "--reuse", "1d")
    assert site.end(second) == 0, site.account(second.here)
    assert event_log(second.here) == []
    before, after = outcomes(first.here), outcomes(second.here)
    tested = {name for name, each in before.items() if each["submitted"]}
    assert len(tested) == 3
    for name in tested:
        assert after[name]["cause"] == before[name]["cause"]
        assert (after[name]["submitted"], after[name]["rule"]) == (False, "reused")
        assert first.here.name in after[name]["reason"]
