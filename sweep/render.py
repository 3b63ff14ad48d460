"""plan.json and templates -> the sweep's files and DAG.

Every value that enters a submit file, a DAG or a shell script has been checked by its model (names, versions,
capabilities: a safe alphabet; site commands: one printable line); paths are checked here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweep import gate, load, places
from sweep.cuda import driver_floor, encode_runtime, takers
from sweep.errors import ResultsError
from sweep.files import write_atomic
from sweep.framework import Framework, probe_file
from sweep.model import GpuClass, VersionTuple
from sweep.places import PARENT_DAG, TUPLES_DAG
from sweep.schema import Plan
from sweep.settings import LoadSettings, Settings

# DAGMan cannot quote a script's path, and submit files give meaning to commas, quotes and dollars.
_SAFE_PATH = re.compile(r"/[A-Za-z0-9_./=@%:~^+-]+")


_PLANNING_LIMIT = 86400  # seconds, for planning and the closing steps together
# What HTCondor calls the machines of a conda platform.
_ARCHITECTURES = {"linux-64": "X86_64", "linux-aarch64": "aarch64"}


def safe_path(path: Path) -> str:
    """A path as text, if it can stand unquoted in a DAG and a submit file.

    Raises:
        ResultsError: it holds a space or another character that they cannot carry.
    """
    if not _SAFE_PATH.fullmatch(str(path)):
        raise ResultsError(
            f"{str(path)!r} cannot be used in a DAG: only letters, digits and _ . / = @ % : ~ ^ + - may occur; "
            "choose another directory: sweep.results for the sweeps, or another place for the sweeper's installation"
        )
    return str(path)


@cache
def _environment() -> Environment:
    """Where templates come from; one for all, because it keeps those that it has compiled."""
    environment = Environment(
        loader=FileSystemLoader([places.templates(), places.dags()]),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - submit files and shell, not markup; values are validated instead
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters["node"] = node_name
    environment.filters["environment"] = gate.environment_of
    return environment


def node_name(tuple_id: str) -> str:
    """A tuple's name as a DAG node: DAGMan does not take dots."""
    return tuple_id.replace(".", "_")


def parent_dag(here: Path, python: Path, deadline: int) -> str:
    """The text of the sweep's own copy of the parent DAG; `deadline` is the tuples' limit in seconds."""
    return (
        _environment()
        .get_template(PARENT_DAG)
        .render(
            here=safe_path(here),
            results=safe_path(here.parent),
            python=safe_path(python),
            longest=deadline + _PLANNING_LIMIT,
        )
    )


def dry_submit_file(tuple_: VersionTuple, settings: Settings, here: Path, gpu: GpuClass | None = None) -> str:
    """A tuple's submit description for a dry run, before its files exist; `gpu` is the class it is to run on."""
    return _submit_file(tuple_, settings, here, here, [], gpu)


def _submit_file(
    tuple_: VersionTuple,
    settings: Settings,
    here: Path,
    directory: Path,
    inputs: Sequence[str],
    gpu: GpuClass | None,
    machines: int | None = None,
) -> str:
    """The submit file of one tuple; `inputs` are paths to transfer, `machines` how many the pool has for it.

    A job is not repeated where there is no other machine: it would only wait for one until its time is over.
    """
    retries = settings.limits.retries
    if machines is not None:
        retries = min(retries, max(0, machines - 1))
    # Without this clause condor_submit asks for the access point's own architecture.
    requirements = [f'TARGET.Arch == "{_ARCHITECTURES[settings.node.platform]}"']
    if own := settings.resources.requirements:
        requirements.append(f"({own})")
    if retries:
        # Only a job that failed, or did not get its files, avoids its machines: one that was evicted may come back.
        others = " && ".join(f"TARGET.Machine =!= MachineAttrMachine{n}" for n in range(1, retries + 1))
        started = "NumJobCompletions =?= 0 && (NumHoldsByReason.TransferInputError ?: 0) == 0"
        requirements.append(f"({started} || ({others}))")
    template = _environment().get_template("job.sub.j2")
    return template.render(
        tuple=tuple_,
        device=_device_clause(gpu) if gpu else "",
        here=safe_path(here),
        directory=safe_path(directory),
        inputs=inputs,
        policy=settings.cuda.driver_policy.value,
        floor=driver_floor(tuple_.cuda, settings.cuda.driver_policy),
        mig=settings.gpus.mig,
        minimum_memory=settings.gpus.minimum_memory,
        resources=settings.resources,
        limits=settings.limits,
        retries=retries,
        requirements=requirements,
        priority=settings.load.priority,
        submit={name: _submit_value(name, value) for name, value in settings.submit.items()},
    )


