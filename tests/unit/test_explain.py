"""One tuple's story in order, and running it again by hand."""

from __future__ import annotations

import pytest
from sweepdir import TUPLE, Sweep, one, result, settled, submitted

from sweep import rerun
from sweep.errors import BadFileError
from sweep.files import write_model
from sweep.model import Cause
from sweep.report.explain import story


def told(sweep: Sweep, tuple_id: str = TUPLE) -> list[str]:
    write_model(sweep.here / "outcomes.json", sweep.classify())
    return story(sweep.here, tuple_id, ()).splitlines()


def test_the_story_has_every_attempt_in_order(tmp_path):
    sweep = one(tmp_path, "retried", result(broken={"rung": "kernel", "message": "no kernel image is available"}))
    lines = told(sweep)
    log = (sweep.here / "events.log").read_text().splitlines()
    begin = lines.index("Job 101: 1 s in the queue, 2 start(s)")
    happened = lines[begin + 1 : begin + 6]
    words = [
        "submitted",
        "started on ampere",
        "failed, to be tried elsewhere: exit 75",
        "started on mig",
        "ended: exit 75",
    ]
    for line, word in zip(happened, words, strict=True):
        assert word in line
        number = int(line.rpartition("events.log:")[2].rstrip(")"))
        when = line.split()[1]
        assert log[number - 1][3:6] == " (1"
        assert len(when) == 8
    assert (
        "NVIDIA A100-SXM4-80GB (simulated) GPU-0a72f964-ff47-583a-aec1-319f7e8f95d2, driver 550.54.15" in happened[1]
    )
    assert "  rung kernel, 0.5 s: failed: no kernel image is available" in lines
    assert lines.index("  rung copy, 0.5 s: passed") < lines.index("  rung library: skipped")


def test_the_verdict_names_its_evidence_and_how_to_repeat_it(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    lines = told(sweep)
    place = sweep.only().evidence
    assert f'  evidence: {sweep.here}/{place.file}:{place.line}: "every rung passed"' in lines
    assert lines[-1] == f"  again by hand: sweep rerun {TUPLE} {sweep.here}"
    assert any("the result is of that device by what agrees: capability: the tuple" in line for line in lines)


def test_a_tuple_without_a_job_has_a_short_story(tmp_path):
    sweep = Sweep(tmp_path)
    sweep.plan([settled(TUPLE, Cause.NO_BUILD)])
    lines = told(sweep)
    assert "Not tested: rule a-rule settles it as no-build" in lines
    assert not any(line.startswith(("Job", "Result")) for line in lines)


def test_hostile_words_of_a_log_and_a_result_do_not_reach_the_terminal(tmp_path):
    sweep = one(tmp_path, "removed-by-hand", result(broken={"rung": "copy", "message": "\x1b[31mred\nline"}))
    log = sweep.here / "events.log"
    log.write_text(log.read_text().replace("not needed", "\x1b[31mnot needed"))
    text = "\n".join(told(sweep))
    assert "\x1b" not in text
    assert "red line" in text


def test_the_commands_of_a_run_by_hand(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    directory = sweep.here / "tuples" / TUPLE
    with pytest.raises(BadFileError, match=r"job\.sub is missing"):
        rerun.prepare(sweep.here, TUPLE)
    (directory / "job.sub").write_text("")
    again = rerun.prepare(sweep.here, TUPLE)
    assert again.commands(None) == [
        f"condor_submit {directory}/job.sub",
        f"condor_wait {directory}/by_hand_events.log",
        f"cat {directory}/by_hand_result.json",
    ]
    assert again.commands("/a place/condor_config")[0] == "export CONDOR_CONFIG='/a place/condor_config'"


def test_what_cannot_be_run_again(tmp_path):
    other = TUPLE.replace("sm80", "sm90")
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(TUPLE), settled(other, Cause.NO_SUCH_SLOT, "no-driver-in-pool")])
    with pytest.raises(BadFileError, match="never had a job: rule no-driver-in-pool settled it as no-such-slot"):
        rerun.prepare(sweep.here, other)
    with pytest.raises(BadFileError, match=f"no candidate {TUPLE}0; did you mean {TUPLE}"):
        rerun.prepare(sweep.here, f"{TUPLE}0")
