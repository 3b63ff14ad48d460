"""Event logs that a real HTCondor wrote, whole and damaged. Their times are local, so only differences are tested."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sweepdir import LOGS, TUPLE, event_log

from sweep import events
from sweep.events import History, Job, JobState


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
        ("output-missing", JobState.REMOVED, ["evicted"]),
        ("held-by-hand", JobState.REMOVED, ["evicted"]),
        ("still-held", JobState.HELD, ["evicted"]),
        ("removed-by-hand", JobState.REMOVED, ["evicted"]),
        ("vacated-then-done", JobState.EXITED, ["evicted", "terminated"]),
        ("vacated-idle-again", JobState.REMOVED, ["evicted"]),
        ("unfinished", JobState.RUNNING, [None]),
    ],
)
def test_what_a_job_came_to_and_how_each_start_ended(name, state, ends):
    job = read(name)
    assert job.state is state
    assert [attempt.ended_by for attempt in job.attempts] == ends
    assert job.state.over == (name not in ("still-held", "unfinished"))


def test_every_recording_is_tested():
    (parameters,) = test_what_a_job_came_to_and_how_each_start_ended.pytestmark
    assert {name for name, *_ in parameters.args[1]} | {"rescued"} == {path.stem for path in LOGS.glob("*.log")}


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
    assert second.device == "NVIDIA A100-SXM4-80GB MIG 1g.10gb (simulated)"
    assert first.slot is not None
    assert first.slot.endswith("@ampere@ampere.sim.example")
    assert (first.gpus, second.gpus) == (1, 1)


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


def test_a_second_start_without_an_end_closes_the_first(tmp_path):
    text = (LOGS / "unfinished.log").read_text()
    parts = text.split("...\n")
    execute = next(part for part in parts if part.startswith("001"))
    log = tmp_path / "events.log"
    log.write_text(text + execute + "...\n")
    (history,) = events.read(log).histories.values()
    assert [a.ended_by for a in history.attempts] == ["lost", None]


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


# --------------------------------------------------------------------------- logs that are not whole


@pytest.mark.parametrize("content", [None, b"", "directory"])
def test_no_log_is_an_empty_log(tmp_path, content):
    path = tmp_path / "events.log"
    if content == "directory":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    assert events.read(path) == events.EventLog({}, 0)


def test_a_log_cut_anywhere_is_read_as_far_as_its_whole_events_go(tmp_path):
    """A log that is being written ends like this, so it is no problem, and no event is made up."""
    whole = (LOGS / "retried.log").read_bytes()
    log = tmp_path / "events.log"
    last = whole.rindex(b"\n005 (") + 1
    for cut in (40, 600, 1500, last + 30, last + 300, len(whole) - 3):  # the bindings wait a second at some of these
        log.write_bytes(whole[:cut])
        found = events.read(log)
        assert found.problem is None
        assert found.events == whole[:cut].count(b"...\n")
        states = {history.last.state for history in found.histories.values()}
        assert states <= {JobState.IDLE, JobState.RUNNING}, cut


GARBAGE = bytes(range(256)) * 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda parts: [GARBAGE + b"\n", *parts],
        lambda parts: [*parts[:3], GARBAGE + b"\n", *parts[3:]],
        lambda parts: [*parts[:3], b"\0" * 4096 + parts[3], *parts[4:]],
        lambda parts: [*parts[:4], b"006 (002.000.000) 2026-99-99 99:99:99 Image\n", *parts[4:]],
    ],
    ids=["first", "an event of garbage", "a hole", "an impossible time"],
)
def test_damage_within_a_log_is_reported(tmp_path, damage):
    parts = (LOGS / "retried.log").read_bytes().split(b"...\n")
    log = tmp_path / "events.log"
    log.write_bytes(b"...\n".join(damage(parts)))
    found = events.read(log)
    assert found.problem is not None
    assert found.problem.startswith("the event log ")
    assert found.problem.isprintable()


def test_garbage_after_the_last_event_changes_nothing(tmp_path):
    log = tmp_path / "events.log"
    log.write_bytes((LOGS / "exit-0.log").read_bytes() + GARBAGE)
    found = events.read(log)
    assert found.problem is None
    assert [h.last.state for h in found.histories.values()] == [JobState.EXITED]


@pytest.mark.parametrize("content", [b"<?xml version='1.0'?>\n<c/>\n", b'{"MyType": "SubmitEvent"}\n', GARBAGE])
def test_what_is_no_event_log_at_all_has_no_histories(tmp_path, content):
    log = tmp_path / "events.log"
    log.write_bytes(content * 3)
    assert events.read(log).histories == {}


def test_the_line_of_the_newest_event_of_each_cluster(tmp_path):
    log = tmp_path / "events.log"
    log.write_text(event_log(("never-matched", TUPLE), ("exit-0", TUPLE)))
    lines = log.read_text().splitlines()
    found = events.last_lines(log)
    assert len(found) == 2
    assert lines[min(found.values()) - 1].startswith("009 (")
    assert lines[max(found.values()) - 1].startswith("005 (")
    assert events.last_lines(tmp_path / "gone") == {}


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
