"""Environments: each solved once for the node it will run on, locked, and written; or refused, with the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep import lock
from sweep.builds import cuda_of
from sweep.channels import Channels, Refusal, Request, Solution
from sweep.config import Settings
from sweep.cuda import driver_floor, version_key
from sweep.files import write_atomic
from sweep.framework import Framework
from sweep.model import EnvironmentKey, VersionTuple
from sweep.offer import Offer
from sweep.schema import EnvironmentState, PlannedEnvironment


def virtual_packages(settings: Settings, runtime: str) -> tuple[str, ...]:
    """What the execute node offers the solver.

    `__cuda` is the oldest driver that the tuple's jobs may land on, so a solution holds on every node that matches.
    """
    node = settings.node
    return (
        "__unix=0",
        f"__linux={node.linux}",
        f"__glibc={node.glibc}",
        f"__archspec=1={node.archspec if node.platform == 'linux-64' else 'aarch64'}",
        f"__cuda={driver_floor(runtime, settings.cuda.driver_policy)}",
    )


def resolve(
    tuples: Sequence[VersionTuple],
    settings: Settings,
    offers: Mapping[str, Offer],
    channels: Channels,
    here: Path,
) -> dict[str, PlannedEnvironment]:
    """Solve each environment once, write its files, and say what came of it."""
    keys = {t.environment.id: t.environment for t in tuples}
    requests = {id_: _request(key, settings, offers[key.framework]) for id_, key in keys.items()}
    answers = channels.solve_all(requests)
    # The solver fell back to a CPU build: ask for a CUDA build by its build string, as a user would next. If that can
    # be had, it is the environment to test; if not, the solver's words say why.
    demands = {
        id_: _demanding_cuda(requests[id_], offers[key.framework].framework, key.version)
        for id_, key in keys.items()
        if _is_cpu(answers[id_], offers[key.framework].framework)
    }
    second = channels.solve_all(demands)
    cpu_only: dict[str, tuple[str, Refusal]] = {}
    for id_, answer in second.items():
        if isinstance(answer, Refusal):
            cpu_only[id_] = (_named(answers[id_], offers[keys[id_].framework].framework), answer)
        else:
            requests[id_], answers[id_] = demands[id_], answer
    environments = {}
    for id_, key in sorted(keys.items(), key=lambda item: _environment_order(item[1])):
        directory = here / "environments" / id_
        lock.write_environment(directory, id_, requests[id_], settings.node.platform)
        common: dict[str, Any] = {
            "id": id_,
            **key.model_dump(),
            "specs": requests[id_].specs,
            "virtual_packages": requests[id_].virtual,
        }
        answer = answers[id_]
        if id_ in cpu_only:
            environments[id_] = _cpu_build(directory, common, *cpu_only[id_])
        elif isinstance(answer, Refusal):
            write_atomic(directory / "explanation.txt", answer.explanation + "\n")
            state = EnvironmentState.UNSOLVED if answer.timed_out else EnvironmentState.UNSATISFIABLE
            environments[id_] = PlannedEnvironment(**common, state=state, explanation=answer.explanation)
        else:
            digest = lock.write_locks(directory, requests[id_], answer, settings.node.platform)
            environments[id_] = PlannedEnvironment(
                **common,
                state=EnvironmentState.RESOLVED,
                build=_named(answer, offers[key.framework].framework),
                packages=len(answer.records),
                size=lock.download_size(answer),
                lock_sha256=digest,
            )
    return environments


def _cpu_build(directory: Path, common: dict[str, Any], named: str, why: Refusal) -> PlannedEnvironment:
    text = f"The solver took {named}. With a CUDA build demanded:\n{why.explanation}\n"
    write_atomic(directory / "explanation.txt", text)
    return PlannedEnvironment(**common, state=EnvironmentState.CPU_BUILD, build=named, explanation=why.explanation)


def _named(answer: Solution | Refusal, framework: Framework) -> str:
    """The build of the framework's CUDA package in a solution, for people."""
    build = answer.build_of(framework.cuda_package) if isinstance(answer, Solution) else None
    return f"{build.name} {build.version} {build.build}" if build else f"(no {framework.cuda_package} at all)"


def _environment_order(key: EnvironmentKey) -> tuple[Any, ...]:
    return key.framework, key.version, version_key(key.cuda)


def _request(key: EnvironmentKey, settings: Settings, offer: Offer) -> Request:
    chosen = settings.frameworks[key.framework]
    specs = offer.framework.specs_for(key.version, key.cuda, chosen.python)
    return Request(offer.channels, specs, virtual_packages(settings, key.cuda))


def _demanding_cuda(request: Request, framework: Framework, version: str) -> Request:
    """The same request, with the build string of a CUDA build."""
    return Request(
        request.channels, (*request.specs, f"{framework.cuda_package} {version}.* *cuda*"), request.virtual
    )


def _is_cpu(answer: Solution | Refusal, framework: Framework) -> bool:
    if isinstance(answer, Refusal):
        return False
    build = answer.build_of(framework.cuda_package)
    return build is None or not cuda_of(build).cuda
