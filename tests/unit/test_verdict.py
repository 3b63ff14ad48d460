"""Verdicts from files on disk: the plan, a real HTCondor's event logs, and results such as the probe writes."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweepdir import FAR, LOGS, POOL, TUPLE, Sweep, lock_of, one, result, settled, submitted

from sweep import budget, events, verdict
from sweep.errors import BadFileError
from sweep.files import write_model
from sweep.model import VERDICT_OF, Cause, Rung, Verdict
from sweep.report import files, terminal
from sweep.schema import Plan, Spent
from sweep.verdict import classify

AT_PLANNING = [Cause.NO_SUCH_SLOT, Cause.NO_BUILD, Cause.UNSATISFIABLE, Cause.CPU_BUILD]


def newest(recording: str) -> datetime:
    """The time of a recording's last event, by this machine's clock."""
    return datetime.fromtimestamp(events.read(LOGS / f"{recording}.log").newest, UTC)


def failed(rung: str, message: str, exception: str = "RuntimeError", **changes):
    """A result whose ladder breaks on one rung."""
    return result(broken={"rung": rung, "exception": exception, "message": message}, **changes)


def install_failed(kind: str | None, message: str = "it says why"):
    steps = [{"name": "node", "ok": True, "seconds": 0.1}]
    steps += [{"name": "install", "ok": False, "seconds": 3.0, "kind": kind, "message": message}]
    return result(steps=steps, rungs=[], framework=None, state="running")


# --------------------------------------------------------------------------- settled at planning


@pytest.mark.parametrize("cause", AT_PLANNING)
def test_what_planning_settled_stays_as_it_was_settled(tmp_path, cause):
    sweep = Sweep(tmp_path)
    sweep.plan([settled(TUPLE, cause, "the-rule", "the reason")])
    sweep.result(TUPLE, result())  # whatever lies there: no job was submitted
    outcome = sweep.only()
    assert (outcome.cause, outcome.verdict, outcome.rule) == (cause, VERDICT_OF[cause], "the-rule")
    assert (outcome.submitted, outcome.attempts, outcome.gpu_seconds) == (False, 0, 0)
    assert (outcome.reason, outcome.evidence.file) == ("the reason", "plan.json")


# --------------------------------------------------------------------------- the probe reached a verdict


def test_every_rung_passed(tmp_path):
    outcome = one(tmp_path, "exit-0", result()).only()
    assert (outcome.verdict, outcome.cause, outcome.rung) == (Verdict.WORKS, Cause.ALL_RUNGS, None)
    (attempt,) = events.read(LOGS / "exit-0.log").histories[TUPLE].attempts
    assert attempt.device is not None
    assert (outcome.machine, outcome.device, outcome.driver) == (attempt.machine, attempt.device, attempt.driver)
    assert outcome.attempts == 1
    assert (outcome.build, outcome.lock_sha256) == ("cuda124_py312_0", lock_of("pytorch-2.5-cuda12.4"))


@pytest.mark.parametrize(
    "jit",
    [
        {"outcome": "failed", "exception": "TritonMissing", "message": "Cannot find a working triton installation"},
        {"outcome": "hung", "seconds": 600.0},
        {"outcome": "crashed", "signal": 11},
    ],
)
def test_kernels_without_a_compiler_still_work(tmp_path, jit):
    outcome = one(tmp_path, "exit-0", result(broken={"rung": "jit", **jit})).only()
    assert (outcome.verdict, outcome.cause, outcome.rung) == (Verdict.WORKS, Cause.NO_JIT, Rung.JIT)
    assert jit.get("message", jit["outcome"]) in outcome.reason


@pytest.mark.parametrize(
    ("rung", "exception", "message", "stderr", "cause"),
    [
        ("import", "ImportError", "cannot import name 'x' from 'y'", "", Cause.IMPORT_FAILED),
        ("import", "ImportError", "libcudart.so.12: cannot open shared object file", "", Cause.LIBRARY_MISSING),
        ("cuda-build", "CpuBuild", "torch 2.5.1 is built without CUDA", "", Cause.CPU_BUILD),
        ("device", "NoDevice", "the list of devices is empty", "", Cause.NO_DEVICE),
        ("device", "RuntimeError", "CUDA driver version is insufficient for CUDA runtime", "", Cause.DRIVER_TOO_OLD),
        ("kernel", "RuntimeError", "PTX was compiled with an unsupported toolchain.", "", Cause.DRIVER_TOO_OLD),
        ("kernel", "RuntimeError", "CUDA error: no kernel image is available", "", Cause.NO_KERNEL_IMAGE),
        ("device", "NoDevice", "the list is empty", "Cannot dlopen some GPU libraries", Cause.LIBRARY_MISSING),
        ("copy", "OutOfMemoryError", "CUDA out of memory. Tried to allocate 2.00 MiB", "", Cause.OUT_OF_MEMORY),
        ("library", "WrongResult", "convolution: element [0][0] is 1.0 instead of 2.0", "", Cause.WRONG_RESULT),
        ("device", "WrongDevice", "the framework sees 2 devices instead of one", "", Cause.INFRASTRUCTURE),
    ],
)
def test_the_first_broken_rung_decides(tmp_path, rung, exception, message, stderr, cause):
    sweep = one(tmp_path, "exit-0", failed(rung, message, exception, stderr=stderr))
    outcome = sweep.only()
    assert (outcome.cause, outcome.verdict, outcome.rung) == (cause, VERDICT_OF[cause], rung)
    assert outcome.rule is not None
    assert (stderr or message) in outcome.reason
    assert outcome.evidence.file == f"tuples/{TUPLE}/result.json"
    assert outcome.evidence.line is not None
    line = (sweep.here / outcome.evidence.file).read_text().splitlines()[outcome.evidence.line - 1]
    assert message in line


@pytest.mark.parametrize("rung", ["copy", "kernel", "library"])
@pytest.mark.parametrize("message", ["the moon is in the wrong phase", "", "expected ';' before '}' token"])
def test_what_no_rule_knows_is_inconclusive_and_never_a_guess(tmp_path, rung, message):
    outcome = one(tmp_path, "exit-0", failed(rung, message)).only()
    assert (outcome.verdict, outcome.cause, outcome.rule) == (Verdict.INCONCLUSIVE, Cause.NO_RESULT, None)
    assert message in outcome.reason


def test_a_crash_and_a_hang_say_on_which_rung(tmp_path):
    crashed = one(
        tmp_path / "a", "exit-0", result(broken={"rung": "kernel", "outcome": "crashed", "signal": 11})
    ).only()
    assert (crashed.cause, crashed.rung, crashed.reason) == (
        Cause.CRASHED,
        Rung.KERNEL,
        "kernel: killed by signal 11",
    )
    hung = one(tmp_path / "b", "exit-0", result(broken={"rung": "copy", "outcome": "hung", "seconds": 600.2})).only()
    assert (hung.cause, hung.rung, hung.reason) == (Cause.HUNG, Rung.COPY, "copy: no end after 600 s")


@pytest.mark.parametrize("kind", ["count", "missing"])
def test_packages_that_are_not_there_are_the_versions_fault(tmp_path, kind):
    outcome = one(tmp_path, "exit-0", install_failed(kind)).only()
    assert (outcome.verdict, outcome.cause) == (Verdict.RESOLVE_FAILURE, Cause.INSTALL_FAILED)
    assert (outcome.rule, outcome.reason) == (f"install-{kind}", f"{kind}: it says why")


@pytest.mark.parametrize("kind", ["network", "disk-full", "timeout", "killed", "other", "a-new-kind", None])
def test_everything_else_that_stops_an_installation_is_the_nodes(tmp_path, kind):
    outcome = one(tmp_path, "exit-0", install_failed(kind)).only()
    assert (outcome.verdict, outcome.cause) == (Verdict.INCONCLUSIVE, Cause.INFRASTRUCTURE)
    assert "it says why" in outcome.reason


@pytest.mark.parametrize(
    ("framework", "devices", "cause"),
    [
        ({"capability": "8.0"}, [], Cause.ALL_RUNGS),
        ({"capability": "8.6"}, [{"capability": "8.0"}], Cause.INFRASTRUCTURE),
        ({}, [{"capability": "8.0"}], Cause.ALL_RUNGS),  # older versions do not tell, the slot does
        (None, [{"capability": "8.0"}], Cause.ALL_RUNGS),
        ({}, [{"capability": "8.6"}], Cause.INFRASTRUCTURE),
        ({}, [{"capability": "8.0"}, {"capability": "8.0"}], Cause.INFRASTRUCTURE),
        ({}, [{}], Cause.INFRASTRUCTURE),
        ({}, [], Cause.INFRASTRUCTURE),
        (None, [], Cause.INFRASTRUCTURE),
    ],
)
def test_works_needs_a_gpu_of_the_tuples_own_capability(tmp_path, framework, devices, cause):
    sweep = one(tmp_path, "exit-0", result(framework=framework, node={"devices": devices}))
    log = sweep.here / "events.log"
    whole = log.read_text()
    log.write_text(re.sub(r"\tGPUs_MIG_.*\n", "", whole))  # an old startd, which says nothing of its devices
    assert sweep.only().cause is cause
    # What the startd says is enough where nobody else says anything; but nobody may say otherwise.
    log.write_text(whole)
    disagree = "8.6" in str((framework, devices))
    assert sweep.only().cause is (Cause.INFRASTRUCTURE if disagree else Cause.ALL_RUNGS)
    log.write_text(whole.replace("Capability = 8.0", "Capability = 9.0"))
    assert sweep.only().cause is Cause.INFRASTRUCTURE


MIG = "MIG-e53d89aa-5b59-523a-9367-ba137a0847df"  # the device of the recording


@pytest.mark.parametrize(
    ("node", "same"),
    [
        ({"devices": [{"uuid": MIG}]}, True),
        ({"devices": [{"uuid": MIG.lower()}]}, True),
        ({"devices": [{"uuid": "GPU-0a72f964-ff47-583a-aec1-319f7e8f95d2"}, {"uuid": MIG}]}, True),
        ({"cuda_visible_devices": MIG}, True),
        ({"cuda_visible_devices": "0"}, True),  # an index names no device
        ({"devices": [{"uuid": None}]}, True),
        ({}, True),
        ({"devices": [{"uuid": "GPU-0a72f964-ff47-583a-aec1-319f7e8f95d2"}]}, False),
        ({"devices": [{"uuid": "MIG-0a72f964-ff47-583a-aec1-319f7e8f95d2"}]}, False),
        ({"cuda_visible_devices": "GPU-0a72f964"}, False),
    ],
)
@pytest.mark.parametrize("broken", [None, {"rung": "kernel", "message": "no kernel image is available"}])
def test_a_result_from_another_gpu_proves_nothing(tmp_path, node, same, broken):
    outcome = one(tmp_path, "exit-0", result(node=node, broken=broken)).only()
    if same:
        assert outcome.cause is (Cause.NO_KERNEL_IMAGE if broken else Cause.ALL_RUNGS)
        assert outcome.uuid == MIG
    else:
        assert (outcome.verdict, outcome.cause) == (Verdict.INCONCLUSIVE, Cause.INFRASTRUCTURE)
        assert outcome.rule == "wrong-device"
        assert MIG in outcome.reason
        assert "0a72f964" in outcome.reason


def test_what_was_compared_is_said(tmp_path):
    node = {"devices": [{"uuid": MIG, "capability": "8.0", "driver": "525.60.13"}]}
    outcome = one(tmp_path, "exit-0", result(node=node)).only()
    assert outcome.compared == (
        "UUID: the event log, the slot; capability: the tuple, the event log, the slot, the framework"
    )
    (attempt,) = events.read(LOGS / "exit-0.log").histories[TUPLE].attempts
    assert outcome.started is not None
    assert outcome.ended is not None
    assert (outcome.started.timestamp(), outcome.ended.timestamp()) == (attempt.start, attempt.end)
    assert outcome.driver == "525.60.13"


def test_a_tuple_of_a_gpu_class_needs_that_model_and_driver(tmp_path):
    own = POOL.classes[0].model_copy(update={"driver": "525.60.13", "device": "Model A"})
    tuple_id = f"{TUPLE}-{own.label}"
    for name, driver, cause in (
        ("Model A", "525.60.13", Cause.ALL_RUNGS),
        (None, "525.60.13", Cause.INFRASTRUCTURE),  # then the event log says which model it was
        ("Model B", "525.60.13", Cause.INFRASTRUCTURE),
        ("Model A", "550.54.15", Cause.INFRASTRUCTURE),
    ):
        sweep = Sweep(tmp_path / f"{name} {driver}")
        sweep.plan([submitted(tuple_id)], pool=POOL.model_copy(update={"classes": (own,)}))
        sweep.log(("exit-0", tuple_id))
        device = {"uuid": MIG, "name": name, "driver": driver, "capability": "8.0"}
        sweep.result(tuple_id, result(tuple_id, node={"devices": [device]}))
        outcome = sweep.only()
        assert outcome.cause is cause, outcome.reason
        if cause is Cause.INFRASTRUCTURE:
            assert "Model A" in outcome.reason or "525.60.13" in outcome.reason


# --------------------------------------------------------------------------- packages: theirs or the machine's fault

AMPERE, MIG_HOST = "ampere.sim.example", "mig.sim.example"
JAX = "jax-0.6-cuda12.4-sm80"


def on(machine: str, **changes):
    """A result from one machine."""
    return {"node": {"machine": machine, "devices": [{"capability": "8.0"}]}, **changes}


def two_attempts(*codes: int) -> str:
    """The recording of a job that was tried on ampere and then on mig, ending with these exit codes."""
    text = (LOGS / "retried.log").read_text()
    first, second = text.split("(return value 75)", 1)
    return f"{first}(return value {codes[0]}){second.replace('(return value 75)', f'(return value {codes[1]})')}"


@pytest.mark.parametrize("kind", ["checksum", "corrupt"])
@pytest.mark.parametrize(
    ("codes", "cause", "said"),
    [
        ((76, 0), Cause.INSTALL_FAILED, "(alike on 2 machines, ampere.sim.example among them)"),
        ((75, 0), Cause.INFRASTRUCTURE, "on the one machine that tried"),
        ((75, 76), Cause.INFRASTRUCTURE, "on the one machine that tried"),
    ],
)
def test_a_broken_package_takes_two_machines(tmp_path, kind, codes, cause, said):
    failed = install_failed(kind) | on(MIG_HOST)
    sweep = one(tmp_path, "retried", failed | {"state": "running" if codes[1] else "done"})
    (sweep.here / "events.log").write_text(two_attempts(*codes))
    outcome = sweep.only()
    assert (outcome.cause, outcome.rule, outcome.attempts) == (cause, f"install-{kind}", 2)
    assert outcome.reason.startswith(f"{kind}: it says why (")
    assert said in outcome.reason


def two_tuples(directory, first, second, same_environment: bool = True) -> list:
    """The causes of two tuples that fail or work with one lock: jobs that end at once, on ampere and on mig."""
    other = TUPLE.replace("sm80", "sm90") if same_environment else JAX
    sweep = Sweep(directory)
    sweep.plan([submitted(TUPLE), submitted(other)])
    sweep.log(("exit-0", TUPLE), ("exit-0", other))
    for tuple_id, content in ((TUPLE, first), (other, second)):
        sweep.result(tuple_id, content | {"tuple": tuple_id})
    return [o.cause for o in sweep.classify().tuples]


def test_other_tuples_with_the_same_lock_tell_whose_fault_it_is(tmp_path):
    here, there = install_failed("checksum") | on(AMPERE), install_failed("checksum") | on(MIG_HOST)
    good = result(TUPLE.replace("sm80", "sm90")) | {"node": {"machine": MIG_HOST}}
    missing = install_failed("missing") | on(AMPERE)
    assert two_tuples(tmp_path / "a", here, there) == [Cause.INSTALL_FAILED] * 2
    assert two_tuples(tmp_path / "b", here, here) == [Cause.INFRASTRUCTURE] * 2
    assert two_tuples(tmp_path / "c", here, good) == [Cause.INFRASTRUCTURE, Cause.ALL_RUNGS]
    assert two_tuples(tmp_path / "d", missing, good) == [Cause.INFRASTRUCTURE, Cause.ALL_RUNGS]
    assert two_tuples(tmp_path / "e", here, there, same_environment=False) == [Cause.INFRASTRUCTURE] * 2


def test_a_package_fault_that_waits_in_vain_for_another_machine_is_still_one(tmp_path):
    sweep = one(tmp_path, "requeued-idle-again", install_failed("checksum") | on(AMPERE))
    outcome = sweep.only()
    assert (outcome.cause, outcome.rule) == (Cause.INFRASTRUCTURE, "install-checksum")
    assert "on the one machine that tried" in outcome.reason


# --------------------------------------------------------------------------- no verdict from a missing or bad file


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b" \n",
        json.dumps(result()).encode()[:-40],
        bytes(range(256)),
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b"null",
        b"[]",
        b'"works"',
        json.dumps(result() | {"stderr": "x" * 2_000_000}).encode(),
        json.dumps(result() | {"stderr": "x" * 30_000}).encode(),
        json.dumps(result() | {"schema": "sweep.result/2"}).encode(),
        json.dumps(result("pytorch-2.5-cuda12.4-sm90")).encode(),
        json.dumps(result() | {"state": "finished"}).encode(),
        json.dumps(result() | {"rungs": "passed"}).encode(),
        json.dumps(result() | {"rungs": [{"rung": "import", "outcome": "passed", "seconds": "1"}]}).encode(),
        json.dumps(result() | {"rungs": [{"rung": "moon", "outcome": "passed"}]}).encode(),
        json.dumps(result() | {"rungs": result()["rungs"] * 20}).encode(),
        json.dumps(result() | {"rungs": [{"rung": "import", "outcome": "passed", "seconds": float("nan")}]}).encode(),
        json.dumps(result() | {"rungs": [{"rung": "import", "outcome": "passed", "seconds": -1}]}).encode(),
        json.dumps(result() | {"rungs": [{"rung": "import", "outcome": "passed", "seconds": 1e300}]}).encode(),
        json.dumps(result() | {"framework": {"capability": ["8.0"]}}).encode(),
        json.dumps(result()).replace('"8.0"', '"\\ud800"').encode(),
        json.dumps(result()).encode("utf-16"),
        json.dumps(result() | {"state": "running"}).encode(),
        json.dumps(result() | {"rungs": []}).encode(),
        json.dumps(result() | {"rungs": result()["rungs"][:3]}).encode(),
        json.dumps(result(broken={"rung": "copy", "outcome": "running"})).encode(),
        json.dumps(result(broken={"rung": "copy", "outcome": "skipped"})).encode(),
    ],
    ids=[
        *("missing", "empty", "blank", "truncated", "binary", "deep list", "deep object", "null", "list", "string"),
        *("huge", "long stderr", "another schema", "another tuple", "unknown state", "rungs no list"),
        *("seconds a string", "unknown rung", "too many rungs", "NaN", "negative", "absurd", "capability a list"),
        *("lone surrogate", "utf-16", "not done", "no rungs", "few rungs", "rung running", "rung skipped"),
    ],
)  # fmt: skip
def test_exit_0_without_a_usable_result_is_inconclusive(tmp_path, content):
    outcome = one(tmp_path, "exit-0", content).only()
    assert (outcome.verdict, outcome.cause) == (Verdict.INCONCLUSIVE, Cause.NO_RESULT)
    assert outcome.attempts == 1
    assert len(outcome.reason) < 300


def test_a_result_of_another_tuple_is_refused_by_name(tmp_path):
    outcome = one(tmp_path, "exit-0", result("pytorch-2.5-cuda12.4-sm90")).only()
    assert outcome.reason == "the job exited 0, but result.json belongs to another tuple"


@pytest.mark.parametrize("kind", ["symlink", "dangling", "directory", "fifo"])
def test_a_result_that_is_no_regular_file_is_never_followed(tmp_path, kind):
    sweep = one(tmp_path, "exit-0", result())
    path = sweep.here / "tuples" / TUPLE / "result.json"
    elsewhere = path.rename(path.with_name("elsewhere.json"))
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(elsewhere if kind == "symlink" else tmp_path / "gone")
    outcome = sweep.only()
    assert outcome.cause is Cause.NO_RESULT
    assert "not a regular file" in outcome.reason


def test_a_result_without_an_event_says_nothing(tmp_path):
    """The event log says what happened to the job; a file that lies there may be an earlier sweep's."""
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(TUPLE)])
    sweep.result(TUPLE, result())
    outcome = sweep.only()
    assert (outcome.cause, outcome.evidence.file) == (Cause.NO_RESULT, "events.log")
    assert sweep.classify().state == "unfinished"


