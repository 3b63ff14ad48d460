"""Which verdicts of earlier sweeps still hold, and which do not any more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from test_advise import gpu, outcome, sweep_of

from sweep.cuda import DriverPolicy
from sweep.model import Cause, VersionTuple
from sweep.reuse import Ground, Reused, reuse
from sweep.schema import Digests, Outcome, Outcomes, PlannedEnvironment, Prediction
from sweep.settings import ReuseSettings

NOW = datetime(2026, 11, 20, 6, tzinfo=UTC)
A100 = gpu("8.0", "A100", 4, driver="580.65.06")
TUPLE = VersionTuple(framework="pytorch", version="2.5", cuda="12.9", capability="8.0")
DIGESTS = Digests(causes="c" * 64, probes={"pytorch": "d" * 64})
LOCK = "e" * 64


def environment(lock: str | None = LOCK) -> PlannedEnvironment:
    key = TUPLE.environment
    return PlannedEnvironment(id=key.id, **key.model_dump(), state="resolved", specs=(), lock_sha256=lock)


def ground(**changes: Any) -> Ground:
    whole = {
        "sweep": "2026-11-20T060000",
        "now": NOW,
        "simulated": False,
        "policy": DriverPolicy.MINOR,
        "classes": [A100],
        "digests": DIGESTS,
        "environments": {TUPLE.environment.id: environment()},
    }
    return Ground(**whole | changes)


def ran_as(cause: Cause = Cause.ALL_RUNGS, **changes: Any) -> Outcome:
    """The tuple as a sweep tested it on an A100."""
    whole = {"lock_sha256": LOCK, "device": "A100", "driver": "580.65.06"} | changes
    return outcome("2.5", "8.0", cause).model_copy(update=whole)


def earlier(*tuples: Outcome, days: int = 90, **changes: Any) -> Outcomes:
    """A sweep of so many days ago."""
    whole = {"created": NOW - timedelta(days=days), "digests": DIGESTS, "sweep": f"{days} days ago"}
    return sweep_of([A100], *tuples).model_copy(update=whole | changes)


def reused(*sweeps: Outcomes, on: Ground | None = None, age: str = "180d", recheck: float = 0.0) -> Reused:
    return reuse([TUPLE], on or ground(), sweeps, ReuseSettings(age=age, recheck=recheck))


@pytest.mark.parametrize("cause", [Cause.ALL_RUNGS, Cause.NO_JIT, Cause.NO_KERNEL_IMAGE, Cause.CRASHED])
def test_a_verdict_is_carried_forward_while_nothing_has_changed_with_its_date(cause: Cause) -> None:
    found = reused(earlier(ran_as(cause))).settled[TUPLE.id]
    assert (found.cause, found.rule, found.submitted) == (cause, "reused", False)
    assert found.reason == "as in sweep 90 days ago of 2026-08-22 on A100: because"


@pytest.mark.parametrize(
    ("sweep", "on"),
    [
        (earlier(ran_as(), days=181), ground()),
        (earlier(ran_as(lock_sha256="f" * 64)), ground()),
        (earlier(ran_as(lock_sha256=None)), ground(environments={TUPLE.environment.id: environment(None)})),
        (earlier(ran_as(driver="570.1")), ground()),
        (earlier(ran_as(device="A30")), ground()),
        (earlier(ran_as()), ground(classes=[gpu("8.0", "A100", driver="590.44.01")])),
        (earlier(ran_as()), ground(classes=[gpu("9.0", "A100", driver="580.65.06")])),
        (earlier(ran_as()), ground(simulated=True)),
        (earlier(ran_as()), ground(policy=DriverPolicy.STRICT)),
        (earlier(ran_as(), digests=Digests()), ground()),
        (earlier(ran_as()), ground(digests=Digests(causes="0" * 64, probes=DIGESTS.probes))),
        (earlier(ran_as()), ground(digests=Digests(causes=DIGESTS.causes, probes={"pytorch": "0" * 64}))),
        (earlier(ran_as(Cause.EVICTED)), ground()),
        (earlier(ran_as(Cause.WAITED_OUT)), ground()),
        (earlier(ran_as(Cause.INSTALL_FAILED)), ground()),
        (earlier(ran_as(submitted=False)), ground()),
    ],
)
def test_nothing_is_carried_forward_where_anything_has_changed_or_nothing_was_proved(
    sweep: Outcomes, on: Ground
) -> None:
    assert reused(sweep, on=on) == Reused()


def test_by_default_nothing_is() -> None:
    assert reuse([TUPLE], ground(), [earlier(ran_as())], ReuseSettings()) == Reused()


def test_a_verdict_that_was_itself_carried_forward_is_as_old_as_its_test() -> None:
    carried = earlier(ran_as(submitted=False, device=None, driver=None), days=10)
    assert "90 days ago" in reused(carried, earlier(ran_as())).settled[TUPLE.id].reason
    assert reused(carried, earlier(ran_as()), age="60d") == Reused()


def test_the_newest_test_counts() -> None:
    found = reused(earlier(ran_as(Cause.CRASHED), days=10), earlier(ran_as(), days=90))
    assert found.settled[TUPLE.id].cause is Cause.CRASHED


def test_a_share_is_tested_all_the_same_with_the_old_verdict_as_expectation() -> None:
    found = reused(earlier(ran_as()), recheck=1.0)
    assert found.settled == {}
    assert found.checks[TUPLE.id].cause is Cause.ALL_RUNGS
    tuples = [TUPLE.model_copy(update={"version": f"2.{n}"}) for n in range(400)]
    environments = {t.environment.id: environment() for t in tuples}
    sweeps = [earlier(*(ran_as(id=t.id, version=t.version) for t in tuples))]
    drawn = reuse(tuples, ground(environments=environments), sweeps, ReuseSettings(age="180d", recheck=0.05))
    assert 5 <= len(drawn.checks) <= 50
    assert len(drawn.checks) + len(drawn.settled) == 400
    again = reuse(tuples, ground(environments=environments), sweeps, ReuseSettings(age="180d", recheck=0.05))
    assert again == drawn


def test_a_contradicted_check_ends_reuse_for_its_gpu_class_and_says_so() -> None:
    said = Prediction(rule="reused", cause=Cause.ALL_RUNGS, reason="as in sweep x of y on A100: because")
    contradicted = ran_as(Cause.CRASHED, prediction=said, audit=True, surprise=True)
    found = reused(earlier(contradicted, days=10), earlier(ran_as()))
    assert found.settled == {}
    assert found.notes == (
        "nothing is reused for A100, driver 580.65.06: a check contradicted an earlier verdict there",
    )
    other = outcome("2.5", "9.0", Cause.CRASHED)
    elsewhere = other.model_copy(update={"device": "H100", "prediction": said, "audit": True, "surprise": True})
    assert TUPLE.id in reused(earlier(ran_as(), elsewhere)).settled
