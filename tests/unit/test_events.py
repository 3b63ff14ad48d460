"""Event logs that a real HTCondor wrote, whole and damaged. Their times are local, so only differences are tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweepdir import LOGS, TUPLE, event_log

from sweep import events
from sweep.events import STATE_AFTER, Attempt, History, Job, JobState


def read(name: str) -> events.Job:
    """The newest job of a recording's only tuple."""
    log = events.read(LOGS / f"{name}.log")
    assert log.problem is None
    (history,) = log.histories.values()
    return history.last


@pytest.mark.parametrize(
    ("name", "state", "ends"),
    [
        ("exit-0", JobState.EXITED, ["terminated"]),
        ("retried", JobState.EXITED, ["requeued", "terminated"]),
        ("requeued-idle-again", JobState.REMOVED, ["requeued"]),
        ("signal", JobState.SIGNALLED, ["terminated"]),
        ("never-matched", JobState.REMOVED, []),
        ("run-limit", JobState.REMOVED, ["removed"]),
        ("input-missing", JobState.REMOVED, []),
        ("input-missing-idle-again", JobState.REMOVED, []),
        ("output-missing", JobState.REMOVED, ["evicted"]),
        ("held-by-hand", JobState.REMOVED, ["evicted"]),
        ("still-held", JobState.HELD, ["evicted"]),
        ("removed-by-hand", JobState.REMOVED, ["evicted"]),
        ("vacated-then-done", JobState.EXITED, ["evicted", "terminated"]),
        ("vacated-idle-again", JobState.REMOVED, ["evicted"]),
        ("unfinished", JobState.RUNNING, [None]),
        ("held-by-policy", JobState.REMOVED, []),
        ("released", JobState.EXITED, ["evicted", "terminated"]),
        ("suspended", JobState.EXITED, ["terminated"]),
        ("reconnected", JobState.EXITED, ["terminated"]),
        ("reconnect-failed", JobState.EXITED, ["reconnect-failed", "terminated"]),
        ("shadow-killed", JobState.EXITED, ["lost", "terminated"]),
        ("shadow-exception", JobState.EXITED, ["terminated"]),
        ("machine-lost", JobState.DISCONNECTED, [None]),
    ],
)
def test_what_a_job_came_to_and_how_each_start_ended(name, state, ends):
    job = read(name)
    assert job.state is state
    assert [attempt.ended_by for attempt in job.attempts] == ends
    assert job.state.over == (name not in ("still-held", "unfinished", "machine-lost"))


def test_every_recording_is_tested():
    (parameters,) = test_what_a_job_came_to_and_how_each_start_ended.pytestmark
    assert {name for name, *_ in parameters.args[1]} | {"rescued", "late-materialised"} == {
        path.stem for path in LOGS.glob("*.log")
    }


def test_exit_codes_and_signals():
    assert (read("exit-0").exit_code, read("exit-0").signal) == (0, None)
    assert (read("retried").exit_code, read("retried").signal) == (75, None)
    assert (read("signal").exit_code, read("signal").signal) == (None, 9)


def test_the_reasons_of_holds_and_removals():
    assert read("never-matched").removal == "sweep:never-matched"
    assert read("requeued-idle-again").removal == "sweep:idle-again"
    assert read("run-limit").removal == "sweep:run-limit"
    assert read("removed-by-hand").removal == "not needed (by user nobody)"
    ((code, subcode, reason),) = read("input-missing").holds
    assert (code, subcode) == (13, 2)
    assert "gone.txt" in reason
    assert [hold[0] for hold in read("output-missing").holds] == [12]
    assert [hold[0] for hold in read("held-by-hand").holds] == [1]
    assert read("vacated-idle-again").evictions == ["Job vacated by schedd"]


