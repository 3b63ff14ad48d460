"""The demonstration against the truth, tuple by tuple; that its jobs really ran; and that its locks hold."""

import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import truth
from conftest import Demonstration, Event, event_log, outcomes

from sweep.places import dags
from sweep.sandbox.pool import DOMAIN

NEVER_RUN = ("waited-out", "held", "no-such-slot")
NEEDED_CAUSES = {
    "no-such-slot",
    "waited-out",
    "unsatisfiable",
    "install-failed",
    "no-kernel-image",
    "driver-too-old",
}
VERDICTS = {"works", "match-failure", "resolve-failure", "gpu-failure", "inconclusive"}


@pytest.fixture(scope="module")
def here(demonstration: Demonstration) -> Path:
    """The directory of the demonstration's sweep."""
    return demonstration.settled()


@pytest.fixture(scope="module")
def jobs(here: Path) -> dict[str, str]:
    """The causes of those that had a job; one of them was drawn to audit the rule about slots."""
    found = {name: truth.CAUSE_OF[name] for name, each in outcomes(here).items() if each["submitted"]}
    drawn = set(found) - truth.SUBMITTED
    assert len(drawn) == 1 and drawn <= truth.AUDITS_OF_SLOTS
    return found


@pytest.fixture(scope="module")
def events(here: Path) -> dict[str, list[Event]]:
    """The events of every submitted tuple."""
    found: dict[str, list[Event]] = {}
    for event in event_log(here):
        found.setdefault(event.tuple, []).append(event)
    return found


@pytest.fixture(scope="module")
def history(demonstration: Demonstration, here: Path) -> dict[str, dict[str, Any]]:
    """What the schedd remembers of every tuple's job."""
    done = subprocess.run(
        ["condor_history", "-json", "-constraint", "SweepTuple =!= undefined", "-attributes",
         "SweepTuple,ClusterId,Iwd,JobStatus,ExitCode,NumJobStarts,LastRemoteHost"],
        capture_output=True, text=True, check=True, env={**os.environ, **demonstration.pool.environment},
    )  # fmt: skip
    ads = json.loads(done.stdout)
    assert len({ad["SweepTuple"] for ad in ads}) == len(ads)
    return {ad["SweepTuple"]: ad for ad in ads}


def capability(tuple_id: str) -> float:
    digits = tuple_id.rpartition("-sm")[2]
    return float(f"{digits[:-1]}.{digits[-1]}")


def device(event: Event) -> dict[str, Any]:
    """The one device that the slot of an EXECUTE event had."""
    properties = dict(event.fields["ExecuteProps"])
    (found,) = [dict(value) for key, value in properties.items() if key.startswith("GPUs_")]
    return found


# --------------------------------------------------------------------------- verdicts


def test_the_truth_is_a_whole_table_of_every_verdict_and_every_named_cause() -> None:
    assert len(truth.CAUSE_OF) == 320
    assert set(truth.CAUSE_OF.values()) == set(truth.VERDICT_OF)
    assert set(truth.VERDICT_OF.values()) == VERDICTS
    assert set(truth.VERDICT_OF) >= NEEDED_CAUSES


def test_every_tuple_has_the_verdict_and_cause_that_the_sandbox_dictates(here: Path) -> None:
    found = outcomes(here)
    assert set(found) == set(truth.CAUSE_OF)
    cells = Counter(
        ((truth.VERDICT_OF[cause], cause), (found[name]["verdict"], found[name]["cause"]))
        for name, cause in truth.CAUSE_OF.items()
    )
    print("\nconfusion matrix (rows: the truth; columns: what the sweep found)")
    for (expected, got), count in sorted(cells.items()):
        off = "" if expected == got else "   <-- wrong"
        print(f"{'/'.join(expected):>34} -> {'/'.join(got):<34} {count:>4}{off}")
    wrong = {
        name: f"{found[name]['cause']} ({found[name]['reason']}) instead of {cause}"
        for name, cause in truth.CAUSE_OF.items()
        if (found[name]["verdict"], found[name]["cause"]) != (truth.VERDICT_OF[cause], cause)
    }
    assert wrong == {}
    assert {name for name, each in found.items() if each["submitted"]} > truth.SUBMITTED


def test_predictions_are_made_where_the_facts_give_reason_and_all_come_true(here: Path) -> None:
    told = {
        name: each
        for name, each in outcomes(here).items()
        if each["submitted"] and each.get("prediction") and each["verdict"] in ("works", "gpu-failure")
    }
    assert {name: each["prediction"]["cause"] for name, each in told.items()} == truth.PREDICTED
    assert not [name for name, each in told.items() if each["surprise"]]


def test_the_audit_finds_every_rule_right(here: Path) -> None:
    """Also of the rule about builds, where the solver has the last word."""
    found = outcomes(here)
    assert {each["prediction"]["rule"] for each in found.values() if each["audit"]} == {
        "toolkit-dropped-capability",
        "no-driver-in-pool",
    }
    confirmed = [each for each in found.values() if "audited; rule " in each["reason"]]
    assert {each["rule"] for each in confirmed} <= {"no-build", "missing-from-channel"}
    assert confirmed
    assert "is wrong" not in (here / "summary.txt").read_text()


def test_every_verdict_points_at_evidence_that_is_there(here: Path) -> None:
    for name, each in outcomes(here).items():
        evidence = each["evidence"]
        path = here / evidence["file"]
        assert path.is_file(), name
        if "line" in evidence:
            assert 1 <= evidence["line"] <= len(path.read_text(errors="replace").splitlines()), name
        assert each["reason"], name


