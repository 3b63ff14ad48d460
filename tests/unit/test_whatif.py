"""What a change of the pool would cost, by the facts and the observed results."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_advise import gpu, outcome, sweep_of

from sweep.errors import SettingsError
from sweep.facts import load_facts
from sweep.files import read_model
from sweep.model import Cause, Verdict
from sweep.report import whatif as shown
from sweep.schema import Outcomes
from sweep.whatif import Change, foreseeable, what_if

FACTS = load_facts()
EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example" / "outcomes.json"
V100 = gpu("7.0", "V100", 2, driver="580.65.06")
A100 = gpu("8.0", "A100", 4, driver="580.65.06")
OLD_A100 = gpu("8.0", "A100 40GB", 3, runtime="12.4", driver="550.54.14")
POOL = [V100, A100, OLD_A100]


def lost(outcomes: Outcomes, **change: object) -> dict[str, tuple[int, int]]:
    """Tuple -> devices lost, and devices that it has now."""
    forecast = what_if(outcomes, Change(**change), FACTS)
    return {loss.outcome.id: (loss.lost, loss.devices) for loss in forecast.losses}


def test_a_driver_branch_takes_the_generations_that_it_ignores() -> None:
    sweep = sweep_of(POOL, outcome("2.4", "7.0"), outcome("2.4", "8.0"))
    forecast = what_if(sweep, Change(driver="590"), FACTS)
    assert [(loss.outcome.capability, loss.lost, loss.whole) for loss in forecast.losses] == [("7.0", 2, True)]
    assert "Volta" in forecast.losses[0].why
    assert [(s.framework, s.devices) for s in forecast.stranded] == [("pytorch", 2)]
    assert what_if(sweep, Change(driver="580"), FACTS).losses == ()


def test_machines_that_have_a_newer_driver_already_keep_it() -> None:
    newer = gpu("7.0", "V100", driver="590.44.01")
    assert lost(sweep_of([newer], outcome("2.4", "7.0")), driver="590") == {}


def test_a_tuple_that_found_no_driver_new_enough_could_be_tried_after_an_upgrade() -> None:
    sweep = sweep_of(
        [OLD_A100],
        outcome("2.10", "8.0", Cause.NO_SUCH_SLOT, cuda="13.0"),
        outcome("2.9", "8.0", Cause.DRIVER_TOO_OLD),
        outcome("2.8", "8.0", Cause.CRASHED),
        outcome("2.7", "9.0", Cause.NO_SUCH_SLOT, cuda="13.0"),
    )
    assert [o.version for o in what_if(sweep, Change(driver="580"), FACTS).curable] == ["2.10", "2.9"]
    assert [o.version for o in what_if(sweep, Change(driver="570"), FACTS).curable] == ["2.9"]
    assert what_if(sweep, Change(driver="590", cuda=("12", "13")), FACTS).curable == ()
    assert what_if(sweep, Change(driver="590", retired=("A100",)), FACTS).curable == ()


@pytest.mark.parametrize(
    ("runtime", "versions"), [("12", {"2.4", "2.5"}), ("12.4", {"2.4"}), ("1", set()), ("11", {"2.3"})]
)
def test_a_runtime_takes_its_minor_versions_with_it(runtime: str, versions: set[str]) -> None:
    sweep = sweep_of(
        POOL,
        outcome("2.3", "8.0", cuda="11.8"),
        outcome("2.4", "8.0", cuda="12.4"),
        outcome("2.5", "8.0", cuda="12.9"),
    )
    forecast = what_if(sweep, Change(cuda=(runtime,)), FACTS)
    assert {loss.outcome.version for loss in forecast.losses} == versions
    assert forecast.stranded == ()


def test_retired_devices_may_be_only_a_part_of_a_capability() -> None:
    sweep = sweep_of(POOL, outcome("2.4", "8.0"))
    assert lost(sweep, retired=("40GB",)) == {"pytorch-2.4-cuda12.9-sm80": (3, 7)}
    assert lost(sweep, retired=("8.0",)) == {"pytorch-2.4-cuda12.9-sm80": (7, 7)}


def test_only_what_works_can_be_lost() -> None:
    assert lost(sweep_of(POOL, outcome("2.4", "7.0", Cause.WAITED_OUT)), driver="590") == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change(), "--driver 590, --drop-cuda 12, --retire 7.0"),
        (Change(driver="new"), "--driver new: write a driver branch or release"),
        (Change(cuda=("12.x",)), "--drop-cuda 12.x: write a CUDA version"),
        (Change(cuda=("",)), "--drop-cuda : write"),
        (Change(cuda=("²",)), "--drop-cuda ²: write"),
        (Change(retired=("H100",)), "the pool of this sweep has no such GPU"),
    ],
)
def test_a_change_that_cannot_be_is_told(change: Change, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        what_if(sweep_of(POOL, outcome("2.4", "7.0")), change, FACTS)


def test_a_real_sweep_loses_exactly_what_ran_on_the_retired_gpus() -> None:
    outcomes = read_model(EXAMPLE, Outcomes, "make demo")
    works = {o.id for o in outcomes.tuples if o.verdict is Verdict.WORKS and o.capability == "7.0"}
    found = lost(outcomes, retired=("7.0",))
    assert set(found) == works
    assert set(found.values()) == {(2, 2)}
    said = "\n".join(shown.lines(outcomes, change := Change(retired=("7.0",)), what_if(outcomes, change, FACTS)))
    assert f"{len(works)} of " in said


def test_a_version_that_is_left_nowhere_is_named() -> None:
    gone, stays = outcome("2.5", "7.0"), outcome("2.4", "8.0")
    sweep = sweep_of([V100, A100], gone, stays, outcome("2.4", "7.0"))
    change = Change(retired=("V100",))
    text = "\n".join(shown.lines(sweep, change, what_if(sweep, change, FACTS)))
    row = next(line for line in text.splitlines() if line.startswith("pytorch"))
    assert row.split() == ["pytorch", "2", "2.5", "none"]


def test_what_staff_may_have_before_them_is_foreseen() -> None:
    sweep = sweep_of(POOL, outcome("2.4", "7.0"), outcome("2.4", "8.0", cuda="11.8"), outcome("2.5", "8.0"))
    found = foreseeable(sweep, FACTS)
    assert Change(driver="590") in found
    assert not [c for c in found if c.driver in ("396", "495")]  # the pool has nothing that they dropped
    assert [c.cuda for c in found if c.cuda] == [("11",), ("12",)]
    assert [c.retired for c in found if c.retired] == [("7.0",), ("8.0",)]
    lines = {line.change: line for line in shown.for_page(sweep, FACTS)}
    assert lines["every driver at least 590"].lost == 1
    assert lines["every driver at least 590"].without == "pytorch: V100 ×2 (sm70)"
    assert lines["without GPUs 7.0"].without == ""
