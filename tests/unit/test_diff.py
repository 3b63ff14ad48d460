"""What changed between two sweeps: of real ones, and properties that hold for any two."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import BEFORE, SWEEPS, golden, stored

from sweep.cuda import DriverPolicy
from sweep.diff import VERDICTS_DIFFER, Change, Diff, Kind, Side, What, diff
from sweep.files import read_model
from sweep.likely import likely
from sweep.model import Cause, Verdict
from sweep.report import changes
from sweep.schema import Digests, Outcome, Outcomes

WINTER = stored("winter")
BROKEN = "pytorch-2.10-cuda12.9-sm70"
CHOSEN = [o for o in WINTER.tuples if o.cause is not Cause.NO_BUILD][:12]


def of(difference: Diff, tuple_id: str) -> Change:
    (change,) = (each for each in difference.changes if each.id == tuple_id)
    return change


# --------------------------------------------------------------------------- three real sweeps


def test_a_spring_with_regressions() -> None:
    found = diff(WINTER, stored("spring"))
    counts = Counter(change.kind for change in found.changes)
    assert counts == {
        Kind.NEWLY_BROKEN: 5, Kind.NEWLY_WORKS: 5, Kind.CAUSE_CHANGED: 3, Kind.NOT_COMPARABLE: 6
    }  # fmt: skip
    assert found.alike + len(found.changes) == len(WINTER.tuples)


@pytest.mark.parametrize(
    ("tuple_id", "kind", "reason"),
    [
        (BROKEN, Kind.NEWLY_BROKEN, "likely upstream: lock cudnn 9.10.2.21 → cudnn 9.13.1.26"),
        (
            "pytorch-2.8-cuda12.9-sm75",
            Kind.NEWLY_BROKEN,
            "likely the pool: driver 535.104.05 → 470.256.02",
        ),
        ("pytorch-2.10-cuda13.0-sm90", Kind.NEWLY_WORKS, "likely the pool: driver 570.86.15 → 580.65.06"),
        # A package was repaired behind an unchanged lock: another driver does not explain that.
        (
            "jax-0.7-cuda12.9-sm90",
            Kind.NEWLY_WORKS,
            "nothing that could explain it: the lock is the same, so a package behind it or the way to it is not; "
            "also changed: driver",
        ),
        ("pytorch-2.8-cuda12.9-sm60", Kind.NOT_COMPARABLE, "no slot came free before"),
        (
            "jax-0.6-cuda12.9-sm60",
            Kind.NOT_COMPARABLE,
            "inconclusive before: held with code 1/0: held by the administrator (by user nobody)",
        ),
    ],
)
def test_what_became_of_a_tuple_in_spring_and_why(tuple_id: str, kind: Kind, reason: str) -> None:
    change = of(diff(WINTER, stored("spring")), tuple_id)
    assert (change.kind, likely(change)) == (kind, reason)


def test_a_summer_with_a_new_class_and_a_retired_one() -> None:
    found = diff(stored("spring"), stored("summer"))
    for kind, capability, reason in (
        (Kind.NEW, "10.0", "the pool has new GPUs"),
        (Kind.GONE, "3.5", "the pool has no such GPUs any more"),
    ):
        assert {(c.capability, c.axis, likely(c)) for c in found.of(kind)} == {(capability, "capability", reason)}
        assert len(found.of(kind)) == 24
    assert {c.capability for c in found.of(Kind.NEWLY_WORKS)} == {"7.5"}


@pytest.mark.parametrize("name", [name for sweep in BEFORE for name in golden(sweep)])
def test_the_texts_are_the_stored_ones(name: str) -> None:
    """After a wanted change: `python tests/unit/data/sweeps/make.py texts`, and look at what it changed."""
    assert golden(name.partition(".")[0])[name] == (SWEEPS / name).read_text(encoding="utf-8")


# --------------------------------------------------------------------------- one thing changed


def altered(outcomes: Outcomes, tuple_id: str, **changes: Any) -> Outcomes:
    if "cause" in changes:
        changes["verdict"] = changes["cause"].verdict
    found = tuple(o.model_copy(update=changes) if o.id == tuple_id else o for o in outcomes.tuples)
    return outcomes.model_copy(update={"tuples": found, "sweep": "2027-01-01T000000"})


@pytest.mark.parametrize(
    ("what", "changes", "whole", "whose"),
    [
        (What.LOCK, {"lock_sha256": "f" * 64}, {}, "upstream"),
        (What.DRIVER, {"driver": "590.1"}, {}, "the pool"),
        (What.GPU_CLASS, {"device": "Tesla V100-PCIE-16GB"}, {}, "the pool"),
        (What.PROBE, {}, {"digests": {"probes": {"pytorch": "b" * 64}}}, "the sweeper"),
        (What.CAUSE_RULES, {}, {"digests": {"causes": "b" * 64}}, "the sweeper"),
        (What.PLANNING_RULES, {"submitted": False}, {"digests": {"planning": "b" * 64}}, "the sweeper"),
    ],
)
def test_what_changed_on_the_way_is_the_likely_reason(
    what: What, changes: dict[str, Any], whole: dict[str, Any], whose: str
) -> None:
    known = {"probes": {"pytorch": "a" * 64}, "causes": "a" * 64, "planning": "a" * 64}
    old = WINTER.model_copy(update={"digests": Digests(**known)})
    digests = Digests(**(known | whole.get("digests", {})))
    new = altered(old, BROKEN, cause=Cause.CRASHED, **changes).model_copy(update={"digests": digests})
    change = of(diff(old, new), BROKEN)
    assert [each.what for each in change.changed] == [what]
    assert likely(change).startswith(f"likely {whose}: {what} ")


def test_where_nothing_changed_on_the_way_the_machine_is_suspected() -> None:
    change = of(diff(WINTER, altered(WINTER, BROKEN, cause=Cause.CRASHED, machine="other.sim.example")), BROKEN)
    assert likely(change) == (
        "nothing recorded but the machine, volta.sim.example → other.sim.example: run it again on both"
    )
    change = of(diff(WINTER, altered(WINTER, BROKEN, cause=Cause.CRASHED)), BROKEN)
    assert likely(change) == "nothing recorded: run it again to see whether it lasts"


@pytest.mark.parametrize(
    ("change", "what"),
    [({"simulated": False}, What.SIMULATED), ({"driver_policy": DriverPolicy.STRICT}, What.DRIVER_POLICY)],
)
def test_sweeps_that_differ_as_wholes_are_not_compared(change: dict[str, Any], what: What) -> None:
    new = altered(WINTER, BROKEN, cause=Cause.CRASHED).model_copy(update=change)
    found = diff(WINTER, new)
    assert [each.what for each in found.apart] == [what]
    assert [(c.id, c.kind, likely(c)) for c in found.changes] == [
        (BROKEN, Kind.NOT_COMPARABLE, "the sweeps differ as wholes")
    ]


def by_class(outcomes: Outcomes, label: str) -> Outcomes:
    """A sweep whose tuples are of one GPU class each."""
    found = tuple(o.model_copy(update={"gpu": label, "id": f"{o.id}-{label}"}) for o in outcomes.tuples)
    return outcomes.model_copy(update={"tuples": found})


def test_a_driver_that_makes_another_gpu_class_is_told_as_such() -> None:
    found = diff(by_class(WINTER, "tesla_v100_r550.1"), by_class(WINTER, "tesla_v100_r580.2"))
    assert {(c.kind, likely(c)) for c in found.changes} == {
        (Kind.NEW, "the pool has a new GPU class: another model, or another driver"),
        (Kind.GONE, "the pool has no such GPU class any more: another model, or another driver"),
    }
    assert [each.names[0] for each in changes.groups(found)] == [
        "sm35 tesla_v100_r580.2 (24 tuples, 0 work)",
        "sm35 tesla_v100_r550.1 (24 tuples, 0 work)",
    ]


def test_what_went_against_a_prediction_comes_first() -> None:
    failing = [o.id for o in WINTER.tuples if o.cause is Cause.ALL_RUNGS][:3]
    new = WINTER
    for tuple_id in failing:
        new = altered(new, tuple_id, cause=Cause.CRASHED, surprise=tuple_id == failing[2])
    assert [c.id for c in diff(WINTER, new).changes] == [failing[2], *failing[:2]]


def test_a_failure_that_planning_settles_by_another_rule_is_not_unexpected() -> None:
    settled = next(o for o in WINTER.tuples if o.rule == "no-build")
    change = of(
        diff(WINTER, altered(WINTER, settled.id, cause=Cause.UNSATISFIABLE, rule="unsatisfiable")), settled.id
    )
    assert (change.kind, change.unexpected) == (Kind.CAUSE_CHANGED, False)
    assert likely(change) == "planning settles it by another rule: no-build → unsatisfiable"


def test_a_sweep_from_before_digests_and_channels_were_kept_is_compared_all_the_same(tmp_path) -> None:
    data = json.loads((SWEEPS / "winter.json").read_text())
    for name in ("digests", "channels", "noted"):
        del data[name]
    path = tmp_path / "outcomes.json"
    path.write_text(json.dumps(data))
    change = of(diff(read_model(path, Outcomes, "sweep classify"), stored("spring")), BROKEN)
    assert "likely upstream: lock" in likely(change)


# --------------------------------------------------------------------------- any two sweeps

DEVICES = {"driver": st.sampled_from(["550.1", "580.2", None]), "device": st.sampled_from(["V100", "A100", None])}


@st.composite
def outcome(draw: st.DrawFn, base: Outcome) -> Outcome:
    cause = draw(st.sampled_from(Cause))
    return base.model_copy(
        update={
            "cause": cause,
            "verdict": cause.verdict,
            "submitted": draw(st.booleans()),
            "surprise": draw(st.booleans()),
            "lock_sha256": draw(st.sampled_from(["a" * 64, "b" * 64, None])),
            "machine": draw(st.sampled_from(["one", "two", None])),
            **{name: draw(values) for name, values in DEVICES.items()},
        }
    )


@st.composite
def sweeps(draw: st.DrawFn) -> Outcomes:
    kept = [base for base in CHOSEN if draw(st.integers(0, 5))]
    digest = st.sampled_from(["a" * 64, "b" * 64, None])
    return WINTER.model_copy(
        update={
            "sweep": draw(st.sampled_from(["2026-01-01T000000", "2026-04-01T000000"])),
            "simulated": draw(st.integers(0, 5)) > 0,
            "driver_policy": draw(st.sampled_from([DriverPolicy.MINOR] * 5 + [DriverPolicy.STRICT])),
            "digests": Digests(planning=draw(digest), causes=draw(digest)),
            "tuples": tuple(draw(outcome(base)) for base in kept),
        }
    )


INVERSE = {
    Kind.NEWLY_BROKEN: Kind.NEWLY_WORKS,
    Kind.NEWLY_WORKS: Kind.NEWLY_BROKEN,
    Kind.NEW: Kind.GONE,
    Kind.GONE: Kind.NEW,
}


def inverse(change: Change) -> Change:
    turned = tuple(each.model_copy(update={"old": each.new, "new": each.old}) for each in change.changed)
    kind = INVERSE.get(change.kind, change.kind)
    return change.model_copy(update={"kind": kind, "old": change.new, "new": change.old, "changed": turned})


@given(old=sweeps(), new=sweeps())
def test_the_other_way_round_everything_is_turned_round(old: Outcomes, new: Outcomes) -> None:
    there, back = diff(old, new), diff(new, old)
    assert {c.id: inverse(c) for c in there.changes} == {c.id: c for c in back.changes}
    assert there.alike == back.alike
    assert [(a.old, a.new) for a in there.apart] == [(a.new, a.old) for a in back.apart]


@given(sweep=sweeps())
def test_a_sweep_has_no_difference_to_itself(sweep: Outcomes) -> None:
    found = diff(sweep, sweep)
    assert (found.changes, found.apart, found.alike) == ((), (), len(sweep.tuples))


@given(old=sweeps(), new=sweeps())
def test_every_tuple_is_told_once_or_alike_and_with_a_reason(old: Outcomes, new: Outcomes) -> None:
    found = diff(old, new)
    told = Counter(c.id for c in found.changes)
    assert set(told.values()) <= {1}
    assert found.alike + len(found.changes) == len({o.id for o in (*old.tuples, *new.tuples)})
    for change in found.changes:
        assert likely(change)
        for side in filter(None, (change.old, change.new)):
            # What is unknown, or not comparable as a whole, never counts as broken or repaired.
            assert change.kind not in VERDICTS_DIFFER or (side.known and not found.apart)


@given(old=sweeps(), new=sweeps())
def test_a_diff_is_the_same_after_a_walk_through_its_file(old: Outcomes, new: Outcomes) -> None:
    found = diff(old, new)
    assert Diff.model_validate_json(found.model_dump_json(by_alias=True)) == found
    assert Diff.model_validate_json(found.model_dump_json(by_alias=True, exclude_none=True)) == found


def test_broken_and_repaired_are_about_works_and_nothing_else() -> None:
    def side(cause: Cause) -> Side:
        return Side(verdict=cause.verdict, cause=cause, reason="", submitted=True, surprise=False)

    for was, now in product(Cause, Cause):
        new = altered(altered(WINTER, BROKEN, cause=was), BROKEN, cause=now)
        kinds = [c.kind for c in diff(altered(WINTER, BROKEN, cause=was), new).changes]
        if was is now or not (side(was).known or side(now).known):
            assert kinds == []
        elif not (side(was).known and side(now).known):
            assert kinds == [Kind.NOT_COMPARABLE]
        else:
            worked, works = was.verdict is Verdict.WORKS, now.verdict is Verdict.WORKS
            wanted = {(True, False): Kind.NEWLY_BROKEN, (False, True): Kind.NEWLY_WORKS}
            assert kinds == [wanted.get((worked, works), Kind.CAUSE_CHANGED)]
