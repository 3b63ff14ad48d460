"""The driver blames its machine for exactly what classification calls infrastructure: by the rules packed with it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_causes import EXAMPLES, Example

from sweep import causes
from sweep.model import Cause, Rung
from sweep.probe.pack import DRIVER, PACKAGE, driver_archive

ON_A_RUNG = [example for example in EXAMPLES if example.rung is not None and example.signal is None]
CRASHED = [example for example in EXAMPLES if example.signal is not None]


@pytest.fixture(scope="module")
def blame(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module as it travels: out of the archive."""
    archive = tmp_path_factory.mktemp("driver") / DRIVER
    archive.write_bytes(driver_archive())
    sys.path.insert(0, str(archive))
    yield importlib.import_module(f"{PACKAGE}.blame")
    sys.path.remove(str(archive))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.mark.parametrize("example", ON_A_RUNG, ids=lambda e: e.rule)
def test_the_driver_and_the_access_point_agree(blame: Any, example: Example) -> None:
    reading = example.read()
    expected = reading.rule if reading.known and reading.cause is Cause.INFRASTRUCTURE else None
    assert blame.machine_at_fault(example.rung.value, example.text, example.stderr) == expected


@pytest.mark.parametrize("example", CRASHED, ids=lambda e: f"{e.rule} {e.signal}")
def test_they_agree_on_crashes_too(blame: Any, example: Example) -> None:
    reading = example.read()
    expected = reading.rule if reading.cause is Cause.INFRASTRUCTURE else None
    assert blame.machine_at_fault_for_crash(example.rung.value, example.signal, example.stderr) == expected


def test_last_words_come_before_the_signal_where_a_program_ends_itself(blame: Any) -> None:
    words = "CUDA error: uncorrectable ECC error encountered"
    assert blame.machine_at_fault_for_crash("kernel", "SIGABRT", words) == "gpu-uncorrectable-ecc"
    assert blame.machine_at_fault_for_crash("kernel", "SIGSEGV", words) is None
    assert blame.machine_at_fault_for_crash("kernel", "SIGABRT", "no kernel image is available") is None


def test_there_is_something_to_agree_on() -> None:
    blamed = [example for example in ON_A_RUNG if example.cause is Cause.INFRASTRUCTURE]
    assert len(blamed) >= 5
    assert len(ON_A_RUNG) - len(blamed) >= 50


def test_every_rule_of_a_rung_travels_in_its_order(blame: Any) -> None:
    rules = blame.load()
    assert [rule["id"] for rule in rules["rule"]] == [rule.id for rule in causes.rules().rule]
    assert [rule["id"] for rule in rules["crash"]] == [rule.id for rule in causes.rules().crash]


def test_colours_do_not_hide_the_words(blame: Any) -> None:
    text = "RuntimeError: \x1b[31mCUDA error: \x1b[1muncorrectable ECC error encountered\x1b[0m"
    assert blame.machine_at_fault(Rung.COPY.value, text, "") == "gpu-uncorrectable-ecc"


def test_a_driver_without_rules_blames_nobody() -> None:
    """As it lies in the source tree, for those who run it by hand."""
    from sweep.probe.driver import blame

    assert not Path(blame.__file__).with_name(blame.RULES).exists()
    assert blame.machine_at_fault(Rung.COPY.value, "uncorrectable ECC error", "") is None
    assert blame.machine_at_fault_for_crash(Rung.COPY.value, "SIGKILL", "") is None