@pytest.mark.parametrize(
    "recording", ["never-matched", "removed-by-hand", "run-limit", "still-held", "unfinished", "signal"]
)
def test_a_result_does_not_outweigh_what_the_event_log_says(tmp_path, recording):
    assert one(tmp_path, recording, result()).only().verdict is not Verdict.WORKS


# --------------------------------------------------------------------------- the job did not reach a verdict


@pytest.mark.parametrize(
    ("recording", "cause", "rule", "said"),
    [
        ("never-matched", Cause.WAITED_OUT, "never-matched", "within 86400 s in the queue"),
        ("still-held", Cause.HELD, None, "held with code 1/0: maintenance"),
        ("held-by-hand", Cause.HELD, None, "held with code 1/0: maintenance"),
        ("input-missing", Cause.TRANSFER_FAILED, None, "gone.txt"),
        ("output-missing", Cause.TRANSFER_FAILED, None, "held with code 12/2"),
        ("input-missing-idle-again", Cause.TRANSFER_FAILED, None, "tried 1 time(s), and no other machine came free"),
        ("vacated-idle-again", Cause.EVICTED, None, "Job vacated by schedd"),
        ("requeued-idle-again", Cause.INFRASTRUCTURE, None, "failed on every machine"),
        ("retried", Cause.INFRASTRUCTURE, None, "exit code 75 after 2 attempt(s)"),
        ("signal", Cause.INFRASTRUCTURE, None, "signal 9 after 1 attempt(s)"),
        ("removed-by-hand", Cause.REMOVED, None, "not needed (by user nobody)"),
        ("run-limit", Cause.NO_RESULT, "run-limit", "past 7200 s"),
        ("unfinished", Cause.NO_RESULT, None, "still running when the log ended"),
    ],
)
def test_what_the_event_log_decides(tmp_path, recording, cause, rule, said):
    sweep = one(tmp_path, recording)
    outcome = sweep.only()
    assert (outcome.cause, outcome.verdict, outcome.rule) == (cause, VERDICT_OF[cause], rule)
    assert said in outcome.reason
    assert outcome.evidence.file == "events.log"
    line = (sweep.here / "events.log").read_text().splitlines()[outcome.evidence.line - 1]
    assert line[3:6] == " (1"  # the header of an event of this job's cluster


