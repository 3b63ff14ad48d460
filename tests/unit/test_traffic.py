"""What was fetched from channels and transferred by HTCondor: from the event log and the job's own count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sweepdir import TUPLE, Sweep, lock_of, one, result, submitted

from sweep.files import write_model
from sweep.places import OUTCOMES
from sweep.report import cost
from sweep.report.explain import story
from sweep.schema import EnvironmentState, Outcomes, PlannedEnvironment

ENVIRONMENT = PlannedEnvironment(
    id="pytorch-2.5-cuda12.4",
    framework="pytorch",
    version="2.5",
    cuda="12.4",
    state=EnvironmentState.RESOLVED,
    specs=("pytorch 2.5.*",),
    lock_sha256=lock_of("pytorch-2.5-cuda12.4"),
    size=2_500_000_000,
)


def installed(**step: Any) -> dict[str, Any]:
    """A result with more said of the installation."""
    content = result()
    content["steps"][1] |= step
    return content


@pytest.mark.parametrize(
    ("recording", "received"),
    [("exit-0", 42), ("retried", 2 * 52), ("vacated-then-done", 2 * 112), ("never-matched", None)],
)
def test_what_every_attempt_was_sent_is_counted(tmp_path: Path, recording: str, received: int | None) -> None:
    assert one(tmp_path, recording, result()).only().transferred_bytes == received


@pytest.mark.parametrize("told", ["-1", "nan", "inf", "1e40"])
def test_a_log_that_tells_nonsense_tells_nothing(tmp_path: Path, told: str) -> None:
    sweep = one(tmp_path, "exit-0", result())
    log = sweep.here / "events.log"
    log.write_text(log.read_text().replace("42  -  Run Bytes Received", f"{told}  -  Run Bytes Received"))
    assert sweep.only().transferred_bytes is None


@pytest.mark.parametrize(
    ("step", "fetched"),
    [
        ({}, ENVIRONMENT.size),
        ({"fetched_bytes": 0}, 0),
        ({"fetched_bytes": 1234}, 1234),
        ({"ok": False, "kind": "network"}, None),
    ],
)
def test_the_jobs_own_count_goes_before_the_size_of_the_lock(
    tmp_path: Path, step: dict[str, Any], fetched: int | None
) -> None:
    assert one(tmp_path, "exit-0", installed(**step), environments=(ENVIRONMENT,)).only().fetched_bytes == fetched


def test_a_size_that_no_index_told_is_unknown_and_not_nothing(tmp_path: Path) -> None:
    unknown = ENVIRONMENT.model_copy(update={"size": 0})
    assert one(tmp_path, "exit-0", installed(), environments=(unknown,)).only().fetched_bytes is None


@pytest.mark.parametrize("count", [-1, 10**16, "1", 1.5])
def test_a_count_that_cannot_be_makes_the_result_unusable(tmp_path: Path, count: object) -> None:
    assert one(tmp_path, "exit-0", installed(fetched_bytes=count)).only().cause == "no-result"


def test_the_report_tells_of_both_and_of_what_the_access_point_fetched(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    other = TUPLE.replace("sm80", "sm90")
    sweep.plan([submitted(TUPLE), submitted(other)], supplied=700_000_000)
    sweep.log(("exit-0", TUPLE), ("retried", other))
    sweep.result(TUPLE, installed(fetched_bytes=300_000_000))
    outcomes = sweep.classify()
    assert outcomes.supplied == 700_000_000
    assert cost.summary(outcomes).endswith(
        "1.00 GB fetched from channels, 0.70 GB of it by the access point for all, 0.1 kB transferred by HTCondor; "
        "per tuple 0.30 GB fetched and 0.1 kB transferred."
    )


def test_outcomes_from_before_these_counts_are_read_and_say_nothing_of_them(tmp_path: Path) -> None:
    outcomes = one(tmp_path, "exit-0", result()).classify()
    parts = {"fetched_bytes", "transferred_bytes"}
    text = outcomes.model_dump_json(by_alias=True, exclude={"supplied": True, "tuples": {"__all__": parts}})
    earlier = Outcomes.model_validate_json(text)
    assert (earlier.supplied, earlier.tuples[0].fetched_bytes, earlier.tuples[0].transferred_bytes) == (0, None, None)
    assert "fetched" not in cost.summary(earlier)


def test_a_tuples_story_has_its_bytes(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", installed(fetched_bytes=12_340_000))
    write_model(sweep.here / OUTCOMES, sweep.classify())
    told = story(sweep.here, TUPLE, ()).splitlines()
    assert "  0.0 MB transferred by HTCondor, 12.3 MB fetched from channels by the last attempt" in told


def test_the_time_that_input_took_is_the_gpus_too(tmp_path: Path) -> None:
    """Forty seconds between the two lines of the log that tell of it."""
    sweep = one(tmp_path, "exit-0", result())
    log = sweep.here / "events.log"
    before = sweep.only()
    began = re.search(r"040 .*? (\d\d:\d\d):(\d\d) Started transferring input files", log.read_text())
    assert began is not None and int(began[2]) < 20
    for kind in ("Finished transferring input", "Job executing", "transferring output", "Job terminated"):
        later = lambda m: f"{m[1]}{int(m[2]) + 40:02}{m[3]}"  # noqa: E731
        log.write_text(re.sub(rf"(\d\d:\d\d:)(\d\d)([^\n]*{kind})", later, log.read_text()))
    after = sweep.only()
    assert after.transfer_seconds == (before.transfer_seconds or 0) + 40
    assert after.gpu_seconds == before.gpu_seconds + 40
    assert after.run_seconds == before.run_seconds


def test_budgets_of_capabilities_stand_beside_what_they_spent(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(TUPLE)], budget=100.0, budgets={"8.0": 0.5, "9.0": 3.0})
    sweep.log(("exit-0", TUPLE))
    sweep.result(TUPLE, result())
    assert " GPU-hours of a budget of 100 (sm80 0.00 of 0.5, sm90 0.00 of 3)" in cost.summary(sweep.classify())


def test_a_transfer_after_which_nothing_started_held_the_device_too(tmp_path: Path) -> None:
    """The recorded job had its slot for six seconds, and then no input."""
    outcome = one(tmp_path, "input-missing").only()
    assert (outcome.attempts, outcome.gpu_seconds, outcome.transfer_seconds) == (0, 6, 6)
