"""The steps of the parent DAG and a sweep's life on disk, as far as they need no schedd."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sweepdir import TUPLE, Sweep, one, result, settled, submitted

from sweep import earlier, live, steps, sweeps
from sweep.errors import AlreadyRunningError, BadFileError, PoolError, ResultsError, SettingsError, SubmitError
from sweep.files import write_model
from sweep.model import Cause
from sweep.settings import FrameworkSettings, Settings


@pytest.fixture
def no_collector(tmp_path, monkeypatch):
    """A configuration whose collector and schedd are on a port where nobody listens."""
    config = tmp_path / "condor_config"
    text = "COLLECTOR_HOST = 127.0.0.1:1\nSCHEDD_HOST = nobody\n"
    config.write_text(text + "BIND_ALL_INTERFACES = false\nNETWORK_INTERFACE = 127.0.0.1\n")
    monkeypatch.setenv("CONDOR_CONFIG", str(config))
    import htcondor2

    htcondor2.reload_config()
    yield config
    monkeypatch.setenv("CONDOR_CONFIG", "/dev/null")
    htcondor2.reload_config()


def settings_below(directory: Path) -> Settings:
    return Settings(results=directory / "results", frameworks={"pytorch": FrameworkSettings()})


def told() -> tuple[list[str], steps.Say]:
    lines: list[str] = []
    return lines, lines.append


# --------------------------------------------------------------------------- plan


def test_a_plan_that_fails_leaves_word_and_the_closing_step_repeats_it(tmp_path, no_collector):
    sweep = Sweep(tmp_path)
    (sweep.here / "sweep.dag").write_text("")
    write_model(sweep.here / "settings.json", settings_below(tmp_path))
    with pytest.raises(PoolError, match=r"127\.0\.0\.1:1 does not answer"):
        steps.plan_step(sweep.here, told()[1])
    assert "does not answer" in (sweep.here / "plan.failed").read_text()
    assert not (sweep.here / "plan.json").exists()

    assert not steps.close_step(sweep.here, 2)
    summary = (sweep.here / "summary.txt").read_text()
    assert summary.startswith(f"Sweep {sweep.here.name} has no table: planning failed: the collector 127.0.0.1:1")
    assert "planning failed" in (sweep.here / "compatibility.md").read_text()
    assert not (sweep.here / "outcomes.json").exists()
    assert not (tmp_path / "latest").exists()
    assert live.progress(sweep.here).phase == "planning failed"


def test_a_sweep_without_settings_leaves_word_too(tmp_path):
    sweep = Sweep(tmp_path)
    (sweep.here / "sweep.dag").touch()
    with pytest.raises(SettingsError):
        steps.plan_step(sweep.here, told()[1])
    assert "settings.json" in (sweep.here / "plan.failed").read_text()


def test_planning_a_directory_that_is_no_sweeps_writes_nothing(tmp_path):
    for directory in (tmp_path, tmp_path / "typo"):
        with pytest.raises(BadFileError, match="is not a sweep's directory"):
            steps.plan_step(directory, told()[1])
    assert list(tmp_path.iterdir()) == []


def test_a_finished_plan_is_kept_and_an_old_failure_is_forgotten(tmp_path):
    sweep = Sweep(tmp_path)
    plan = sweep.plan([submitted(TUPLE)])
    before = (sweep.here / "plan.json").read_bytes()
    (sweep.here / "tuples.dag").write_text("")
    sweeps.note_failure(sweep.here, "an earlier failure")
    lines, say = told()
    assert steps.plan_step(sweep.here, say) == plan
    assert "is kept" in lines[0]
    assert (sweep.here / "plan.json").read_bytes() == before
    assert not (sweep.here / "plan.failed").exists()


def test_planning_that_was_killed_is_told_from_one_that_failed(tmp_path):
    sweep = Sweep(tmp_path)
    (sweep.here / "sweep.dag").write_text("")
    assert not steps.close_step(sweep.here, 2)
    assert "planning did not end; " in (sweep.here / "summary.txt").read_text()
    assert live.progress(sweep.here).phase == "not planned yet"


# --------------------------------------------------------------------------- classify and report


@pytest.mark.parametrize("status", [2, 4])
def test_closing_waits_until_the_removed_jobs_are_in_the_log(tmp_path, status):
    sweep = one(tmp_path, "never-matched")
    path = sweep.here / "events.log"
    whole = path.read_text()
    path.write_text(whole[: whole.index("009 (")])

    def later():
        time.sleep(0.7)
        path.write_text(whole)

    schedd = threading.Thread(target=later)
    schedd.start()
    steps.close_step(sweep.here, status)
    schedd.join()
    assert earlier.read(sweep.here).tuples[0].cause is Cause.WAITED_OUT


def test_nobody_waits_otherwise(tmp_path):
    sweep = one(tmp_path, "unfinished")
    begun = time.monotonic()
    assert not steps.close_step(sweep.here, 0)
    assert earlier.read(sweep.here).state == "unfinished"
    assert steps.classify_step(sweep.here).tuples[0].cause is Cause.NO_RESULT
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("step", "becomes_latest"),
    [
        (partial(steps.close_step, dag_status=0), True),
        (partial(steps.close_step, dag_status=2), True),  # a tuple got no slot
        (partial(steps.close_step, dag_status=4), False),
        (steps.report_step, False),
    ],
)
def test_only_a_sweep_that_was_closed_becomes_latest(tmp_path, step, becomes_latest):
    sweep = one(tmp_path, "exit-0", result())
    step(sweep.here)
    assert (tmp_path / "latest").is_symlink() is becomes_latest
    written = {p.name for p in sweep.here.iterdir()}
    assert written >= {"outcomes.json", "compatibility.csv", "compatibility.json", "compatibility.md", "summary.txt"}
    assert not [name for name in written if name.startswith(".")]


def test_a_failed_sweep_leaves_an_earlier_latest_alone(tmp_path):
    steps.close_step(one(tmp_path, "exit-0", result()).here, 0)
    later = Sweep(tmp_path, "2026-12-01T000000")
    (later.here / "sweep.dag").write_text("")
    steps.close_step(later.here, 2)
    assert (tmp_path / "latest").readlink().name == "2026-11-20T060000"


def test_reporting_again_gives_the_same_files(tmp_path):
    sweep = one(tmp_path, "retried", result())
    names = ("outcomes.json", "compatibility.csv", "compatibility.json", "compatibility.md", "summary.txt")
    steps.close_step(sweep.here, 0)
    first = [(sweep.here / name).read_bytes() for name in names]
    steps.report_step(sweep.here)
    assert [(sweep.here / name).read_bytes() for name in names] == first


def test_an_unfinished_sweep_has_its_tables_and_is_not_closed(tmp_path):
    sweep = one(tmp_path, "unfinished")
    assert not steps.close_step(sweep.here, 0)
    assert "(unfinished)" in (sweep.here / "summary.txt").read_text()
    assert not (tmp_path / "latest").exists()


def test_a_damaged_plan_is_said_in_the_tables_place(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    (sweep.here / "plan.json").write_text("{")
    assert not steps.close_step(sweep.here, 0)
    assert "plan.json: the file: Invalid JSON" in (sweep.here / "summary.txt").read_text()
    assert not (tmp_path / "latest").exists()


def test_nothing_is_written_into_a_directory_that_is_no_sweep(tmp_path):
    for directory in (tmp_path / "gone", tmp_path):
        with pytest.raises(BadFileError, match=r"neither plan\.json nor sweep\.dag"):
            steps.report_step(directory)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- live


def test_progress_counts_the_submitted_tuples_by_state(tmp_path):
    sweep = Sweep(tmp_path)
    ids = {
        name: f"pytorch-2.{n}-cuda12.4-sm80"
        for n, name in enumerate(["exit-0", "signal", "unfinished", "still-held", "never-matched"])
    }
    other = "jax-0.6-cuda12.4-sm80"
    sweep.plan(
        [*map(submitted, ids.values()), submitted(other), settled("jax-0.6-cuda12.4-sm90", Cause.NO_SUCH_SLOT)]
    )
    sweep.log(*ids.items())
    now = live.progress(sweep.here)
    assert now.by_framework == {
        "pytorch": {"done": 2, "running": 1, "held": 1, "removed": 1},
        "jax": {"waiting": 1},
    }
    assert (now.phase, now.settled, now.total.total()) == ("running", 1, 6)
    assert now.line() == (
        f"{sweep.here.name}: running; 2 done, 1 held, 1 removed, 1 running, 1 waiting; 1 settled without a job"
    )


def test_the_phases_of_a_sweep(tmp_path):
    sweep = Sweep(tmp_path)
    assert (
        live.progress(sweep.here).line()
        == f"{sweep.here.name}: not planned yet; no tuple submitted; 0 settled without a job"
    )
    sweep.plan([submitted(TUPLE)])
    assert live.progress(sweep.here).phase == "running"
    sweep.log(("exit-0", TUPLE))
    assert live.progress(sweep.here).phase == "classifying"
    steps.close_step(sweep.here, 0)
    assert live.progress(sweep.here).phase == "reported"
    (sweep.here / "plan.json").write_text("{")
    with pytest.raises(BadFileError):
        live.progress(sweep.here)


# --------------------------------------------------------------------------- sweeps


def test_the_newest_sweep_is_found_by_name_and_never_through_latest(tmp_path):
    with pytest.raises(BadFileError, match="no sweep below"):
        sweeps.newest(tmp_path)
    for name in ("2026-02-01T000000", "2025-11-01T000000", "2026-03-01T000000"):
        (tmp_path / name).mkdir()
    for name in ("2026-02-01T000000", "2025-11-01T000000"):
        (tmp_path / name / "sweep.dag").write_text("")
    (tmp_path / "latest").symlink_to("2025-11-01T000000")
    assert sweeps.newest(tmp_path).name == "2026-02-01T000000"  # the third has no DAG


@pytest.mark.parametrize(
    ("content", "failed"),
    [('{"exitcode": 0}', False), ('{"exitcode": 1}', True), ("{}", True), ("[]", True), ("{", True), (None, True)],
)
def test_how_the_dag_ended_is_dagmans_own_account(tmp_path, content, failed):
    if content is not None:
        (tmp_path / "sweep.dag.metrics").write_text(content)
    assert sweeps.dag_failed(tmp_path) is failed


def test_a_new_sweep_needs_a_schedd_and_leaves_no_directory_without(tmp_path, no_collector):
    with pytest.raises(PoolError, match="the schedd of this access point does not answer"):
        sweeps.new(settings_below(tmp_path))
    assert [p.name for p in (tmp_path / "results").iterdir()] == [".lock"]


def test_results_in_a_directory_that_no_dag_can_name(tmp_path):
    with pytest.raises(ResultsError, match="cannot be used in a DAG"):
        sweeps.new(settings_below(tmp_path / "a directory"))
    assert list(tmp_path.iterdir()) == []


def test_results_below_a_file_are_refused(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ResultsError, match=r"choose another sweep\.results"):
        sweeps.new(settings_below(tmp_path))


def test_two_commands_at_the_same_moment(tmp_path):
    results = tmp_path / "results"
    results.mkdir()
    with (results / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunningError, match="another sweep command is at work"):
            sweeps.new(settings_below(tmp_path))


def test_what_cannot_be_submitted(tmp_path, no_collector):
    sweep = Sweep(tmp_path / "results")
    with pytest.raises(BadFileError, match=r"has no sweep\.dag"):
        sweeps.submit(sweep.here)
    (sweep.here / "sweep.dag").write_text("")
    with pytest.raises(PoolError):
        sweeps.submit(sweep.here)


def test_a_sweep_is_not_resumed_after_its_deadline(tmp_path):
    sweep = Sweep(tmp_path)
    sweeps._refuse_after_deadline(sweep.here)  # not planned: it has no deadline yet
    sweep.plan([submitted(TUPLE)], deadline=datetime.now(UTC) + timedelta(minutes=1))
    sweeps._refuse_after_deadline(sweep.here)
    sweep.plan([submitted(TUPLE)], deadline=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(SubmitError, match="no time is left to resume it"):
        sweeps._refuse_after_deadline(sweep.here)


def test_the_stored_settings_are_read_back_the_same(tmp_path):
    from sweep.config import load_stored

    settings = settings_below(tmp_path)
    write_model(tmp_path / "settings.json", settings)
    assert load_stored(tmp_path / "settings.json") == settings
    assert json.loads((tmp_path / "settings.json").read_text())["results"] == str(tmp_path / "results")