def test_exit_75_says_what_stopped_the_last_attempt(tmp_path):
    outcome = one(tmp_path, "retried", install_failed("network", "Could not resolve host")).only()
    assert outcome.cause is Cause.INFRASTRUCTURE
    assert outcome.reason.endswith("attempt(s): install: network: Could not resolve host")
    assert outcome.evidence.file == f"tuples/{TUPLE}/result.json"


def test_gpu_seconds_count_every_attempt_of_every_job(tmp_path):
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(TUPLE)])
    sweep.log(("retried", TUPLE), ("run-limit", TUPLE))
    log = events.read(sweep.here / "events.log")
    seconds = [a.end - a.start for a in log.histories[TUPLE].attempts]
    assert len(seconds) == 3
    outcomes = sweep.classify()
    assert outcomes.tuples[0].gpu_seconds == sum(seconds) > 0
    assert outcomes.tuples[0].attempts == 3
    assert outcomes.tuples[0].run_seconds == seconds[-1]
    assert outcomes.gpu_hours == round(sum(seconds) / 3600, 4)


def test_the_newest_job_of_a_rescued_tuple_decides(tmp_path):
    tuple_id = "pytorch-2.5-cuda12.4-sm75"
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(tuple_id)])
    sweep.log(("rescued", tuple_id))
    sweep.result(tuple_id, result(tuple_id))
    outcome = sweep.only()
    assert (outcome.cause, outcome.attempts) == (Cause.ALL_RUNGS, 2)
    assert sweep.classify().state == "complete"


