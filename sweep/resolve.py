"""Environments: each solved once for the nodes it may land on, locked, and written; or refused, with the reason.

What a researcher would try, in this order: the newest Python that the builds support (or the pinned one); any Python;
a CUDA build demanded by its build string, where the solver fell back to a CPU build.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sweep import lock
from sweep.builds import Build, cuda_of
from sweep.channels import Channels, Refusal, Request, Solution
from sweep.cuda import driver_floor, version_key
from sweep.explanation import gist, missing_only
from sweep.facts import Facts
from sweep.files import write_atomic
from sweep.framework import Framework
from sweep.model import EnvironmentKey, Node, VersionTuple
from sweep.nodes import virtual_packages
from sweep.offer import Offer
from sweep.schema import EnvironmentState, PlannedEnvironment
from sweep.settings import Settings
from sweep.timings import Stopwatch

# What carries the version of the installed CUDA runtime; the first that a solution has.
_RUNTIME_PACKAGES = ("cuda-version", "pytorch-cuda", "cudatoolkit")


@dataclass(frozen=True)
class _Environment:
    """An environment on its way: what is asked for now, and what the attempts so far came to."""

    key: EnvironmentKey
    framework: Framework
    request: Request
    answer: Solution | Refusal | None = None
    cpu: Solution | None = None

    @property
    def settled(self) -> bool:
        """Whether the answer is a solution with a CUDA build."""
        return isinstance(self.answer, Solution) and self.has_cuda(self.answer)

    def has_cuda(self, solution: Solution) -> bool:
        """Whether the solution's build of the framework is a CUDA build."""
        build = solution.build_of(self.framework.cuda_package)
        return build is not None and cuda_of(build).cuda


def resolve(
    tuples: Sequence[VersionTuple],
    nodes: Mapping[str, Sequence[Node]],
    settings: Settings,
    offers: Mapping[str, Offer],
    channels: Channels,
    here: Path,
    facts: Facts,
    watch: Stopwatch,
) -> tuple[dict[str, PlannedEnvironment], tuple[str, ...]]:
    """Solve each environment once, write its files, and say what came of it; and notes on what had to be assumed.

    `nodes` are the machines, by environment id, that its jobs may land on.
    """
    keys = {t.environment.id: t.environment for t in tuples}
    virtual = {
        id_: virtual_packages(nodes[id_], settings.node, driver_floor(key.cuda, settings.cuda.driver_policy))
        for id_, key in keys.items()
    }
    waiting = {
        id_: _Environment(
            key, offers[key.framework].framework, _first_request(key, settings, offers, virtual[id_][0])
        )
        for id_, key in keys.items()
    }
    with watch.stage("solve"):
        waiting = _attempt(waiting, channels)
        again = {id_: _with_any_python(e) for id_, e in waiting.items() if not _python_pinned(e.key, settings)}
        waiting |= _attempt({id_: e for id_, e in again.items() if e is not None}, channels)
        demands = {id_: _demanding_cuda(e) for id_, e in waiting.items() if e.cpu is not None and not e.settled}
        waiting |= _attempt(demands, channels)
    with watch.stage("lock"):
        environments = with_the_same_locks(
            _written(environment, here / "environments" / id_, settings, facts)
            for id_, environment in waiting.items()
        )
    notes = dict.fromkeys(note for id_, assumed in virtual.items() if nodes[id_] for note in assumed.notes)
    return environments, tuple(notes)


def with_the_same_locks(environments: Iterable[PlannedEnvironment]) -> dict[str, PlannedEnvironment]:
    """Environments by id and in order, each naming the first one that has the very same lock."""
    first: dict[str, str] = {}
    result = {}
    for environment in sorted(environments, key=lambda e: (e.framework, e.version, version_key(e.cuda))):
        same = first.setdefault(environment.lock_sha256, environment.id) if environment.lock_sha256 else None
        result[environment.id] = environment.model_copy(update={"same_as": same if same != environment.id else None})
    return result


