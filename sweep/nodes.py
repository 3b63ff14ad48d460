"""What the machines of the pool offer the solver: slot ads -> nodes -> conda's virtual packages.

A startd says its distribution (OpSysAndVer), its kernel (UtsnameRelease, seen in ads of HTCondor 25.14), its
architecture (Arch) and, on x86_64, its microarchitecture level (Microarch, HTCondor manual). It does not say its
glibc; that follows from the distribution, by a table that the caller passes in. Nothing of the access point is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from sweep.attributes import readable_text
from sweep.cuda import in_order, version_key
from sweep.model import Node
from sweep.settings import NodeSettings

# What is assumed where neither the settings nor the machines say: Enterprise Linux 8, the oldest distribution that
# conda-forge's present CUDA packages run on (cudnn >= 9.8 and libcublas >= 12.8 ask for glibc 2.28).
DEFAULT_GLIBC = "2.28"
DEFAULT_LINUX = "4.18.0"
_BASELINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
# Microarchitecture levels, lowest first; each includes those before it. Other architectures have one level.
_LEVELS = ("aarch64", "x86_64", "x86_64_v2", "x86_64_v3", "x86_64_v4")


class System(Protocol):
    """What a table knows of a distribution."""

    @property
    def glibc(self) -> str:
        """Version of its C library."""

    @property
    def linux(self) -> str:
        """Version of its kernel when it was released."""


Systems = Callable[[str], System | None]  # OpSysAndVer -> what is known of it


class Machine(NamedTuple):
    """What a slot's ad says of its machine; None where it does not."""

    system: str | None
    kernel: str | None
    architecture: str | None
    microarch: str | None


class VirtualPackages(NamedTuple):
    """Virtual packages as conda writes them, and what had to be assumed for them, as sentences."""

    packages: tuple[str, ...]
    notes: tuple[str, ...]


def no_systems(name: str) -> System | None:
    """A table that knows no distribution."""
    return None


def machine_of(ad: Mapping[str, Any]) -> Machine:
    """What a slot's ad says of its machine."""
    return Machine(*(readable_text(ad.get(name)) for name in ("OpSysAndVer", "UtsnameRelease", "Arch", "Microarch")))


def node_of(machine: Machine, runtime: str, systems: Systems = no_systems) -> Node:
    """What a machine offers the solver; `runtime` is the newest that the driver of its GPU supports."""
    known = systems(machine.system) if machine.system else None
    kernel = re.match(r"[0-9]{1,3}(\.[0-9]{1,5}){1,3}", machine.kernel or "")
    return Node(
        system=machine.system,
        glibc=known.glibc if known else None,
        linux=kernel[0] if kernel else known.linux if known else None,
        archspec=_archspec(machine),
        cuda=runtime,
    )


def virtual_packages(nodes: Iterable[Node], chosen: NodeSettings, floor: str) -> VirtualPackages:
    """The least that the nodes offer, so that a solution holds on each of them; settings that have a value win.

    `floor` is the oldest acceptable driver as a CUDA runtime; it counts where there is no node at all.
    """
    nodes = tuple(nodes)
    notes: list[str] = []
    if not nodes:
        notes.append(f"no machine of the pool can take it: a driver for CUDA {floor} assumed")
    glibc = chosen.glibc or _least("glibc", DEFAULT_GLIBC, {n: n.glibc for n in nodes}, version_key, notes)
    linux = chosen.linux or _least("kernel", DEFAULT_LINUX, {n: n.linux for n in nodes}, version_key, notes)
    archspec = chosen.archspec or _least(
        "microarchitecture", _BASELINES[chosen.platform], {n: n.archspec for n in nodes}, _LEVELS.index, notes
    )
    cuda = in_order(n.cuda for n in nodes)[0] if nodes else floor
    packages = ("__unix=0", f"__linux={linux}", f"__glibc={glibc}", f"__archspec=1={archspec}", f"__cuda={cuda}")
    return VirtualPackages(packages, tuple(notes))


def _least(
    what: str, default: str, said: Mapping[Node, str | None], key: Callable[[str], Any], notes: list[str]
) -> str:
    """The lowest value; a node that says none counts as the default, and is noted."""
    silent = sorted({n.system or "an unnamed system" for n, value in said.items() if value is None})
    if silent:
        notes.append(f"machines with {', '.join(silent)} do not say their {what}: {default} assumed")
    return min((value or default for value in said.values()), key=key, default=default)


def _archspec(machine: Machine) -> str | None:
    if machine.architecture == "aarch64":
        return "aarch64"
    level = re.fullmatch(r"x86_64-v([1-4])", machine.microarch or "")
    if level is None:
        return None
    return "x86_64" if level[1] == "1" else f"x86_64_v{level[1]}"
