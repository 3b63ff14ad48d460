"""The pool looked at again: what its state at the end makes of tuples that no slot took. Looking needs a pool."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sweepdir import LOGS, POOL, TUPLE, Sweep, settled, submitted

from sweep import earlier, events, relook, steps
from sweep.files import write_model
from sweep.model import Cause, Verdict
from sweep.schema import PoolEnd, Prediction, SlotAnswer

LATER = datetime(2030, 1, 1, tzinfo=UTC)
GONE = SlotAnswer(
    possible=0, free=0, rule="capability-not-in-pool", clause="Capability == 8.0: the pool has no such GPU"
)
THERE = SlotAnswer(possible=3, free=1)


def waited(directory, answer: SlotAnswer | None, recording: str = "never-matched", **changes) -> Sweep:
    """A sweep of one tuple, and the look at its end."""
    sweep = Sweep(directory)
    planned = submitted(TUPLE).model_copy(
        update={"reason": "3 slot(s) could take it when empty, 2 of them at planning"} | changes
    )
    sweep.plan([planned])
    sweep.log((recording, TUPLE))
    if answer is not None:
        look(sweep, {TUPLE: answer})
    return sweep


def look(sweep: Sweep, answers: dict[str, SlotAnswer], **changes) -> None:
    end = PoolEnd(taken=LATER, pool=POOL, tuples=answers)
    write_model(sweep.here / "pool-end.json", end.model_copy(update=changes))


def test_a_tuple_that_waited_says_how_many_slots_could_have_taken_it(tmp_path):
    outcome = waited(tmp_path, THERE).only()
    assert (outcome.verdict, outcome.cause) == (Verdict.MATCH_FAILURE, Cause.WAITED_OUT)
    assert outcome.reason == (
        "no slot came free within 86400 s in the queue; 3 slot(s) could take it when empty, 2 of them at planning; "
        "at the end 3 could, 1 of them free"
    )


def test_a_tuple_whose_slots_left_the_pool_has_no_slot_any_more(tmp_path):
    outcome = waited(tmp_path, GONE).only()
    assert (outcome.verdict, outcome.cause, outcome.rule) == (
        Verdict.MATCH_FAILURE,
        Cause.NO_SUCH_SLOT,
        "left-the-pool",
    )
    assert outcome.reason == f"left the pool during the sweep: {GONE.clause}"
    assert (outcome.evidence.file, outcome.evidence.excerpt) == ("pool-end.json", GONE.clause)


def test_an_audited_tuple_without_a_slot_never_had_one(tmp_path):
    expected = Prediction(rule="capability-not-in-pool", cause=Cause.NO_SUCH_SLOT, reason="none")
    outcome = waited(tmp_path, GONE, audit=True, prediction=expected).only()
    assert (outcome.cause, outcome.rule, outcome.surprise) == (Cause.NO_SUCH_SLOT, "capability-not-in-pool", False)
    assert outcome.reason.startswith("no slot could take it at planning, and none at the end: ")


def test_the_deadline_in_the_queue_is_told_from_a_slot_that_left(tmp_path):
    for answer, cause, said in (
        (THERE, Cause.OVER_BUDGET, "2 of them at planning; at the end 3 could, 1 of them free"),
        (GONE, Cause.NO_SUCH_SLOT, "left the pool during the sweep"),
    ):
        sweep = waited(tmp_path / str(answer.possible), answer)
        log = sweep.here / "events.log"
        log.write_text(log.read_text().replace("sweep:never-matched", "sweep:deadline"))
        outcome = sweep.only()
        assert outcome.cause is cause
        assert said in outcome.reason


@pytest.mark.parametrize(
    ("recording", "cause"),
    [
        ("vacated-idle-again", Cause.EVICTED),
        ("requeued-idle-again", Cause.INFRASTRUCTURE),
        ("held-by-hand", Cause.HELD),
        ("removed-by-hand", Cause.REMOVED),
        ("run-limit", Cause.NO_RESULT),
        ("unfinished", Cause.NO_RESULT),
    ],
)
def test_no_other_end_is_taken_for_a_failure_to_match(tmp_path, recording, cause):
    assert waited(tmp_path, GONE, recording).only().cause is cause


def test_a_look_from_before_the_wait_ended_says_nothing(tmp_path):
    sweep = waited(tmp_path, None)
    ended = events.read(LOGS / "never-matched.log").histories[TUPLE].last.ended
    assert ended is not None
    for taken, cause in ((ended, Cause.NO_SUCH_SLOT), (ended - 1, Cause.WAITED_OUT)):
        look(sweep, {TUPLE: GONE}, taken=datetime.fromtimestamp(taken, UTC))
        assert sweep.only().cause is cause


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "the pool's state at the end is not known: "),
        (b'{"schema": "sweep.pool-end/9"}', "the pool's state at the end is not known: "),
        (b"\xff" * 100, "the pool's state at the end is not known: "),
        (
            PoolEnd(taken=LATER, problem="the collector is away").model_dump_json(by_alias=True).encode(),
            "the pool could not be looked at again when the sweep ended: the collector is away",
        ),
    ],
)
def test_a_look_that_failed_is_a_note_and_no_verdict(tmp_path, content, said):
    sweep = waited(tmp_path, None)
    (sweep.here / "pool-end.json").write_bytes(content)
    outcomes = sweep.classify()
    assert outcomes.tuples[0].cause is Cause.WAITED_OUT
    (note,) = outcomes.notes
    assert note.startswith(said)


def test_slots_that_joined_the_pool_are_noted_and_the_plan_stands(tmp_path):
    others = [f"pytorch-2.5-cuda12.4-sm{sm}" for sm in ("90", "120", "75")]
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(TUPLE), *(settled(other, Cause.NO_SUCH_SLOT, "no-driver-in-pool") for other in others)])
    sweep.log(("exit-0", TUPLE))
    look(sweep, {others[0]: THERE, others[1]: THERE, others[2]: GONE})
    outcomes = sweep.classify()
    assert [o.cause for o in outcomes.tuples[1:]] == [Cause.NO_SUCH_SLOT] * 3
    assert outcomes.notes == (
        f"slots that joined the pool during the sweep could take {others[0]} and 1 more: the next sweep tests them",
    )


def test_the_tuples_to_ask_about_are_those_that_no_slot_took(tmp_path):
    ids = {
        name: f"pytorch-2.{n}-cuda12.4-sm80"
        for n, name in enumerate(["exit-0", "never-matched", "vacated-idle-again", "removed-by-hand"])
    }
    absent = "jax-0.6-cuda12.4-sm90"
    sweep = Sweep(tmp_path)
    sweep.plan([*map(submitted, ids.values()), settled(absent, Cause.NO_SUCH_SLOT), settled(TUPLE, Cause.NO_BUILD)])
    sweep.log(*ids.items())
    assert relook.open_questions(sweep.classify()) == [ids["never-matched"], absent]


def test_a_pool_that_is_away_is_no_error_of_the_closing_step(tmp_path):
    """Here even the settings are away; the collector's silence takes the same way."""
    sweep = waited(tmp_path, None)
    assert steps.close_step(sweep.here, 2)
    outcomes = earlier.read(sweep.here)
    assert outcomes.tuples[0].cause is Cause.WAITED_OUT
    assert any(note.startswith("the pool could not be looked at again") for note in outcomes.notes)
    written = json.loads((sweep.here / "pool-end.json").read_text())
    assert written["schema"] == "sweep.pool-end/1"
    assert "settings.json" in written["problem"]


def test_by_hand_and_later_the_pool_is_not_asked(tmp_path):
    sweep = waited(tmp_path, None)
    assert steps.classify_step(sweep.here).notes == ()
    assert not (sweep.here / "pool-end.json").exists()
    taken = datetime.now(UTC) + timedelta(days=1)
    look(sweep, {TUPLE: GONE}, taken=taken)
    before = (sweep.here / "pool-end.json").read_bytes()
    assert steps.report_step(sweep.here) is not None
    assert (sweep.here / "pool-end.json").read_bytes() == before
