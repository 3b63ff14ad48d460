"""The project's own command: what is shipped, how it runs on the node, and what is believed of what comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from planning import settings_of
from probe_standin import PROBE
from sweepdir import one, result

from sweep import payload
from sweep.errors import SettingsError
from sweep.model import Cause
from sweep.report import markdown, table
from sweep.schema import JUnitCounts, Payload
from sweep.settings import PayloadSettings

TUPLE = "pytorch-2.5-cuda12.4-sm80"
PASSED = '{"rungs": [{"rung": "copy", "outcome": "passed"}, {"rung": "kernel", "outcome": "passed"}]}'
JUNIT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="a" tests="99" failures="99">
<testcase name="fine"/><testcase name="also fine"><system-out>text</system-out></testcase>
<testcase name="wrong"><failure message="no">trace</failure></testcase>
<testcase name="broken"><error/></testcase><testcase name="both"><failure/><error/></testcase>
<testcase name="left out"><skipped/></testcase>
</testsuite></testsuites>"""


class Node:
    """A job's directory, with a payload as a plan makes it."""

    def __init__(self, root: Path, command: list[str] | str, **changes: Any) -> None:
        self.here = root / "scratch"
        self.settings = PayloadSettings(command=command, **changes)
        payload.prepare(self.settings, self.here)
        (self.here / "result.json").write_text(PASSED)

    def words(self, limit: float = 30, *more: str) -> list[str]:
        junit = ["--junit", self.settings.junit] if self.settings.junit else []
        return [sys.executable, "run_payload.py", "--tuple", TUPLE, "--limit", str(limit), *junit, *more]

    def run(self, limit: float = 30, *more: str) -> dict[str, Any]:
        done = subprocess.run(self.words(limit, *more), cwd=self.here, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return dict(json.loads((self.here / "payload.json").read_text()))

    @property
    def output(self) -> bytes:
        return (self.here / "payload.out").read_bytes()

    @property
    def outcome(self) -> Payload | None:
        return payload.read(self.here, TUPLE)


# --------------------------------------------------------------------------- what is shipped


def test_words_are_run_as_they_are_and_text_by_the_shell(tmp_path: Path) -> None:
    words = Node(tmp_path / "words", ["printf", "%s|", "a b", "$HOME", "'; touch evil; '"])
    words.run()
    assert words.output == b"a b|$HOME|'; touch evil; '|"
    assert not list(words.here.rglob("evil"))
    text = Node(tmp_path / "text", 'for word in a b; do echo "$word"; done | tr a-z A-Z\nexit 3\n')
    assert text.run()["exit_code"] == 3
    assert text.output == b"A\nB\n"


def test_files_and_directories_lie_where_the_command_runs(tmp_path: Path) -> None:
    (tmp_path / "project/tests/__pycache__").mkdir(parents=True)
    (tmp_path / "project/tests/__pycache__/x.pyc").write_text("")
    (tmp_path / "project/tests/test_it.py").write_text("assert True")
    (tmp_path / "run.sh").write_text("#!/bin/sh\nls -R\n")
    (tmp_path / "run.sh").chmod(0o755)
    node = Node(tmp_path, ["./run.sh"], files=[tmp_path / "project/tests", tmp_path / "run.sh"])
    assert node.run()["exit_code"] == 0
    assert node.output.split() == b".: run.sh tests ./tests: test_it.py".split()
    with tarfile.open(node.here / "payload.tar") as archive:
        assert {(m.uid, m.uname) for m in archive} == {(0, "")}


def test_a_payload_is_frozen_when_it_is_planned(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("before")
    node = Node(tmp_path, ["cat", "data"], files=[tmp_path / "data"])
    (tmp_path / "data").write_text("after")
    node.run()
    assert node.output == b"before"


def test_files_that_are_missing_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"payload\.files: .*/nothing cannot be read: No such file"):
        Node(tmp_path, ["true"], files=[tmp_path / "nothing"])
    monkeypatch.setattr(payload, "SIZE_LIMIT", 100)
    (tmp_path / "large").write_bytes(b"x" * 200)
    with pytest.raises(SettingsError, match=r"payload\.files: with large they are more than"):
        Node(tmp_path, ["true"], files=[tmp_path / "large"])


def test_hard_links_and_links_among_the_files_are_packed(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/a").write_text("once")
    os.link(tmp_path / "tests/a", tmp_path / "tests/b")
    (tmp_path / "tests/c").symlink_to("../data")
    (tmp_path / "data").symlink_to("data-3")
    (tmp_path / "data-3").write_text(" linked")
    node = Node(tmp_path, ["cat", "tests/b", "tests/c"], files=[tmp_path / "tests", tmp_path / "data"])
    node.run()
    assert node.output == b"once linked"
    with tarfile.open(node.here / "payload.tar") as archive:
        archive.extractall(tmp_path / "strict", filter="data")  # Python's default from 3.14 on
    assert (tmp_path / "strict/tests/c").read_text() == " linked"


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret", "sub/../../secret"])
def test_a_link_that_leads_out_is_not_packed(tmp_path: Path, target: str) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/link").symlink_to(target if target.startswith("/") else f"../{target}")
    with pytest.raises(SettingsError, match=rf"tests/link is a link to \S*{target}, which is not packed"):
        Node(tmp_path, ["true"], files=[tmp_path / "tests"])


def test_relative_files_are_the_settings_files_own(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[payload]\ncommand = ["true"]\nfiles = ["tests"]')
    assert settings.payload is not None
    assert settings.payload.files == [tmp_path / "tests"]


# --------------------------------------------------------------------------- on the node


def test_it_runs_only_after_a_kernel_ran(tmp_path: Path) -> None:
    node = Node(tmp_path, ["touch", "ran"])
    for left in (PASSED.replace('kernel", "outcome": "passed', 'kernel", "outcome": "failed'), "{", "[]"):
        (node.here / "result.json").write_text(left)
        record = node.run(30, "--after", "kernel")
        assert (record["ended"], record["note"]) == ("skipped", "the probe did not pass its kernel rung")
        assert node.outcome is None
    (node.here / "result.json").write_text(PASSED)
    assert node.run(30, "--after", "kernel")["ended"] == "exited"
    assert (node.here / "payload/ran").exists()


def test_it_knows_its_tuple(tmp_path: Path) -> None:
    node = Node(tmp_path, 'echo "$SWEEP_TUPLE"')
    node.run()
    assert node.output.decode().strip() == TUPLE


def test_it_is_ended_in_time_with_all_that_it_started(tmp_path: Path) -> None:
    node = Node(tmp_path, "sleep 300 & echo $! >other; echo begun; trap '' TERM; while :; do sleep 0.1; done")
    (node.here / "run_payload.py").write_text(
        (PROBE / "run_payload.py").read_text().replace("GRACE = 10.0", "GRACE = 1.0")
    )
    record = node.run(1)
    assert (record["ended"], record["exit_code"], node.output) == ("timeout", -signal.SIGKILL, b"begun\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int((node.here / "payload/other").read_text()), 0)
    outcome = node.outcome
    assert outcome is not None
    assert (outcome.passed, outcome.ended) == (False, "timeout")


def test_what_goes_on_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    node = Node(tmp_path, "sleep 300 & echo done")
    record = node.run(20)
    assert (record["ended"], record["exit_code"], node.output) == ("exited", 0, b"done\n")
    assert record["seconds"] < 15


def test_what_writes_for_ever_in_the_background_is_left_alone(tmp_path: Path) -> None:
    node = Node(tmp_path, ["true"])
    code = "import os, run_payload as r; r.GRACE = 0.1; r.drain(os.open('/dev/zero', os.O_RDONLY), r.Kept())"
    subprocess.run([sys.executable, "-c", code], cwd=node.here, timeout=60, check=True)


def test_a_command_that_closes_its_output_is_still_waited_for(tmp_path: Path) -> None:
    node = Node(tmp_path, "exec >&- 2>&-; sleep 1; exit 4")
    assert node.run()["exit_code"] == 4


def test_of_a_long_output_the_beginning_and_the_end_are_kept(tmp_path: Path) -> None:
    node = Node(
        tmp_path, 'echo first; i=0; while [ $i -lt 200 ]; do printf "%10000d\\n" $i; i=$((i + 1)); done; echo last'
    )
    record = node.run()
    assert record["output_bytes"] == 6 + 200 * 10001 + 5
    assert len(node.output) < 300_000
    assert node.output.startswith(b"first\n")
    assert node.output.endswith(b"last\n")
    assert b"bytes left out" in node.output


def test_a_job_that_is_told_to_go_takes_the_command_along(tmp_path: Path) -> None:
    node = Node(tmp_path, "echo $$ >own; sleep 300")
    with subprocess.Popen(node.words(), cwd=node.here) as process:
        own = node.here / "payload/own"
        for _ in range(1000):
            if own.is_file() and own.read_text():
                break
            time.sleep(0.02)
        process.terminate()
        assert process.wait(20) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(own.read_text()), 0)
    outcome = node.outcome
    assert outcome is not None
    assert (outcome.passed, outcome.ended) == (False, "interrupted")


@pytest.mark.parametrize(
    ("command", "note"),
    [
        ("true", "out/junit.xml was not written"),
        ("mkdir -p out/junit.xml", "out/junit.xml is no file of at most 5242880 bytes"),
        ("mkdir out; ln -s /etc/passwd out/junit.xml", "out/junit.xml leads out of the payload's directory"),
        ("ln -s .. out; cp ../result.json ../junit.xml", "out/junit.xml leads out of the payload's directory"),
        ("mkdir out; head -c 6000000 /dev/zero >out/junit.xml", "out/junit.xml is no file of at most 5242880 bytes"),
    ],
)
def test_a_junit_file_that_is_none(tmp_path: Path, command: str, note: str) -> None:
    node = Node(tmp_path, command, junit="out/junit.xml")
    assert node.run()["note"] == note
    assert not (node.here / "payload.xml").exists()
    assert node.outcome is not None
    assert node.outcome.note == note


# --------------------------------------------------------------------------- what came back


def test_tests_are_counted_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(JUNIT)
    node = Node(tmp_path, ["cp", "junit.xml", "made.xml"], files=[tmp_path / "junit.xml"], junit="made.xml")
    node.run()
    assert node.outcome is not None
    assert node.outcome.tests == JUnitCounts(tests=6, failures=2, errors=1, skipped=1)
    assert node.outcome.passed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not XML",
        "<testsuite><testcase>",
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><testsuite><testcase name="&b;"/></testsuite>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        "<testsuite>" + "<testcase/>" * 600_000 + "</testsuite>",
    ],
    ids=["empty", "text", "cut off", "entities", "external", "too large"],
)
def test_a_hostile_junit_file_counts_for_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "payload.xml").write_text(text)
    assert payload.count_tests(tmp_path / "payload.xml") is None


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real.xml").write_text(JUNIT)
    (tmp_path / "payload.xml").symlink_to(tmp_path / "real.xml")
    assert payload.count_tests(tmp_path / "payload.xml") is None