# --------------------------------------------------------------------------- the deadline, and how a sweep ended


@pytest.mark.parametrize("recording", ["never-matched", "run-limit", "removed-by-hand", "vacated-idle-again"])
def test_what_the_deadline_ended(tmp_path, recording):
    """A removal at or after the deadline; DAGMan's own removal of its jobs has no token of ours."""
    sweep = one(tmp_path, recording, deadline=newest(recording))
    text = (sweep.here / "events.log").read_text()
    (sweep.here / "events.log").write_text(
        text.replace("sweep:never-matched", "sweep:deadline").replace("sweep:run-limit", "DAG Removed")
    )
    outcome = sweep.only()
    if recording == "vacated-idle-again":  # the job's own clause fired first, and says more
        assert outcome.cause is Cause.EVICTED
    else:
        assert (outcome.cause, outcome.rule) == (Cause.OVER_BUDGET, "deadline")
    assert sweep.classify().state == "deadline"


def test_a_tuple_whose_turn_never_came_is_over_budget_only_after_the_deadline(tmp_path):
    other = "pytorch-2.5-cuda12.4-sm90"
    sweep = Sweep(tmp_path)
    sweep.log(("exit-0", TUPLE))
    for deadline, cause in (
        (newest("exit-0"), Cause.OVER_BUDGET),
        (newest("exit-0") + timedelta(seconds=1), Cause.NO_RESULT),
    ):
        sweep.plan([submitted(TUPLE), submitted(other)], deadline=deadline)
        assert sweep.classify().tuples[1].cause is cause


