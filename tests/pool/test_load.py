"""A sweep is a good neighbour: it takes no more of a pool than its share, and stops when its budget is spent."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from conftest import Gate, Site, event_log, outcomes, seen, wait_for

from sweep.sandbox.pool import SandboxPool

VERSIONS = ("2.4", "2.5", "2.8", "2.10")


def most_at_once(here: Path, tuples: set[str]) -> int:
    """The greatest number of jobs of these tuples that were in the queue at a moment, by the event log."""
    inside, most = set(), 0
    for event in event_log(here):
        if event.tuple in tuples:
            if event.kind == "SUBMIT":
                inside.add(event.cluster)
            elif event.kind in ("JOB_TERMINATED", "JOB_ABORTED"):
                inside.discard(event.cluster)
            most = max(most, len(inside))
    return most


def test_no_class_gives_more_than_its_share_and_the_scarce_one_holds_nobody_up(
    gated_site: Callable[..., Site], gate: Gate
) -> None:
    site = gated_site(*VERSIONS, gpus={"capabilities": ["7.0", "8.0"]}, load={"share": 0.5})
    run = site.start()
    # One of the two V100s, two of the five A100s; what is gated keeps them.
    wait_for(lambda: len(seen(run.here, "EXECUTE")) >= 3)
    gate.open()
    assert site.end(run) == 0
    submitted = {name for name, each in outcomes(run.here).items() if each["submitted"]}
    for capability, share in (("sm70", 1), ("sm80", 2)):
        of_class = {name for name in submitted if name.endswith(capability)}
        assert len(of_class) > share
        assert most_at_once(run.here, of_class) == share
    assert {outcomes(run.here)[name]["verdict"] for name in submitted} <= {"works", "gpu-failure"}


def test_a_budget_that_is_spent_lets_what_runs_finish_and_starts_nothing_more(
    gated_site: Callable[..., Site], gate: Gate
) -> None:
    site = gated_site(*VERSIONS, gpus={"capabilities": ["7.5", "9.0"]}, load={"share": 0.5, "gpu_hours": 0.002})
    run = site.start()
    wait_for(lambda: (run.here / "spent.json").is_file())
    gate.open()
    assert site.end(run) == 0
    found = outcomes(run.here)
    started = set(seen(run.here, "EXECUTE"))
    assert {found[name]["verdict"] for name in started} <= {"works", "gpu-failure"}
    unspent = {name: each for name, each in found.items() if each["submitted"] and name not in started}
    assert unspent
    assert {(each["verdict"], each["cause"]) for each in unspent.values()} == {("inconclusive", "over-budget")}
    assert json.loads((run.here / "outcomes.json").read_text())["state"] == "over-budget"
    spent = json.loads((run.here / "spent.json").read_text())
    assert spent["budget"] == 0.002 <= spent["spent"]
    assert (run.here / "summary.txt").read_text().count("over-budget")


def test_what_the_first_tuple_proves_of_an_environment_is_not_run_again(pool: SandboxPool, tmp_path: Path) -> None:
    site = Site(
        pool,
        tmp_path,
        **{"frameworks.jax": {"versions": ["0.6", "0.7"]}},
        gpus={"capabilities": ["7.5", "8.0", "9.0"]},
        load={"share": 1.0, "gate": True},
    )
    run = site.start()
    assert site.end(run) == 0
    found = outcomes(run.here)
    ran = set(seen(run.here, "EXECUTE"))
    assert {name for name in ran if name.startswith("jax-0.6")} == {
        n for n in found if n.startswith("jax-0.6-cuda12.9")
    }
    broken = {name: each for name, each in found.items() if name.startswith("jax-0.7-cuda12.9")}
    (first,) = ran & set(broken)
    assert {(each["verdict"], each["cause"]) for each in broken.values()} == {("resolve-failure", "install-failed")}
    for name in set(broken) - {first}:
        assert (broken[name]["submitted"], broken[name]["rule"]) == (False, "same-environment")
        assert first in broken[name]["reason"]
        assert broken[name]["evidence"] == broken[first]["evidence"]
    assert json.loads((run.here / "outcomes.json").read_text())["state"] == "complete"