def _first_request(
    key: EnvironmentKey, settings: Settings, offers: Mapping[str, Offer], virtual: tuple[str, ...]
) -> Request:
    offer = offers[key.framework]
    pinned = settings.frameworks[key.framework].python_of(key.version)
    pythons = offer.pythons(key.version, key.cuda)
    specs = offer.framework.specs_for(key.version, key.cuda, pinned or next(iter(pythons), None))
    return Request(offer.channels, (*specs, *(settings.payload.packages if settings.payload else ())), virtual)


def _python_pinned(key: EnvironmentKey, settings: Settings) -> bool:
    return settings.frameworks[key.framework].python_of(key.version) is not None


def _with_any_python(environment: _Environment) -> _Environment | None:
    """The same without the Python; None where that changes nothing or is not needed."""
    specs = tuple("python" if spec.startswith("python ") else spec for spec in environment.request.specs)
    if environment.settled or specs == environment.request.specs:
        return None
    return replace(environment, request=replace(environment.request, specs=specs))


def _demanding_cuda(environment: _Environment) -> _Environment:
    """The same request, with the build string of a CUDA build, as a user would demand it next."""
    demand = f"{environment.framework.cuda_package} {environment.key.version}.* *cuda*"
    request = replace(environment.request, specs=(*environment.request.specs, demand))
    return replace(environment, request=request)


def _attempt(waiting: Mapping[str, _Environment], channels: Channels) -> dict[str, _Environment]:
    """Each environment with the solver's answer to its present request; a CPU solution is remembered."""
    answers = channels.solve_all({id_: e.request for id_, e in waiting.items()})
    found = {}
    for id_, environment in waiting.items():
        answer = answers[id_]
        is_cpu = isinstance(answer, Solution) and not environment.has_cuda(answer)
        cpu = answer if is_cpu and isinstance(answer, Solution) else environment.cpu
        found[id_] = replace(environment, answer=answer, cpu=cpu)
    return found


# --------------------------------------------------------------------------- what is left on disk


def _written(environment: _Environment, directory: Path, settings: Settings, facts: Facts) -> PlannedEnvironment:
    key, request, answer = environment.key, environment.request, environment.answer
    platform = settings.node.platform
    lock.write_environment(directory, key.id, request, platform)
    common: dict[str, Any] = {
        "id": key.id,
        **key.model_dump(),
        "specs": request.specs,
        "virtual_packages": request.virtual,
    }
    if isinstance(answer, Solution) and environment.settled:
        build = answer.build_of(environment.framework.cuda_package)
        assert build is not None
        digest = lock.write_locks(directory, request, answer, platform)
        return PlannedEnvironment(**common, **_solved(answer, build, facts), lock_sha256=digest)
    assert isinstance(answer, Refusal)
    text, state = answer.explanation, EnvironmentState.UNSATISFIABLE
    if answer.timed_out:
        state = EnvironmentState.UNSOLVED
    elif environment.cpu is not None:
        state = EnvironmentState.CPU_BUILD
        common["build"] = _named(environment.cpu, environment.framework)
        text = f"The solver took {common['build']}. With a CUDA build demanded:\n{text}"
    write_atomic(directory / "explanation.txt", text + "\n", durable=False)
    return PlannedEnvironment(
        **common, state=state, explanation=gist(answer.explanation), missing=missing_only(answer.explanation)
    )


def _solved(answer: Solution, build: Build, facts: Facts) -> dict[str, Any]:
    runtimes = (answer.version_of(name) for name in _RUNTIME_PACKAGES)
    noted = {name: version for name in facts.packages if (version := answer.version_of(name))}
    return {
        "state": EnvironmentState.RESOLVED,
        "build": f"{build.name} {build.version} {build.build}",
        "compiled": cuda_of(build).compiled,
        "built": build.timestamp,
        "runtime": next(filter(None, runtimes), None),
        "python": answer.version_of("python"),
        "noted": noted,
        "packages": len(answer.records),
        "size": lock.download_size(answer),
    }


def _named(answer: Solution, framework: Framework) -> str:
    """The build of the framework's CUDA package in a solution, for people."""
    build = answer.build_of(framework.cuda_package)
    return f"{build.name} {build.version} {build.build}" if build else f"(no {framework.cuda_package} at all)"