def test_where_an_attempt_ran_is_read_from_the_log_alone():
    first, second = sorted(read("retried").attempts, key=lambda attempt: attempt.machine)
    assert (first.machine, second.machine) == ("ampere.sim.example", "mig.sim.example")
    assert (first.device, first.driver) == ("NVIDIA A100-SXM4-80GB (simulated)", "550.54.15")
    assert (first.capability, first.runtime) == ("8.0", "12.4")
    assert first.uuid == "GPU-0a72f964-ff47-583a-aec1-319f7e8f95d2"
    assert second.device == "NVIDIA A100-SXM4-80GB MIG 1g.10gb (simulated)"
    assert second.uuid == "MIG-e53d89aa-5b59-523a-9367-ba137a0847df"
    assert first.slot is not None
    assert first.slot.endswith("@ampere@ampere.sim.example")
    assert (first.gpus, second.gpus) == (1, 1)


def test_how_the_program_of_each_attempt_ended():
    assert [(a.exit_code, a.signal) for a in read("retried").attempts] == [(75, None), (75, None)]
    assert [(a.exit_code, a.signal) for a in read("signal").attempts] == [(None, 9)]
    assert [(a.exit_code, a.why) for a in read("released").attempts] == [
        (None, "a look at the node (by user nobody)"),
        (0, ""),
    ]


def test_who_removed_a_job_and_who_only_seems_to_have():
    assert read("removed-by-hand").removed_by == "nobody"
    assert read("never-matched").removed_by is None
    assert read("exit-0").removed_by is None


def test_whether_a_slot_ever_had_the_job():
    assert read("never-matched").matched is None
    assert read("input-missing").matched is not None  # matched, although nothing was started
    assert read("input-missing").attempts == []


def test_files_that_could_not_be_moved():
    assert "gone.txt" in read("input-missing").transfer_failures[0]
    assert "result.json" in read("output-missing").transfer_failures[0]
    assert "failed to send file(s)" in read("output-missing").errors[0]
    assert read("held-by-hand").transfer_failures == []
    assert read("held-by-policy").transfer_failures == []


def test_a_hold_by_policy_has_its_own_code():
    assert read("held-by-policy").holds == [(3, 42, "enough seen")]


def test_daemons_that_die_under_a_job():
    assert read("reconnected").disconnects == 1
    assert read("reconnected").evictions == []
    assert read("reconnect-failed").evictions == ["Job not found at execution machine"]
    assert read("reconnect-failed").disconnects == 1
    assert read("machine-lost").disconnects == 1
    assert "SHADOW_QUEUE_UPDATE_INTERVAL" in read("shadow-exception").evictions[0]
    assert read("shadow-killed").disconnects == 0


def test_what_a_job_went_through_in_order_with_lines():
    lines = (LOGS / "suspended.log").read_text().splitlines()
    job = read("suspended")
    assert [turn.event for turn in job.turns] == [
        "SUBMIT",
        "EXECUTE",
        "JOB_SUSPENDED",
        "JOB_UNSUSPENDED",
        "JOB_TERMINATED",
    ]
    assert [lines[turn.line - 1][:5] for turn in job.turns] == ["000 (", "001 (", "010 (", "011 (", "005 ("]
    assert job.line == job.turns[-1].line
    assert job.attempts[0].line == job.turns[1].line


def test_waiting_and_running_are_counted_in_seconds():
    job = Job(cluster=1, submitted=100)
    assert job.queue_seconds(now=130) == 30
    job.ended = 110
    assert job.queue_seconds(now=130) == 10
    job.attempts.append(Attempt(start=105, machine=None, slot=None, gpus=1, device=None, driver=None, end=109))
    assert job.queue_seconds(now=130) == 5
    assert job.attempts[0].seconds(now=130) == 4


def test_every_event_type_of_the_bindings_is_known_to_the_table():
    import htcondor2

    assert set(STATE_AFTER) == {kind.name for kind in htcondor2.JobEventType}


def test_jobs_that_a_cluster_makes_one_by_one_are_jobs_of_one_tuple():
    (history,) = events.read(LOGS / "late-materialised.log").histories.values()
    assert [(job.proc, job.state) for job in history.jobs] == [(0, JobState.EXITED), (1, JobState.EXITED)]