def test_the_output_says_that_the_gpus_are_simulated(here: Path, demonstration: Demonstration) -> None:
    assert json.loads((here / "outcomes.json").read_text())["simulated"] is True
    for text in ((here / "compatibility.md").read_text(), demonstration.said.read_text()):
        assert "simulated" in text.lower()
    rows = json.loads((here / "compatibility.json").read_text())["rows"]
    assert len(rows) == len(truth.CAUSE_OF)


def test_a_tuple_takes_no_more_than_five_files(here: Path) -> None:
    directories = list((here / "tuples").iterdir())
    assert directories
    assert max(len(list(directory.iterdir())) for directory in directories) <= 5


def test_classifying_again_gives_the_same_bytes(here: Path) -> None:
    before = (here / "outcomes.json").read_bytes()
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "sweep", "classify", here], check=True, capture_output=True)
        assert (here / "outcomes.json").read_bytes() == before


# --------------------------------------------------------------------------- jobs


def test_every_submitted_tuple_had_a_job_that_ran_or_waited(
    events: dict[str, list[Event]], history: dict[str, dict[str, Any]], here: Path, jobs: dict[str, str]
) -> None:
    assert set(events) == set(history) == set(jobs)
    for name in jobs:
        kinds = [event.kind for event in events[name]]
        ad = history[name]
        assert kinds.count("SUBMIT") == 1, name
        assert {event.cluster for event in events[name]} == {ad["ClusterId"]}, name
        assert ad["Iwd"] == str(here / "tuples" / name)
        if jobs[name] in NEVER_RUN:
            assert "EXECUTE" not in kinds, name
            assert kinds[-1] == "JOB_ABORTED", name
            assert ad["JobStatus"] == 3, name
            assert "LastRemoteHost" not in ad, name
        else:
            # A package that is broken on one machine is tried on another, where there is one.
            tries = (1, 2) if jobs[name] == "install-failed" else (1,)
            assert kinds.count("EXECUTE") in tries, name
            assert kinds[-1] == "JOB_TERMINATED", name
            assert ad["JobStatus"] == 4, name
            assert ad["ExitCode"] in ((0, 76) if jobs[name] == "install-failed" else (0,)), name
            assert ad["NumJobStarts"] == kinds.count("EXECUTE"), name
            assert ad["LastRemoteHost"].endswith(f".{DOMAIN}"), name
    held = [name for name in jobs if "JOB_HELD" in [event.kind for event in events[name]]]
    assert held == [name for name, cause in truth.CAUSE_OF.items() if cause == "held"]


def test_every_job_ran_on_one_device_of_exactly_its_capability(
    events: dict[str, list[Event]], here: Path, jobs: dict[str, str]
) -> None:
    ran = 0
    for name in (name for name, cause in jobs.items() if cause not in NEVER_RUN):
        for started in (event for event in events[name] if event.kind == "EXECUTE"):
            found = device(started)
            assert found["Capability"] == capability(name), name
            assert found["DeviceName"].endswith("(simulated)"), name
        result = json.loads((here / "tuples" / name / "result.json").read_text())
        # Where the packages do not install, the probe is not reached, which reads the slot's description.
        own = [] if jobs[name] == "install-failed" else [capability(name)]
        assert [float(d["capability"]) for d in result["node"]["devices"]] == own, name
        ran += 1
    assert ran == 82


# --------------------------------------------------------------------------- files


def locks(here: Path) -> list[Path]:
    return sorted(here.glob("environments/*/conda-lock.yml"))


def packages(text: str) -> list[str]:
    """What an explicit lock installs: its lines but for comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_lock_is_read_by_conda_lock_and_the_explicit_lock_equals_it(here: Path, jobs: dict[str, str]) -> None:
    from conda_lock.lockfile import parse_conda_lock_file

    needed = {name.rpartition("-sm")[0] for name in jobs}
    assert {path.parent.name for path in locks(here)} == needed
    digests = {e["id"]: e.get("lock_sha256") for e in json.loads((here / "plan.json").read_text())["environments"]}
    for path in locks(here):
        lock = parse_conda_lock_file(path)
        explicit = (path.parent / "explicit.txt").read_text()
        first, *urls = packages(explicit)
        assert first == "@EXPLICIT"
        assert sorted(urls) == sorted(f"{p.url}#{p.hash.md5 or p.hash.sha256}" for p in lock.package), path
        assert digests[path.parent.name] == hashlib.sha256(explicit.encode()).hexdigest()


@pytest.mark.parametrize("environment", ["pytorch-2.10-cuda13.0", "tensorflow-2.15-cuda11.8", "jax-0.6-cuda12.9"])
def test_conda_locks_own_command_renders_the_same_explicit_lock(here: Path, environment: str, tmp_path: Path) -> None:
    directory = here / "environments" / environment
    done = subprocess.run(
        [Path(sys.executable).with_name("conda-lock"), "render", "-p", "linux-64", directory / "conda-lock.yml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert packages((tmp_path / "conda-linux-64.lock").read_text()) == packages(
        (directory / "explicit.txt").read_text()
    )


def test_htcondors_checker_accepts_every_dag(here: Path, demonstration: Demonstration, jobs: dict[str, str]) -> None:
    for dag in (here / "sweep.dag", here / "tuples.dag", dags() / "sweep.dag"):
        done = subprocess.run(
            ["condor_dag_checker", dag],
            capture_output=True, text=True, env={**os.environ, **demonstration.pool.environment}, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
    assert (here / "tuples.dag").read_text().count("\nJOB ") == len(jobs)