def test_what_a_spent_budget_left_undone_is_over_budget(tmp_path):
    removed, unsubmitted = "pytorch-2.5-cuda12.4-sm90", "pytorch-2.5-cuda12.4-sm70"
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(each) for each in (TUPLE, removed, unsubmitted)])
    sweep.log(("exit-0", TUPLE), ("never-matched", removed))
    sweep.result(TUPLE, result())
    log = sweep.here / "events.log"
    log.write_text(log.read_text().replace("sweep:never-matched", budget.TOKEN))
    spent = Spent(taken=datetime(2026, 11, 20, tzinfo=UTC), budget=2.5, spent=2.6)
    write_model(sweep.here / "spent.json", spent)
    outcomes = sweep.classify()
    assert [o.cause for o in outcomes.tuples] == [Cause.ALL_RUNGS, Cause.OVER_BUDGET, Cause.OVER_BUDGET]
    assert "budget of 2.5 GPU-hours" in outcomes.tuples[2].reason
    assert outcomes.state == "over-budget"


def test_a_capabilitys_own_budget_speaks_of_its_tuples_alone(tmp_path):
    v100, h100 = "pytorch-2.5-cuda12.4-sm70", "pytorch-2.5-cuda12.4-sm90"
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(each) for each in (TUPLE, v100, h100)])
    sweep.log(("exit-0", TUPLE))
    sweep.result(TUPLE, result())
    spent = Spent(taken=datetime(2026, 11, 20, tzinfo=UTC), budget=2.5, spent=2.6, capability="9.0")
    write_model(sweep.here / "spent-9.0.json", spent)
    outcomes = sweep.classify()
    assert [o.cause for o in outcomes.tuples] == [Cause.ALL_RUNGS, Cause.NO_RESULT, Cause.OVER_BUDGET]
    assert outcomes.tuples[2].reason.startswith("capability 9.0's budget of 2.5 GPU-hours was spent")


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "sweep.spent/2"}'])
def test_a_damaged_note_of_the_budget_is_no_verdict(tmp_path, content):
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(TUPLE)])
    sweep.log()
    (sweep.here / "spent.json").write_text(content)
    assert sweep.only().cause is Cause.NO_RESULT