GOOD = {"schema": "sweep.payload/1", "tuple": TUPLE, "ended": "exited", "exit_code": 0, "seconds": 1.5}


@pytest.mark.parametrize(
    "change",
    [
        {"tuple": "pytorch-2.5-cuda12.4-sm90"},
        {"schema": "sweep.payload/2"},
        {"ended": "exploded"},
        {"exit_code": "0"},
        {"seconds": -1},
        {"seconds": "NaN"},
        {"note": "x" * 100_001},
    ],
)
def test_a_record_that_is_not_one_counts_for_nothing(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "payload.json").write_text(json.dumps(GOOD))
    assert payload.read(tmp_path, TUPLE) == Payload(passed=True, ended="exited", exit_code=0, seconds=1.5)
    (tmp_path / "payload.json").write_text(json.dumps(GOOD | change))
    assert payload.read(tmp_path, TUPLE) is None


def test_nothing_came_back(tmp_path: Path) -> None:
    assert payload.read(tmp_path, TUPLE) is None
    (tmp_path / "payload.json").write_text("")
    assert payload.read(tmp_path, TUPLE) is None


# --------------------------------------------------------------------------- the outcome


def test_a_failing_payload_changes_no_verdict(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", result())
    here = sweep.here / "tuples" / TUPLE
    (here / "payload.json").write_text(json.dumps(GOOD | {"exit_code": 1}))
    (here / "payload.xml").write_text(JUNIT)
    outcome = sweep.only()
    assert (outcome.cause, outcome.rule) == (Cause.ALL_RUNGS, None)
    assert outcome.payload is not None
    assert (outcome.payload.passed, outcome.payload.exit_code) == (False, 1)
    said = "failed with exit code 1 after 1.5 s, 6 tests: 2 failed, 1 errors, 1 skipped"
    outcomes = sweep.classify()
    assert table.payloads(outcomes) == [(TUPLE, said)]
    assert f"- `{TUPLE}`: {said}\n" in markdown.render(outcomes)
    row = table.rows(outcomes, {})[0]
    assert (row["payload_passed"], row["payload_failures"], row["payload_seconds"]) == (False, 2, 1.5)


def test_a_payload_in_the_probes_place_leaves_the_verdict_open(tmp_path: Path) -> None:
    steps = [{"name": name, "ok": True, "seconds": 1.0} for name in ("node", "install", "payload")]
    sweep = one(tmp_path, "exit-0", result(steps=steps, rungs=[], framework=None))
    (sweep.here / "tuples" / TUPLE / "payload.json").write_text(json.dumps(GOOD))
    outcome = sweep.only()
    assert (outcome.verdict, outcome.cause, outcome.rule) == ("inconclusive", Cause.NO_RESULT, "payload-alone")
    assert outcome.payload is not None
    assert outcome.payload.passed


def test_without_a_payload_its_columns_are_empty(tmp_path: Path) -> None:
    row = table.rows(one(tmp_path, "exit-0", result()).classify(), {})[0]
    assert row["payload_passed"] is None
    assert row["source"] == "conda"