def test_gpu_seconds_are_seconds_times_devices_and_go_on_until_now():
    attempt = events.Attempt(start=100, machine=None, slot=None, gpus=2, device=None, driver=None)
    assert attempt.gpu_seconds(now=130) == 60
    attempt.end = 110
    assert attempt.gpu_seconds(now=130) == 20
    assert attempt.gpu_seconds(now=0) == 20
    attempt.end = 90  # the clock was set back
    assert attempt.gpu_seconds(now=130) == 0


def test_a_rescue_adds_a_job_to_the_same_tuple_and_foreign_jobs_are_left_out():
    log = events.read(LOGS / "rescued.log")
    assert log.problem is None
    (history,) = log.histories.values()
    assert history.tuple == "pytorch-2.5-cuda12.4-sm75"
    assert [job.state for job in history.jobs] == [JobState.REMOVED, JobState.EXITED]
    assert history.jobs[0].cluster < history.jobs[1].cluster == history.last.cluster
    assert len(history.attempts) == 2
    assert (LOGS / "rescued.log").read_text().count("\n000 (") == 3  # the foreign cluster has two jobs


def test_a_job_that_runs_again_after_its_end_keeps_the_verdict_that_it_reached(tmp_path):
    """As after a crash of the schedd, which had not noted the end."""
    text = (LOGS / "exit-0.log").read_text()
    again = next(part for part in text.split("...\n") if part.startswith("001 ")).replace("2026-", "2027-", 1)
    log = tmp_path / "events.log"
    log.write_text(f"{text}{again}...\n")
    (history,) = events.read(log).histories.values()
    assert [job.state for job in history.jobs] == [JobState.EXITED, JobState.RUNNING]
    assert history.decisive is history.jobs[0]


@pytest.mark.parametrize(
    "notes", ["", "    text\n", '    [ SweepTuple = "x" ]\n', "    [ SweepTuple = 17 ]\n", "    [ Sweep"]
)
def test_jobs_without_a_tuple_id_are_foreign(tmp_path, notes):
    first, *rest = (LOGS / "never-matched.log").read_text().splitlines(keepends=True)
    log = tmp_path / "events.log"
    log.write_text(first + notes + "".join(rest[1:]) + event_log(("exit-0", TUPLE)))
    found = events.read(log)
    assert list(found.histories) == [TUPLE]
    assert [job.state for job in found.histories[TUPLE].jobs] == [JobState.EXITED]


@pytest.mark.parametrize("content", [None, b"", "directory"])
def test_no_log_is_an_empty_log(tmp_path, content):
    path = tmp_path / "events.log"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    assert events.read(path) == events.EventLog({}, 0)


@pytest.mark.parametrize(
    "content", [b"<?xml version='1.0'?>\n<c/>\n", b'{"MyType": "SubmitEvent"}\n', bytes(range(256))]
)
def test_what_is_no_event_log_at_all_has_no_histories(tmp_path, content):
    log = tmp_path / "events.log"
    log.write_bytes(content * 3)
    assert events.read(log).histories == {}


@pytest.mark.parametrize("config", [None, "/nonexistent/condor_config"])
def test_a_log_is_read_without_any_htcondor(config):
    environment = {k: v for k, v in os.environ.items() if k != "CONDOR_CONFIG"} | (
        {"CONDOR_CONFIG": config} if config else {}
    )
    code = (
        "import sys, pathlib; from sweep import events; print(len(events.read(pathlib.Path(sys.argv[1])).histories))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(LOGS / "exit-0.log")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"


def test_the_recordings_name_no_place_of_this_machine():
    here = str(Path(__file__).resolve().parents[2])
    for path in LOGS.glob("*.log"):
        text = path.read_text()
        assert here not in text
        assert "/tmp/" not in text


def test_a_verdict_outlives_a_repeat_that_came_to_nothing() -> None:
    done = Job(cluster=7, submitted=1, state=JobState.EXITED, exit_code=0)
    repeat = Job(cluster=9, submitted=5, state=JobState.REMOVED, removal="via condor_rm")
    assert History("t", [done, repeat]).decisive is done
    assert History("t", [done, repeat]).last is repeat
    failed = Job(cluster=8, submitted=3, state=JobState.EXITED, exit_code=75)
    assert History("t", [failed, repeat]).decisive is repeat