@pytest.mark.parametrize(
    ("recording", "state"),
    [
        ("exit-0", "complete"),
        ("never-matched", "complete"),
        ("held-by-hand", "complete"),
        ("removed-by-hand", "complete"),
        ("unfinished", "unfinished"),
        ("still-held", "unfinished"),
    ],
)
def test_how_the_sweep_ended(tmp_path, recording, state):
    assert one(tmp_path, recording).classify().state == state


def test_a_damaged_log_is_noted(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    path = sweep.here / "events.log"
    path.write_bytes(b"garbage\n...\n" + path.read_bytes())
    outcomes = sweep.classify()
    assert outcomes.notes
    assert outcomes.notes[0].startswith("the event log is damaged")


# --------------------------------------------------------------------------- everything together

RECORDINGS = {path.stem: path.read_text() for path in LOGS.glob("*.log")}
# Those whose job came to its end and exited 0.
ENDED_WELL = {name for name, text in RECORDINGS.items() if "(return value 0)" in text.rpartition("\n005 (")[2]}

SCENES = st.one_of(
    st.tuples(st.just("settled"), st.sampled_from(AT_PLANNING)),
    st.tuples(
        st.sampled_from([*sorted(RECORDINGS.keys() - {"rescued"}), "no event"]),
        st.sampled_from(["none", "good", "broken", "garbage"]),
    ),
)  # fmt: skip
IDS = st.builds(
    "{}-{}-cuda{}-sm{}".format,
    st.sampled_from(["pytorch", "tensorflow", "jax"]),
    st.sampled_from(["2.5", "2.10"]),
    st.sampled_from(["11.8", "12.4"]),
    st.sampled_from(["35", "80", "120"]),
)


@settings(max_examples=25, deadline=None)
@given(scenes=st.dictionaries(IDS, SCENES, min_size=1, max_size=10))
def test_every_tuple_appears_once_and_the_funnel_adds_up(tmp_path_factory, scenes):
    sweep = Sweep(tmp_path_factory.mktemp("sweep"))
    plan = []
    jobs = []
    for number, (tuple_id, (scene, detail)) in enumerate(scenes.items()):
        if scene == "settled":
            plan.append(settled(tuple_id, detail, rule=f"rule-{number % 3}"))
            continue
        plan.append(submitted(tuple_id))
        if scene != "no event":
            jobs.append((scene, tuple_id))
        if detail != "none":
            good = result(tuple_id, {"rung": "kernel", "message": "?"} if detail == "broken" else None)
            sweep.result(tuple_id, b"\0" if detail == "garbage" else good)
    sweep.plan(plan, deadline=FAR)
    sweep.log(*jobs)
    outcomes = sweep.classify()

    assert [o.id for o in outcomes.tuples] == list(scenes)
    assert all(o.verdict is VERDICT_OF[o.cause] and o.reason for o in outcomes.tuples)
    works = [t for t, (scene, detail) in scenes.items() if scene in ENDED_WELL and detail == "good"]
    assert [o.id for o in outcomes.tuples if o.verdict is Verdict.WORKS] == works

    stages = {row.stage: row for row in outcomes.funnel}
    assert len(stages) == len(outcomes.funnel)
    sent = stages["submitted"].count
    assert stages["candidates"].count == len(scenes)
    assert sum(r.count for r in outcomes.funnel if r.stage.startswith("pruned: ")) == len(scenes) - sent
    verdicts = [row for row in outcomes.funnel if row.stage.startswith("verdict: ")]
    assert sum(row.count for row in verdicts) == sent == sum(t.submitted for t in plan)
    for row in verdicts:
        assert sum(int(part.split()[0]) for part in row.detail.split(", ")) == row.count

    files.write_tables(sweep.here, outcomes)
    rows = list(csv.DictReader(io.StringIO((sweep.here / "compatibility.csv").read_text())))
    assert [row["id"] for row in rows] == list(scenes)
    table = json.loads((sweep.here / "compatibility.json").read_text())
    assert [row["id"] for row in table["rows"]] == list(scenes)
    assert [row["cause"] for row in table["rows"]] == [o.cause for o in outcomes.tuples]
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        terminal.show(outcomes, "here")
    for page in (screen.getvalue(), (sweep.here / "compatibility.md").read_text()):
        for outcome in outcomes.tuples:
            assert outcome.cause in page or outcome.cause is Cause.ALL_RUNGS


def test_every_cause_of_the_closed_list_is_reached_by_these_tests():
    """The causes that the cases above name, so that a new one asks for a case."""
    text = (LOGS.parents[1] / "test_verdict.py").read_text()
    assert {cause for cause in Cause if f"Cause.{cause.name}" in text} == set(Cause)


def test_classification_needs_a_plan_that_it_knows(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    path = sweep.here / "plan.json"
    data = json.loads(path.read_text())
    assert Plan.model_validate_json(path.read_bytes()).sweep == data["sweep"]
    for schema in ("sweep.plan/99", "sweep.plan/0", "\x1b[31m", 7):
        path.write_text(json.dumps({"a_later_field": 1} | data | {"schema": schema}))
        with pytest.raises(
            BadFileError, match=r"plan\.json: its schema is .*, and this sweeper reads 'sweep\.plan/1'"
        ) as told:
            classify(sweep.here)
        assert "start another sweep" in str(told.value)
        assert str(told.value).isprintable()
    for text in (json.dumps(data | {"extra": 1}), "{", ""):
        path.write_text(text)
        with pytest.raises(BadFileError, match=r"plan\.json: .*damaged or was written by another version"):
            classify(sweep.here)
    path.unlink()
    with pytest.raises(BadFileError, match=r"`sweep plan` writes it"):
        classify(sweep.here)


def test_a_compiler_that_computes_nonsense_does_not_work(tmp_path):
    jit = {"rung": "jit", "outcome": "failed", "exception": "WrongResult", "message": "element [0][0] is 2.0"}
    outcome = one(tmp_path, "exit-0", result(broken=jit)).only()
    assert (outcome.cause, outcome.rung) == (Cause.WRONG_RESULT, Rung.JIT)


@pytest.mark.parametrize(
    ("reason", "with_its_dag"),
    [
        ("DAG Removed: User removed scheduler job", True),
        ("removed because <OtherJobRemoveRequirements = DAGManJobId =?= 12> fired when job (12.0) was removed", True),
        ("via condor_rm (by user alice)", False),
        ("sweep:never-matched", False),
    ],
)
def test_a_job_that_goes_with_its_dag_is_told_from_one_that_a_person_removed(reason: str, with_its_dag: bool) -> None:
    assert bool(re.search(verdict._REMOVED_WITH_ITS_DAG, reason)) is with_its_dag
