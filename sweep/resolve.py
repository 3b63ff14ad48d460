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
    fallbacks = {
        id_: _forced(requests[id_], offers[key.framework].framework, key.version)
        for id_, key in keys.items()
        if _is_cpu(answers[id_], offers[key.framework].framework)
    }
    why_not_cuda = channels.solve_all(fallbacks)  # the solver says why the CUDA build was not taken
    environments = {}
    for id_, key in sorted(keys.items(), key=lambda item: _environment_order(item[1])):
        framework = offers[key.framework].framework
        environments[id_] = _environment(
            here, key, framework, requests[id_], answers[id_], why_not_cuda.get(id_), settings.node.platform
        )
    return environments


def _environment_order(key: EnvironmentKey) -> tuple[Any, ...]:
    return key.framework, key.version, version_key(key.cuda)


def _request(key: EnvironmentKey, settings: Settings, offer: Offer) -> Request:
    chosen = settings.frameworks[key.framework]
    specs = offer.framework.specs_for(key.version, key.cuda, chosen.python)
    return Request(offer.channels, specs, virtual_packages(settings, key.cuda))


def _forced(request: Request, framework: Framework, version: str) -> Request:
    """The same request, demanding a CUDA build."""
    return Request(
        request.channels, (*request.specs, f"{framework.cuda_package} {version}.* *cuda*"), request.virtual
    )


def _is_cpu(answer: Solution | Refusal, framework: Framework) -> bool:
    if isinstance(answer, Refusal):
        return False
    build = answer.build_of(framework.cuda_package)
    return build is None or not cuda_of(build).cuda


def _environment(
    here: Path,
    key: EnvironmentKey,
    framework: Framework,
    request: Request,
    answer: Solution | Refusal,
    why_not_cuda: Solution | Refusal | None,
    platform: str,
) -> PlannedEnvironment:
    directory = here / "environments" / key.id
    lock.write_environment(directory, key.id, request, platform)
    common: dict[str, Any] = {
        "id": key.id,
        **key.model_dump(),
        "specs": request.specs,
        "virtual_packages": request.virtual,
    }
    if isinstance(answer, Refusal):
        write_atomic(directory / "explanation.txt", answer.explanation + "\n")
        return PlannedEnvironment(**common, state=EnvironmentState.UNSATISFIABLE, explanation=answer.explanation)
    build = answer.build_of(framework.cuda_package)
    named = f"{build.name} {build.version} {build.build}" if build else f"(no {framework.cuda_package} at all)"
    if why_not_cuda is not None:
        text = (
            why_not_cuda.explanation
            if isinstance(why_not_cuda, Refusal)
            else "a CUDA build can be installed when its build string is asked for, but the solver does not prefer it"
        )
        write_atomic(directory / "explanation.txt", f"The solver took {named}. With a CUDA build demanded:\n{text}\n")
        return PlannedEnvironment(**common, state=EnvironmentState.CPU_BUILD, build=named, explanation=text)
    digest = lock.write_locks(directory, request, answer, platform)
    return PlannedEnvironment(
        **common,
        state=EnvironmentState.RESOLVED,
        build=named,
        packages=len(answer.records),
        size=lock.download_size(answer),
        lock_sha256=digest,
    )
