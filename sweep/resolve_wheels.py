"""Environments of wheels: requirements put to the package index and locked, or refused, with the reason.

The CUDA runtime is asked for beside the framework, so that the index's own metadata decide which versions go with it.
A resolution counts only if the framework itself asks for that runtime: else it is a CPU build, or for another CUDA.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep.cuda import driver_floor
from sweep.errors import SettingsError
from sweep.facts import Facts
from sweep.files import write_atomic
from sweep.framework import Wheels
from sweep.model import EnvironmentKey, Node, Source
from sweep.nodes import virtual_packages
from sweep.offer import Offer
from sweep.schema import EnvironmentState, PlannedEnvironment
from sweep.settings import Settings
from sweep.wheels import Demand, Index, Locked, runtime_package, uv_platform

_OURS = "-r requirements.in"  # who asks for what stands in our own list
_OLDEST_GLIBC = "2.17"
_EXPLANATION_LIMIT = 600  # characters


def resolve(
    keys: Mapping[str, EnvironmentKey],
    nodes: Mapping[str, Sequence[Node]],
    settings: Settings,
    offers: Mapping[str, Offer],
    index: Index,
    here: Path,
    facts: Facts,
) -> tuple[dict[str, PlannedEnvironment], tuple[str, ...]]:
    """Lock each environment for the least that its machines offer; and notes on what had to be assumed.

    Raises:
        ChannelError: an index cannot be reached, or uv fails otherwise.
        SettingsError: nothing says for which Python a version is to be locked.
    """
    notes: dict[str, None] = {}
    demands: dict[str, Demand] = {}
    for id_, key in keys.items():
        floor = driver_floor(key.cuda, settings.cuda.driver_policy)
        assumed = virtual_packages(nodes.get(id_, ()), settings.node, floor)
        glibc = next(p.partition("=")[2] for p in assumed.packages if p.startswith("__glibc="))
        platform = uv_platform(glibc, settings.node.platform)
        if platform is None:
            platform = uv_platform(_OLDEST_GLIBC, settings.node.platform) or ""
            notes[f"machines have glibc {glibc}, older than any wheel of now runs with: {_OLDEST_GLIBC} assumed"] = (
                None
            )
        demands[id_] = demand(key, _wheels(offers[key.framework]), settings, platform)
        notes |= dict.fromkeys(note for note in assumed.notes if nodes.get(id_) and "glibc" in note)
    answers = index.lock_all(demands, here / "environments")
    if any(isinstance(answer, Locked) and not answer.size for answer in answers.values()):
        notes[f"{index.name} does not say how large wheels are; the estimate of downloads leaves them out"] = None
    found = {}
    for id_, answer in answers.items():
        common: dict[str, Any] = {
            "id": id_,
            **keys[id_].model_dump(),
            "source": Source.PIP,
            "specs": demands[id_].requirements,
            "virtual_packages": (demands[id_].platform, f"python={demands[id_].python}"),
        }
        if isinstance(answer, Locked):
            wheels = _wheels(offers[keys[id_].framework])
            decided = _judged(answer, keys[id_], wheels, facts) | {"python": demands[id_].python}
        else:
            decided = {"state": EnvironmentState.UNSATISFIABLE, "explanation": gist(answer.explanation)}
            write_atomic(here / "environments" / id_ / "explanation.txt", answer.explanation + "\n", durable=False)
        if isinstance(answer, Locked) and decided["state"] is not EnvironmentState.RESOLVED:
            text = f"{decided['explanation']}\n"
            write_atomic(here / "environments" / id_ / "explanation.txt", text, durable=False)
        found[id_] = PlannedEnvironment(**common, **decided)
    return found, tuple(notes)


def demand(key: EnvironmentKey, wheels: Wheels, settings: Settings, platform: str) -> Demand:
    """What is asked for one environment: the framework, its CUDA runtime, and what the payload needs.

    Raises:
        SettingsError: nothing says for which Python.
    """
    chosen = settings.frameworks[key.framework]
    python = chosen.python_of(key.version) or settings.pip.python_version
    if python is None:
        raise SettingsError(
            f"frameworks.{key.framework}.python names no Python for {key.version}, and pip.python does not end in a "
            "version; wheels are made for one Python, so add the series to the table"
        )
    return Demand(
        requirements=(
            *wheels.requirements_for(key.version, key.cuda),
            f"{runtime_package(key.cuda)}=={key.cuda}.*",
            *(settings.payload.packages if settings.payload else ()),
        ),
        python=python,
        platform=platform,
        indexes=(chosen.indexes[key.cuda],) if key.cuda in chosen.indexes else (),
    )


def gist(explanation: str) -> str:
    """uv's reasons in one line, without the conditions that requirements have for other platforms."""
    text = re.sub(r"^\W*(error|cause|×|╰─▶):?\s*", "", explanation, flags=re.MULTILINE)
    text = re.sub(r"\{[^{}]*==[^{}]*\}", "", text)
    line = " ".join(text.replace("No solution found when resolving dependencies", "").split()).strip(" :")
    return line if len(line) <= _EXPLANATION_LIMIT else line[: _EXPLANATION_LIMIT - 1] + "…"


def lock_digest(text: str) -> str:
    """SHA-256 of what a requirements.txt installs: its comments say who asks for a package, and do not count."""
    kept = "".join(line + "\n" for line in text.splitlines() if line and not line.lstrip().startswith("#"))
    return hashlib.sha256(kept.encode()).hexdigest()


def _wheels(offer: Offer) -> Wheels:
    assert offer.framework.pip is not None
    return offer.framework.pip


def _judged(locked: Locked, key: EnvironmentKey, wheels: Wheels, facts: Facts) -> dict[str, Any]:
    """What a resolution came to: with the CUDA runtime that was asked for, another one, or none."""
    package = wheels.package_for(key.cuda)
    version = locked.versions.get(package, "?")
    name = f"{package} {version}"
    runtime = runtime_package(key.cuda)
    # Whoever asks for a runtime beside us is the framework, or something that it asks for.
    brings = [p for p, askers in locked.wanted_by.items() if _is_runtime(p) and askers - {_OURS}]
    named = "{major}" in wheels.package or version.endswith(f"+cu{key.cuda.replace('.', '')}")
    if runtime not in brings and not named:
        if brings:
            other = ", ".join(f"{p} {locked.versions[p]}" for p in brings)
            said = f"{name} brings {other}, not CUDA {key.cuda}"
            return {"state": EnvironmentState.UNSATISFIABLE, "explanation": said}
        said = f"{name} asks for no CUDA runtime: a build for the CPU, or one that does not say"
        return {"state": EnvironmentState.CPU_BUILD, "build": name, "explanation": said}
    return {
        "state": EnvironmentState.RESOLVED,
        "build": name,
        "runtime": locked.versions[runtime],
        "noted": {noted: v for noted in facts.packages if (v := _version_of(noted, locked, key.cuda))},
        "packages": len(locked.versions),
        "size": locked.size,
        "lock_sha256": lock_digest(locked.text),
    }


def _is_runtime(package: str) -> bool:
    return re.fullmatch(r"nvidia-cuda-runtime(-cu[0-9]+)?", package) is not None


def _version_of(package: str, locked: Locked, cuda: str) -> str | None:
    """The version of what conda calls so: wheels of NVIDIA's libraries put the vendor before, the CUDA after it."""
    major = cuda.partition(".")[0]
    names = (package, f"nvidia-{package}-cu{major}", f"nvidia-{package}")
    return next((locked.versions[name] for name in names if name in locked.versions), None)
