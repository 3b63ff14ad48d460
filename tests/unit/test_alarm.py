"""What is an error to cron, and what is worth a mail: on the stored sweeps of a pool that changes."""

from __future__ import annotations

import pytest
from stored import FIRST, since, stored

from sweep.alarm import FailOn, alarming, fail_on, noteworthy
from sweep.diff import Diff, Kind, diff
from sweep.errors import RegressionError


def changed() -> Diff:
    """From winter to spring: the sweep with regressions."""
    found = since("spring")
    assert isinstance(found, Diff)
    return found


def test_what_worked_and_does_not_any_more_is_a_regression() -> None:
    found = alarming(changed(), FailOn.REGRESSIONS)
    assert {change.id for change in found} == {change.id for change in changed().of(Kind.NEWLY_BROKEN)}
    assert found


def test_the_error_names_the_sweep_and_the_tuples() -> None:
    with pytest.raises(RegressionError) as caught:
        fail_on(changed(), FailOn.REGRESSIONS)
    for change in changed().of(Kind.NEWLY_BROKEN):
        assert change.id in str(caught.value)
    assert f"since sweep {stored('winter').sweep}" in str(caught.value)


def test_of_many_only_some_are_named() -> None:
    many = changed().of(Kind.NEWLY_BROKEN) * 10
    with pytest.raises(RegressionError, match=f"{len(many)} tuple.* and {len(many) - 10} more"):
        fail_on(changed().model_copy(update={"changes": many}), FailOn.REGRESSIONS)


def test_what_is_unexpected_is_more_than_the_regressions() -> None:
    broken = {change.id for change in alarming(changed(), FailOn.REGRESSIONS)}
    assert broken < {change.id for change in alarming(changed(), FailOn.UNEXPECTED)}


@pytest.mark.parametrize("what", FailOn)
def test_nothing_is_an_error_where_nothing_changed_or_there_is_nothing_to_compare_with(what: FailOn) -> None:
    fail_on(diff(stored("spring"), stored("spring")), what)
    fail_on(FIRST, what)


def test_a_change_a_surprise_an_early_end_and_no_table_are_worth_a_mail() -> None:
    spring = stored("spring")
    same = diff(spring, spring)
    calm = spring.model_copy(
        update={"tuples": tuple(o.model_copy(update={"surprise": False}) for o in spring.tuples)}
    )
    assert not noteworthy(calm, same)
    assert noteworthy(calm, changed())
    assert noteworthy(None, "")
    assert noteworthy(calm.model_copy(update={"state": "over-budget"}), same)
    odd = calm.tuples[0].model_copy(update={"surprise": True})
    assert noteworthy(calm.model_copy(update={"tuples": (odd, *calm.tuples[1:])}), same)
