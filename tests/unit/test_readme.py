"""README and code say the same."""

import re
from pathlib import Path

import pytest

from sweep import places
from sweep.cli import cli
from sweep.model import Cause

ROOT = places.checkout()
assert ROOT is not None
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_explained(cause: Cause) -> None:
    assert f"| {cause} | {cause.meaning} |" in README


@pytest.mark.parametrize("command", sorted(n for n, c in cli.commands.items() if not c.hidden))
def test_every_command_is_listed(command: str) -> None:
    assert re.search(rf"^\| .*`sweep {command}\b", README, flags=re.MULTILINE)


def test_every_path_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?:sweep|templates|dags|tests)/[\w./]+)`", README))
    assert named
    assert not [name for name in named if not Path(ROOT, name).exists()]


def test_the_table_is_that_of_the_example() -> None:
    example = (ROOT / "results" / "example" / "compatibility.md").read_text()
    rows = [line for line in README.splitlines() if line.startswith("| ") and "sm80" in line]
    assert rows
    for row in rows:
        assert row in example
