"""Digests tell rules and probes apart, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweepdir import TUPLE, one, result

from sweep import digests
from sweep.facts import load_facts
from sweep.schema import Digests
from sweep.settings import RuleSettings

FACTS = load_facts()


def put(here: Path, name: str, content: str) -> None:
    (here / "probe").mkdir(exist_ok=True)
    (here / "probe" / name).write_text(content)


def recorded(directory: Path, **probes: str) -> Digests:
    """The digests of a classified sweep whose probe files have this content."""
    directory.mkdir(exist_ok=True)
    made = one(directory, "exit-0", result())
    for name, content in probes.items():
        put(made.here, name.replace("_", "."), content)
    return made.classify().digests


def test_a_sweep_records_the_digest_of_each_frameworks_probe(tmp_path) -> None:
    assert TUPLE.startswith("pytorch-")
    base = {"driver_pyz": "driver", "pytorch_py": "probe", "jax_py": "another"}
    first = recorded(tmp_path / "a", **base).probes
    assert list(first) == ["pytorch"]
    assert recorded(tmp_path / "b", **base).probes == first
    assert recorded(tmp_path / "c", **base | {"jax_py": "changed"}).probes == first
    for name in ("driver_pyz", "pytorch_py"):
        assert recorded(tmp_path / name, **base | {name: "changed"}).probes != first


def test_text_that_moves_from_one_file_to_the_next_changes_the_digest(tmp_path) -> None:
    first = recorded(tmp_path / "a", driver_pyz="one two", pytorch_py="three")
    second = recorded(tmp_path / "b", driver_pyz="one ", pytorch_py="twothree")
    assert first.probes != second.probes


def test_probes_that_were_tidied_away_are_unknown(tmp_path) -> None:
    assert recorded(tmp_path).probes == {}


@pytest.mark.parametrize(
    ("changes", "same"),
    [({}, True), ({"audit": 3}, True), ({"off": ["no-build"]}, False), ({"predicted": "skip"}, False)],
)
def test_planning_rules_differ_by_what_they_say_and_not_by_their_audit(
    changes: dict[str, object], same: bool
) -> None:
    first = digests.planning_rules(FACTS, RuleSettings())
    assert (digests.planning_rules(FACTS, RuleSettings.model_validate(changes)) == first) is same


def test_a_corrected_table_of_facts_changes_the_planning_rules(tmp_path) -> None:
    from sweep import places

    text = (places.PACKAGE / "facts" / "drivers.toml").read_text()
    (tmp_path / "drivers.toml").write_text(text)
    first = digests.planning_rules(FACTS, RuleSettings())
    assert digests.planning_rules(load_facts(tmp_path), RuleSettings()) == first
    (tmp_path / "drivers.toml").write_text(text.replace("last = 470", "last = 471"))
    assert digests.planning_rules(load_facts(tmp_path), RuleSettings()) != first