def _device_clause(gpu: GpuClass) -> str:
    """What `require_gpus` says of one device model and driver.

    The name comes from the machine: what a submit file or a pattern gives a meaning to is matched as any character,
    and HTCondor's patterns count the bytes of UTF-8.
    """
    name = re.sub(r"[^A-Za-z0-9 _/:-]", lambda odd: "." * len(odd[0].encode()), gpu.device)
    driver = (
        f'NvidiaDriver == "{gpu.release}"' if gpu.release else f"MaxSupportedVersion == {encode_runtime(gpu.runtime)}"
    )
    return f'regexp("^{name}$", DeviceName) && {driver}'


def _submit_value(name: str, value: str | int | float | bool) -> str:
    """A site command's value: +Attributes are ClassAd expressions, so their strings are quoted.

    Submit files have the old ClassAd syntax, in which a backslash stands for itself unless a quote follows.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and name.lower().startswith(("+", "my.")):
        return '"' + value.replace('"', '\\"') + '"'
    return str(value)


def write_common(settings: Settings, frameworks: dict[str, Framework], here: Path) -> None:
    """Write what all tuples share: job.sh and the probes, as they are now, so that a later run finds the same.

    Raises:
        ResultsError: the sweep's directory cannot be written.
    """
    script = (
        _environment()
        .get_template("job.sh.j2")
        .render(
            installer=settings.conda.installer,
            installer_python=settings.conda.installer_python or "",
            install_limit=settings.limits.install,
            probe_limit=settings.limits.probe,
        )
    )
    write_atomic(here / "job.sh", script, mode=0o755)
    write_atomic(here / "probe" / "driver.py", (places.probes() / "driver.py").read_bytes())
    for framework in frameworks.values():
        source = probe_file(framework, settings)
        write_atomic(here / "probe" / f"{framework.name}.py", source.read_bytes())


def write_tuples(plan: Plan, settings: Settings, here: Path, installer_file: str) -> None:
    """Write a submit file per submitted tuple, and last of all tuples.dag.

    tuples.dag is what the next step waits for, so it appears only when everything that it refers to is there.

    Raises:
        ResultsError: the sweep's directory cannot be written.
    """
    submitted = [VersionTuple.parse(t.id) for t in plan.tuples if t.submitted]
    classes = {c.label: c for c in plan.pool.classes}
    machines: dict[tuple[str, str, str | None], int] = {}
    for tuple_ in submitted:
        inputs = transfer_inputs(tuple_, here, installer_file)
        directory = here / "tuples" / tuple_.id
        gpu = classes[tuple_.gpu] if tuple_.gpu else None
        ask = (tuple_.cuda, tuple_.capability, tuple_.gpu)
        if ask not in machines:
            able = takers(tuple_, plan.pool.classes, settings.cuda.driver_policy)
            machines[ask] = len({machine for c in able for machine in c.machines})
        text = _submit_file(tuple_, settings, here, directory, inputs, gpu, machines[ask])
        write_atomic(directory / "job.sub", text, durable=False)
    os.sync()  # once for all of them: syncing ten thousand files one by one takes minutes on a spinning disk
    if plan.budget is not None:
        text = (
            _environment()
            .get_template("budget.sub.j2")
            .render(here=safe_path(here), python=safe_path(Path(sys.executable)), budget=plan.budget)
        )
        write_atomic(here / "budget.sub", text, durable=False)
    script = (
        _environment().get_template("gate.sh.j2").render(here=safe_path(here), python=safe_path(Path(sys.executable)))
    )
    write_atomic(here / "gate.sh", script, mode=0o755, durable=False)
    write_atomic(here / TUPLES_DAG, tuples_dag(plan, here, settings.load))


def tuples_dag(plan: Plan, here: Path, spread: LoadSettings) -> str:
    """The DAG of the submitted tuples, those that tell most first."""
    classes = plan.pool.classes
    submitted = load.most_telling_first([t for t in plan.tuples if t.submitted], classes)
    template = _environment().get_template("tuples.dag.j2")
    return template.render(
        plan=plan,
        here=safe_path(here),
        tuples=submitted,
        categories=load.categories(submitted, classes, spread.share),
        gates=gate.first_of_each(submitted) if spread.gate else {},
        deadline=int(plan.deadline.timestamp()),
    )


def transfer_inputs(tuple_: VersionTuple, here: Path, installer_file: str) -> list[str]:
    """What a tuple's job takes along, as absolute paths."""
    return [
        f"{here}/probe/driver.py",
        f"{here}/probe/{tuple_.framework}.py",
        f"{here}/probe/{installer_file}",
        f"{here}/environments/{tuple_.environment.id}/explicit.txt",
    ]


def settings_template(**values: Any) -> str:
    """The text of a fresh sweep.toml."""
    return _environment().get_template("sweep.toml.j2").render(**values)
