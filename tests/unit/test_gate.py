"""The stage gate: who goes first, and what is inferred from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from test_load import TUPLES, tuple_

from sweep import gate
from sweep.model import Cause, VersionTuple
from sweep.schema import Evidence, Outcome, PlannedTuple

IDS = ["pytorch-2.5-cuda12.4-sm80", "pytorch-2.5-cuda12.4-sm90", "pytorch-2.5-cuda12.4-sm70"]


def test_a_capability_apart_waits_for_no_other() -> None:
    """Else a budget's chain of its tuples would stand still behind another capability's queue."""
    tuples = [tuple_("2.5", capability) for capability in ("8.0", "9.0", "7.0")]
    first, h100, v100 = (t.id for t in tuples)
    assert gate.first_of_each(tuples, {"9.0"}) == {first: [v100]}
    assert gate.first_of_each(tuples, {"8.0"}) == {first: [h100, v100]}
    twice = [tuple_("2.5", "9.0"), tuple_("2.5", "9.0", gpu="h100")]
    assert gate.first_of_each(twice, {"9.0"}) == {twice[0].id: [twice[1].id]}


def outcome(tuple_id: str, cause: Cause, attempts: int = 0) -> Outcome:
    return Outcome(
        id=tuple_id,
        **VersionTuple.parse(tuple_id).model_dump(),
        verdict=cause.verdict,
        cause=cause,
        reason=f"{cause} it is",
        evidence=Evidence(file=f"tuples/{tuple_id}/result.json", line=3),
        submitted=True,
        attempts=attempts,
    )


def closed_by(directory: Path, cause: Cause) -> list[Outcome]:
    """Three tuples of an environment: the first had a job, which closed the gate; the third had one all the same."""
    first = outcome(IDS[0], cause, attempts=1)
    gate.close(directory, first, [first])
    return [first, outcome(IDS[1], Cause.NO_RESULT), outcome(IDS[2], Cause.HELD, attempts=1)]


@given(TUPLES)
def test_each_environment_has_one_first_tuple_and_its_others_wait_for_it(tuples: list[PlannedTuple]) -> None:
    gates = gate.first_of_each(tuples)
    for first, others in gates.items():
        environments = {t.environment.id for t in map(VersionTuple.parse, [first, *others])}
        assert len(environments) == 1
    named = [name for first, others in gates.items() for name in (first, *others)]
    assert len(named) == len(set(named))
    alone = {t.id for t in tuples} - set(named)
    assert len({VersionTuple.parse(name).environment.id for name in alone}) == len(alone)


def test_the_first_is_the_first_in_the_order_in_which_they_run_and_audits_wait_for_nobody() -> None:
    tuples = [tuple_("2.5", "8.0", audit=True), tuple_("2.5", "9.0"), tuple_("2.5", "7.0")]
    assert gate.first_of_each(tuples) == {tuples[1].id: [tuples[2].id]}


@pytest.mark.parametrize("cause", [Cause.INSTALL_FAILED, Cause.IMPORT_FAILED, Cause.CPU_BUILD])
def test_what_holds_on_every_gpu_settles_the_tuples_that_had_no_job(tmp_path: Path, cause: Cause) -> None:
    first, settled, ran = gate.inferred(tmp_path, closed_by(tmp_path, cause))
    assert (first.cause, first.submitted) == (cause, True)
    assert (settled.cause, settled.verdict, settled.submitted, settled.rule) == (
        cause,
        cause.verdict,
        False,
        gate.RULE,
    )
    assert settled.reason == f"as with {IDS[0]}, whose environment it shares: {cause} it is"
    assert settled.evidence == first.evidence
    assert ran.cause is Cause.HELD


@pytest.mark.parametrize("cause", sorted(set(Cause) - gate.HOLDS_ON_EVERY_GPU))
def test_nothing_else_closes_the_gate(tmp_path: Path, cause: Cause) -> None:
    first = outcome(IDS[0], cause, attempts=1)
    assert gate.close(tmp_path, first, [first]) is False
    assert list(tmp_path.iterdir()) == []


def test_what_a_later_look_at_the_first_tuple_does_not_confirm_settles_nothing(tmp_path: Path) -> None:
    _, waiting, ran = closed_by(tmp_path, Cause.INSTALL_FAILED)
    outcomes = [outcome(IDS[0], Cause.INFRASTRUCTURE, attempts=2), waiting, ran]
    assert gate.inferred(tmp_path, outcomes) == outcomes


@pytest.mark.parametrize("content", ["", "[]", '{"schema": "sweep.gate/2", "first": "x", "cause": "held"}'])
def test_a_damaged_gate_settles_nothing(tmp_path: Path, content: str) -> None:
    outcomes = closed_by(tmp_path, Cause.IMPORT_FAILED)
    (tmp_path / "environments" / "pytorch-2.5-cuda12.4" / gate.FILE).write_text(content)
    assert gate.inferred(tmp_path, outcomes) == outcomes


def test_another_environments_gate_settles_nothing(tmp_path: Path) -> None:
    outcomes = closed_by(tmp_path, Cause.IMPORT_FAILED)
    other = outcome("pytorch-2.5-cuda12.9-sm90", Cause.NO_RESULT)
    assert gate.inferred(tmp_path, [*outcomes, other])[-1] == other


@pytest.mark.parametrize("cause", [Cause.ALL_RUNGS, Cause.NO_DEVICE])
def test_a_tuple_of_the_environment_that_came_further_speaks_against_the_first(tmp_path: Path, cause: Cause) -> None:
    first, waiting, _ = closed_by(tmp_path, Cause.IMPORT_FAILED)
    outcomes = [first, waiting, outcome(IDS[2], cause, attempts=1)]
    assert gate.inferred(tmp_path, outcomes) == outcomes
    gate.reopen(tmp_path, outcomes)
    assert not list(tmp_path.rglob(gate.FILE))


@pytest.mark.parametrize("rule", ["generic-import", "generic-install", "signal-at-import", "abi-libstdcxx"])
def test_what_may_be_one_nodes_doing_closes_no_gate(tmp_path: Path, rule: str) -> None:
    first = outcome(IDS[0], Cause.IMPORT_FAILED, attempts=1).model_copy(update={"rule": rule})
    assert gate.close(tmp_path, first, [first]) is False


def test_a_gate_opens_when_the_first_tuple_comes_to_another_end(tmp_path: Path) -> None:
    outcomes = closed_by(tmp_path, Cause.INSTALL_FAILED)
    gate.reopen(tmp_path, outcomes)
    assert list(tmp_path.rglob(gate.FILE))  # confirmed
    better = outcome(IDS[0], Cause.ALL_RUNGS, attempts=2)
    assert gate.close(tmp_path, better, [better]) is False
    assert not list(tmp_path.rglob(gate.FILE))
