"""A channel with many PyTorch versions of which each has builds for a few CUDA runtimes, in two quarters.

The data have the form of sweep/sandbox/channel.toml and begin with all that is in there, Python and the CUDA packages
among it. The versions are of no real PyTorch, so that no fact about a real one says what becomes of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sweep.sandbox.channel import DATA

# Those of the sandbox's cuda-version.
RUNTIMES = ("11.8", "12.0", "12.2", "12.4", "12.6", "12.8", "12.9", "13.0")
FIRST_MINOR = 20  # the oldest version is 2.20
# Neighbouring runtimes that each version has builds for: a quarter of the pairs.
BUILDS = 2

# What becomes of the environments, one after the other and then from the beginning.
FATES = (
    "works", "works", "few-archs", "works", "damaged", "works", "works", "unresolved", "works", "works",
    "works", "no-library", "damaged", "works", "few-archs", "works", "works", "empty", "works", "works",
)  # fmt: skip
# Each tenth environment is built again for the second quarter, every other one of them with fewer architectures.
CHANGED = 10

_ARCHS_BEFORE_12 = ("3.5", "5.0", "6.0", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0")
_ARCHS_OF_12 = ("5.0", "6.0", "7.0", "7.5", "8.0", "8.6", "8.9", "9.0")
_ARCHS_OF_13 = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.0")
_FEW_ARCHS = ("7.5", "8.0", "8.6")
_PYTHON = ["python >=3.12,<3.13.0a0", "python_abi 3.12.* *_cp312"]
_NOT_IN_THE_CHANNEL = "scipy >=2"


@dataclass(frozen=True)
class Environment:
    """One version with one runtime: its place in the line, and what becomes of it."""

    place: int
    version: str
    runtime: str
    fate: str
    number: int = 0
    """The build number."""


def versions(count: int) -> list[str]:
    """The versions of the channel."""
    return [f"2.{FIRST_MINOR + n}" for n in range(count)]


def environments(count: int, quarter: int) -> list[Environment]:
    """The environments of so many versions that have a build, in the first quarter or the second."""
    pairs = [
        (version, RUNTIMES[(n * len(RUNTIMES) // count + k) % len(RUNTIMES)])
        for n, version in enumerate(versions(count))
        for k in range(BUILDS)
    ]
    found = []
    for place, (version, runtime) in enumerate(pairs):
        again = quarter > 1 and place % CHANGED == 0
        fate = "few-archs" if again and place % (2 * CHANGED) == 0 else FATES[place % len(FATES)]
        found.append(Environment(place, version, runtime, fate, int(again)))
    return found


def channel_data(count: int, quarter: int) -> str:
    """The channel's TOML: the sandbox's own, and so many versions of PyTorch."""
    parts = [DATA.read_text()]
    for environment in environments(count, quarter):
        parts.append(_table("package", _package(environment)))
        if environment.fate == "damaged":
            build = {"name": "pytorch", "version": f"{environment.version}.0", "build": _build_string(environment)}
            parts.append(_table("corrupt", build))
    # To every third version the solver can fall back without CUDA.
    parts += [_table("package", _cpu_package(version)) for version in versions(count)[::3]]
    return "\n".join(parts)


def _package(environment: Environment) -> dict[str, Any]:
    fate, major = environment.fate, int(environment.runtime.partition(".")[0])
    cudnn = {11: "8", 12: "9", 13: "9"}[major]
    libraries = [f"libcudart.so.{'11.0' if major == 11 else major}", f"libcublas.so.{major}", f"libcudnn.so.{cudnn}"]
    depends = [*_PYTHON, "__cuda", *_cuda_packages(environment.runtime, with_cudnn=fate != "no-library")]
    if fate == "unresolved":
        depends.append(_NOT_IN_THE_CHANNEL)
    archs = {11: _ARCHS_BEFORE_12, 12: _ARCHS_OF_12, 13: _ARCHS_OF_13}[major]
    facts: dict[str, Any] = {"cuda": environment.runtime, "archs": archs, "ptx": archs[-1], "libraries": libraries}
    if fate == "few-archs":
        facts = {"cuda": environment.runtime, "archs": _FEW_ARCHS, "libraries": libraries}
    return {
        "name": "pytorch",
        "license": "BSD-3-Clause",
        "standin": [] if fate == "empty" else ["torch"],
        "depends": depends,
        "builds": [{"version": f"{environment.version}.0", "build": _build_string(environment), "facts": facts}],
    }


def _cuda_packages(runtime: str, *, with_cudnn: bool) -> Iterator[str]:
    """What binds a build to one runtime, as conda-forge's builds were bound before CUDA 12."""
    if runtime.startswith("11."):
        yield "cudatoolkit >=11.8,<12"
        yield "cuda-version >=11.8,<11.9"
        cudnn = "cudnn >=8.9.7.29,<9.0a0"
    else:
        major, minor = map(int, runtime.split("."))
        yield f"cuda-version >={runtime},<{major}.{minor + 1}"
        yield "cuda-cudart"
        yield "libcublas"
        # From 9.11 on it crashes on old devices; for CUDA 13 the channel has no older one.
        cudnn = "cudnn >=9.10.2.21,<9.11.0a0" if major == 12 else "cudnn >=9.13.1.26,<10.0a0"
    if with_cudnn:
        yield cudnn


def _cpu_package(version: str) -> dict[str, Any]:
    build = {"version": f"{version}.0", "build": "cpu_mkl_py312_h0000000_100"}
    return {
        "name": "pytorch",
        "license": "BSD-3-Clause",
        "standin": ["torch"],
        "depends": _PYTHON,
        "builds": [build],
    }


def _build_string(environment: Environment) -> str:
    runtime = environment.runtime.replace(".", "")
    return f"cuda{runtime}_py312_h{environment.place:07x}_{300 + environment.number}"


def _table(name: str, values: dict[str, Any]) -> str:
    """A TOML table of an array of them; strings and lists are written alike in JSON."""
    return f"[[{name}]]\n" + "".join(f"{key} = {_value(value)}\n" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)
