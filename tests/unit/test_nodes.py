"""What a slot's ad says of its machine, and what of that the solver is told."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from classad2 import ExprTree
from slot_ads import A100, device, slot

from sweep.model import Node
from sweep.nodes import machine_of, node_of, virtual_packages
from sweep.settings import NodeSettings


class Known(NamedTuple):
    glibc: str
    linux: str


SYSTEMS = {"AlmaLinux8": Known("2.28", "4.18.0"), "AlmaLinux9": Known("2.34", "5.14.0")}


def node(cuda: str = "12.4", **attributes: Any) -> Node:
    return node_of(machine_of(slot("a", {"GPU-1": device(A100)}, **attributes)), cuda, SYSTEMS.get)


def test_a_machine_of_a_known_distribution() -> None:
    found = node(OpSysAndVer="AlmaLinux9", Microarch="x86_64-v3")
    assert found == Node(system="AlmaLinux9", glibc="2.34", linux="5.14.0", archspec="x86_64_v3", cuda="12.4")


def test_the_kernel_that_runs_counts_before_the_one_of_the_distribution() -> None:
    assert node(OpSysAndVer="AlmaLinux8", UtsnameRelease="6.1.0-18-amd64").linux == "6.1.0"
    assert node(OpSysAndVer="Debian12", UtsnameRelease="4.18.0-553.el8_10.x86_64").linux == "4.18.0"


@pytest.mark.parametrize(
    ("said", "archspec"),
    [
        ("x86_64-v4", "x86_64_v4"),
        ("x86_64-v2", "x86_64_v2"),
        ("x86_64-v1", "x86_64"),
        ("x86_64-v9", None),
        ("znver4", None),
        (4, None),
        (ExprTree("undefined"), None),
    ],
)
def test_microarchitecture_levels(said: Any, archspec: str | None) -> None:
    assert node(Microarch=said).archspec == archspec


def test_an_aarch64_machine_needs_no_level() -> None:
    assert node(Arch="aarch64").archspec == "aarch64"


@pytest.mark.parametrize("said", [ExprTree("undefined"), ExprTree("error"), 12, "", "Plan9", ["AlmaLinux9"]])
def test_a_machine_that_does_not_say_its_system(said: Any) -> None:
    found = node(OpSysAndVer=said, UtsnameRelease=said)
    assert (found.glibc, found.linux, found.archspec) == (None, None, None)


def solver(*nodes: Node, **chosen: Any) -> tuple[str, ...]:
    return virtual_packages(nodes, NodeSettings(**chosen), "11.0").packages


OLD = Node(system="AlmaLinux8", glibc="2.28", linux="4.18.0", archspec="x86_64_v4", cuda="12.10")
NEW = Node(system="AlmaLinux9", glibc="2.34", linux="5.14.0", archspec="x86_64_v3", cuda="12.9")
ANCIENT = Node(system="CentOS7", glibc="2.9", linux="3.10.0", archspec="x86_64", cuda="11.4")
SILENT = Node(system=None, glibc=None, linux=None, archspec=None, cuda="13.0")


def test_the_solver_is_told_the_least_of_all_nodes() -> None:
    assert solver(NEW) == ("__unix=0", "__linux=5.14.0", "__glibc=2.34", "__archspec=1=x86_64_v3", "__cuda=12.9")
    assert solver(OLD, NEW) == ("__unix=0", "__linux=4.18.0", "__glibc=2.28", "__archspec=1=x86_64_v3", "__cuda=12.9")
    assert solver(NEW, ANCIENT, OLD) == (
        "__unix=0", "__linux=3.10.0", "__glibc=2.9", "__archspec=1=x86_64", "__cuda=11.4",
    )  # fmt: skip


def test_a_node_that_does_not_say_counts_as_the_default_and_is_noted() -> None:
    packages, notes = virtual_packages([NEW, SILENT], NodeSettings(), "12.0")
    assert packages == ("__unix=0", "__linux=4.18.0", "__glibc=2.28", "__archspec=1=x86_64", "__cuda=12.9")
    assert notes == (
        "machines with an unnamed system do not say their glibc: 2.28 assumed",
        "machines with an unnamed system do not say their kernel: 4.18.0 assumed",
        "machines with an unnamed system do not say their microarchitecture: x86_64 assumed",
    )
    assert virtual_packages([NEW, OLD], NodeSettings(), "12.0").notes == ()


def test_a_default_does_not_hide_a_node_that_offers_less() -> None:
    assert "__glibc=2.9" in solver(SILENT, ANCIENT)


def test_a_setting_wins_over_what_the_machines_say() -> None:
    packages, notes = virtual_packages(
        [ANCIENT, SILENT], NodeSettings(glibc="2.31", linux="5.4.0", archspec="zen3"), "12.0"
    )
    assert packages == ("__unix=0", "__linux=5.4.0", "__glibc=2.31", "__archspec=1=zen3", "__cuda=11.4")
    assert notes == ()


def test_another_platform() -> None:
    grace = Node(system="Ubuntu22", glibc="2.35", linux="6.8.0", archspec="aarch64", cuda="12.8")
    assert "__archspec=1=aarch64" in solver(grace, platform="linux-aarch64")
    assert "__archspec=1=aarch64" in solver(platform="linux-aarch64")


def test_without_any_node_the_oldest_acceptable_driver_counts() -> None:
    packages, notes = virtual_packages([], NodeSettings(), "12.0")
    assert packages == ("__unix=0", "__linux=4.18.0", "__glibc=2.28", "__archspec=1=x86_64", "__cuda=12.0")
    assert notes == ("no machine of the pool can take it: a driver for CUDA 12.0 assumed",)
