"""Candidates on their way through the rules; and the audit of the rules themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep.audit import surprising, wrong_rules
from sweep.model import Cause, VersionTuple
from sweep.prune import settled
from sweep.schema import Evidence, Outcome, PlannedTuple, Prediction
from sweep.settings import RuleSettings
from sweep.sieve import Sieve

CANDIDATES = [
    VersionTuple(framework="jax", version="0.6", cuda=cuda, capability=capability)
    for cuda in ("11.8", "12.4", "12.9", "13.0")
    for capability in ("7.0", "8.0", "9.0")
]
BY_ID = {t.id: t for t in CANDIDATES}


def found(rule: str, cause: Cause, *ids: str) -> dict[str, PlannedTuple]:
    return {id_: settled(BY_ID[id_], cause, rule, f"{rule} of {id_}") for id_ in ids}


def sieve(can_run: set[str] | None = None, seed: str = "s", **chosen: Any) -> Sieve:
    return Sieve(CANDIDATES, RuleSettings(**chosen), seed, lambda id_: can_run is None or id_ in can_run)


NO_BUILD = [t.id for t in CANDIDATES if t.cuda == "13.0"]
NO_CODE = [t.id for t in CANDIDATES if t.capability == "7.0" and t.cuda != "13.0"]


def test_the_first_rule_that_applies_is_recorded_and_what_is_left_goes_on_in_order() -> None:
    through = sieve()
    through.apply(found("no-build", Cause.NO_BUILD, *NO_BUILD))
    through.apply(found("toolkit-dropped-capability", Cause.NO_KERNEL_IMAGE, *NO_CODE))
    assert {id_: t.rule for id_, t in through.settled.items()} == dict.fromkeys(NO_BUILD, "no-build") | dict.fromkeys(
        NO_CODE, "toolkit-dropped-capability"
    )
    assert [t.id for t in through.rest] == [t.id for t in CANDIDATES if t.id not in through.settled]
    assert not through.audited


def test_a_rule_that_is_off_takes_nothing_out() -> None:
    through = sieve(off=["no-build"])
    through.apply(found("no-build", Cause.NO_BUILD, *NO_BUILD))
    assert list(through.rest) == CANDIDATES


def test_an_audit_spares_some_tuples_of_each_rule_and_keeps_what_the_rule_says_of_them() -> None:
    through = sieve(audit=2)
    through.apply(found("no-build", Cause.NO_BUILD, *NO_BUILD))
    through.apply(found("toolkit-dropped-capability", Cause.NO_KERNEL_IMAGE, *NO_CODE))
    rules = [expected.rule for expected in through.audited.values()]
    assert sorted(rules) == ["no-build"] * 2 + ["toolkit-dropped-capability"] * 2
    assert not set(through.audited) & set(through.settled)
    assert set(through.audited) <= {t.id for t in through.rest}
    for id_, expected in through.audited.items():
        assert expected.reason == f"{expected.rule} of {id_}"


def test_a_rule_is_audited_where_a_job_can_tell_something() -> None:
    """But a rule about slots is about just that, so there any tuple will do."""
    through = sieve(can_run={NO_BUILD[1]}, audit=3)
    through.apply(found("no-build", Cause.NO_BUILD, *NO_BUILD))
    assert list(through.audited) == [NO_BUILD[1]]
    through.apply(found("no-driver-in-pool", Cause.NO_SUCH_SLOT, *NO_CODE))
    assert set(through.audited) == {NO_BUILD[1], *NO_CODE}


def test_what_the_solver_says_is_not_audited() -> None:
    through = sieve(audit=100)
    through.apply(found("unsatisfiable", Cause.UNSATISFIABLE, *NO_BUILD))
    through.apply(found("cpu-build", Cause.CPU_BUILD, *NO_CODE))
    assert not through.audited


def test_another_sweep_audits_other_tuples_and_the_same_sweep_the_same() -> None:
    def drawn(seed: str) -> tuple[str, ...]:
        through = sieve(seed=seed, audit=1)
        through.apply(found("no-build", Cause.NO_BUILD, *BY_ID))
        return tuple(through.audited)

    assert drawn("2026-11-20T060000") == drawn("2026-11-20T060000")
    assert len({drawn(f"2026-{month:02}-20T060000") for month in range(1, 13)}) > 3


def test_an_audit_that_the_solver_ends_confirms_the_rule() -> None:
    through = sieve(audit=1)
    through.apply(found("no-build", Cause.NO_BUILD, *NO_BUILD))
    (spared,) = through.audited
    through.apply(found("unsatisfiable", Cause.UNSATISFIABLE, spared))
    planned = through.settled[spared]
    assert (planned.rule, planned.cause) == ("no-build", Cause.NO_BUILD)
    assert planned.reason == (f"no-build of {spared} (audited; rule unsatisfiable agrees: unsatisfiable of {spared})")


def test_an_audit_that_another_rule_ends_otherwise_is_settled_by_that_rule() -> None:
    through = sieve(audit=1)
    through.apply(found("no-build", Cause.NO_BUILD, *NO_BUILD))
    (spared,) = through.audited
    through.apply(found("no-driver-in-pool", Cause.NO_SUCH_SLOT, spared))
    assert through.settled[spared].rule == "no-driver-in-pool"


RULES = [("no-build", Cause.NO_BUILD), ("no-driver-in-pool", Cause.NO_SUCH_SLOT), ("cpu-build", Cause.CPU_BUILD)]


@given(
    st.lists(st.tuples(st.sampled_from(RULES), st.sets(st.sampled_from(sorted(BY_ID)))), max_size=5),
    st.integers(0, 4),
    st.sets(st.sampled_from(sorted(BY_ID))),
    st.lists(st.sampled_from([rule for rule, _ in RULES]), max_size=2),
)
def test_every_candidate_is_settled_once_or_left(
    steps: list[tuple[tuple[str, Cause], set[str]]], count: int, can_run: set[str], off: list[str]
) -> None:
    through = sieve(can_run=can_run, audit=count, off=off)
    for (rule, cause), ids in steps:
        left = {t.id for t in through.rest}
        through.apply(found(rule, cause, *sorted(ids & left)))
    left = {t.id for t in through.rest}
    assert left | set(through.settled) == set(BY_ID)
    assert not left & set(through.settled)
    assert not {t.rule for t in through.settled.values()} & set(off)


# --------------------------------------------------------------------------- predictions against verdicts

CRASH = Prediction(rule="cudnn-dropped-capability", cause=Cause.CRASHED, reason="because")
NO_BUILD_PREDICTED = Prediction(rule="no-build", cause=Cause.NO_BUILD, reason="because")
NO_SLOT = Prediction(rule="no-driver-in-pool", cause=Cause.NO_SUCH_SLOT, reason="because")


@pytest.mark.parametrize(
    ("cause", "prediction", "surprise"),
    [
        (Cause.CRASHED, CRASH, False),
        (Cause.ALL_RUNGS, CRASH, True),
        (Cause.HUNG, CRASH, True),
        (Cause.HELD, CRASH, False),
        (Cause.WAITED_OUT, CRASH, False),
        (Cause.INSTALL_FAILED, CRASH, False),
        (Cause.INSTALL_FAILED, NO_BUILD_PREDICTED, True),
        (Cause.ALL_RUNGS, NO_BUILD_PREDICTED, True),
        (Cause.WAITED_OUT, NO_SLOT, False),
        (Cause.NO_KERNEL_IMAGE, NO_SLOT, True),
        (Cause.CRASHED, None, False),
    ],
)
def test_what_goes_against_a_prediction(cause: Cause, prediction: Prediction | None, surprise: bool) -> None:
    assert surprising(cause, prediction) is surprise


def outcome(cause: Cause, prediction: Prediction, *, audit: bool) -> Outcome:
    return Outcome(
        id=CANDIDATES[0].id,
        **CANDIDATES[0].model_dump(),
        verdict=cause.verdict,
        cause=cause,
        reason="because",
        evidence=Evidence(file="plan.json"),
        submitted=True,
        prediction=prediction,
        audit=audit,
        surprise=surprising(cause, prediction),
    )


def test_an_audit_that_comes_to_another_verdict_says_which_rule_is_wrong_and_what_to_do() -> None:
    (note,) = wrong_rules([outcome(Cause.ALL_RUNGS, CRASH, audit=True)])
    assert note.startswith("rule cudnn-dropped-capability is wrong: it says crashed of jax-0.6-cuda11.8-sm70,")
    assert "the test says all-rungs" in note
    assert "rules.facts" in note and "rules.off" in note


@pytest.mark.parametrize(
    "right",
    [
        outcome(Cause.CRASHED, CRASH, audit=True),
        outcome(Cause.HUNG, CRASH, audit=True),
        outcome(Cause.EVICTED, CRASH, audit=True),
        outcome(Cause.ALL_RUNGS, CRASH, audit=False),
    ],
)
def test_a_prediction_that_fails_is_no_wrong_rule_nor_is_another_cause_of_the_same_verdict(right: Outcome) -> None:
    assert wrong_rules([right]) == []
