"""Known issues in a sweep's outcomes and tables: expected failures, unexpected passes, expired issues."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from sweepdir import TUPLE, Sweep, one, result, settled, submitted

from sweep.files import write_model
from sweep.model import Cause
from sweep.report import files, table
from sweep.settings import FrameworkSettings, RuleSettings, Settings

ISSUE = """
schema = 1
[[issue]]
id = "local-one"
framework = "pytorch"
version = ">=2.5,<2.6"
capability = "8.0"
causes = ["no-kernel-image", "no-jit"]
text = "seen on our machines"
link = "https://example.org/ticket/1"
date = 2026-01-01
expires = {expires}
"""
BROKEN = {"rung": "kernel", "message": "CUDA error: no kernel image is available for execution on the device"}
NO_JIT = {"rung": "jit", "message": "no triton"}


def with_issue(sweep: Sweep, expires: str = "2026-12-31") -> Sweep:
    """The sweep, of a site with one known issue; sweeps of the tests are of November 2026."""
    known = sweep.here.parent / "known.toml"
    known.write_text(ISSUE.format(expires=expires))
    settings = Settings(
        results=sweep.here.parent, frameworks={"pytorch": FrameworkSettings()}, rules=RuleSettings(known=known)
    )
    write_model(sweep.here / "settings.json", settings)
    return sweep


@pytest.mark.parametrize("broken", [BROKEN, NO_JIT])
def test_an_expected_failure_is_marked_and_its_verdict_stays(tmp_path, broken):
    sweep = with_issue(one(tmp_path, "exit-0", result(broken=broken)))
    outcomes = sweep.classify()
    (outcome,) = outcomes.tuples
    assert outcome.cause is (Cause.NO_JIT if broken is NO_JIT else Cause.NO_KERNEL_IMAGE)
    assert outcome.known is not None
    assert (outcome.known.id, outcome.known.link) == ("local-one", "https://example.org/ticket/1")
    assert outcome.expected
    assert outcomes.notes == ()
    assert table.cell(outcome).endswith(f"{outcome.cause} †")
    files.write_tables(sweep.here, outcomes)
    assert "known issue local-one: https://example.org/ticket/1" in (sweep.here / "compatibility.md").read_text()
    (row,) = json.loads((sweep.here / "compatibility.json").read_text())["rows"]
    assert (row["known_issue"], row["expected"]) == ("local-one", True)


def test_an_unexpected_pass_is_reported(tmp_path):
    outcomes = with_issue(one(tmp_path, "exit-0", result())).classify()
    (outcome,) = outcomes.tuples
    assert (outcome.cause, outcome.expected) == (Cause.ALL_RUNGS, False)
    assert outcomes.notes == (
        f"unexpected pass: {TUPLE} works, though known issue local-one says: seen on our machines "
        "(https://example.org/ticket/1)",
    )
    assert "†" not in table.cell(outcome)


@pytest.mark.parametrize("content", [result(broken={"rung": "copy", "outcome": "crashed", "signal": 11}), b"", None])
def test_another_failure_says_nothing_about_the_issue(tmp_path, content):
    outcomes = with_issue(one(tmp_path, "exit-0", content)).classify()
    assert (outcomes.tuples[0].known, outcomes.tuples[0].expected, outcomes.notes) == (None, False, ())


def test_an_expired_issue_no_longer_counts_and_is_reported_where_it_concerns_a_test(tmp_path):
    sweep = with_issue(one(tmp_path, "exit-0", result(broken=BROKEN)), "2026-11-19")
    outcomes = sweep.classify()
    assert (outcomes.tuples[0].known, outcomes.tuples[0].expected) == (None, False)
    (note,) = outcomes.notes
    assert note.startswith(
        "known issue local-one expired on 2026-11-19 and no longer counts; look at https://example"
    )
    # The day of the sweep decides, and not that of classification.
    sweep.plan([submitted(TUPLE)], created=datetime(2026, 11, 19, tzinfo=UTC))
    assert sweep.only().expected
    sweep.plan([settled(TUPLE, Cause.NO_KERNEL_IMAGE)])
    assert sweep.classify().notes == ()
    assert sweep.only().known is None


@pytest.mark.parametrize("content", [None, "schema = 9", "\x00"])
def test_a_sites_file_that_cannot_be_read_is_a_note_and_no_error(tmp_path, content):
    sweep = with_issue(one(tmp_path, "exit-0", result(broken=BROKEN)))
    known = sweep.here.parent / "known.toml"
    known.unlink()
    if content is not None:
        known.write_text(content)
    outcomes = sweep.classify()
    assert outcomes.tuples[0].cause is Cause.NO_KERNEL_IMAGE
    (note,) = outcomes.notes
    assert note.startswith("the site's known issues do not count: ")
    assert str(known) in note
