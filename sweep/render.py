"""plan.json and templates -> the sweep's files and DAG.

Every value that enters a submit file, a DAG or a shell script has been checked by its model (names, versions,
capabilities: a safe alphabet; site commands: one printable line); paths are checked here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sweep import gate, load, payload, places, supply
from sweep.cuda import driver_floor, takers
from sweep.devices import device_clause, usable
from sweep.errors import ResultsError
from sweep.files import write_atomic
from sweep.framework import Framework, probe_file
from sweep.model import GpuClass, Source, VersionTuple
from sweep.places import PARENT_DAG, TUPLES_DAG
from sweep.probe.pack import DRIVER, driver_archive
from sweep.schema import Plan
from sweep.settings import ImageSettings, Settings

# DAGMan cannot quote a script's path, and submit files give meaning to commas, quotes and dollars.
_SAFE_PATH = re.compile(r"/[A-Za-z0-9_./=@%:~^+-]+")


# The job's script, one for each source of environments.
SCRIPTS = {Source.CONDA: "job.sh", Source.PIP: "job-pip.sh", Source.CONTAINER: "job-container.sh"}

DAGMAN_CONFIG = "dagman.config"  # what the tuples' DAG is told beside HTCondor's own configuration
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
    environment.filters["catalog"] = catalog_name
    return environment


def _text(template: str, **values: Any) -> str:
    """The text that a template makes of these values."""
    return _environment().get_template(template).render(**values)


def node_name(tuple_id: str) -> str:
    """A tuple's name as a DAG node: DAGMan does not take dots."""
    return tuple_id.replace(".", "_")


def catalog_name(environment_id: str) -> str:
    """An environment's name as part of an attribute's name."""
    return re.sub(r"[^A-Za-z0-9]", "_", environment_id)


def parent_dag(here: Path, python: Path, deadline: int) -> str:
    """The text of the sweep's own copy of the parent DAG; `deadline` is the tuples' limit in seconds."""
    return _text(
        PARENT_DAG,
        here=safe_path(here),
        results=safe_path(here.parent),
        python=safe_path(python),
        longest=deadline + _PLANNING_LIMIT,
    )


def universe(tuple_: VersionTuple, settings: Settings) -> str:
    """What a job needs of a machine to run its program: nothing (`vanilla`), or an engine for `docker` or `sif`."""
    image = _image(tuple_, settings)
    if image is None:
        return "vanilla"
    return "docker" if image.image.startswith("docker://") else "sif"


def _image(tuple_: VersionTuple, settings: Settings) -> ImageSettings | None:
    chosen = settings.frameworks.get(tuple_.framework)
    return chosen.image_of(tuple_.version, tuple_.cuda) if chosen else None


def _source(tuple_: VersionTuple, settings: Settings) -> Source:
    chosen = settings.frameworks.get(tuple_.framework)
    return chosen.source if chosen else Source.CONDA


def _python(tuple_: VersionTuple, settings: Settings) -> str:
    """The Python that the job's script is given: on the node or in the image; none where conda brings it."""
    source, image = _source(tuple_, settings), _image(tuple_, settings)
    if source is Source.PIP and settings.pip.python:
        pinned = settings.frameworks[tuple_.framework].python_of(tuple_.version)
        return settings.pip.python.replace("{python}", pinned or "")
    return image.python if image else ""


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
    common: Path | None = None,
) -> str:
    """The submit file of one tuple; `inputs` are paths to transfer, `machines` how many the pool has for it.

    `common` is what HTCondor transfers once for all jobs of a machine.

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
    return _text(
        "job.sub.j2",
        tuple=tuple_,
        script=SCRIPTS[_source(tuple_, settings)],
        python=_python(tuple_, settings),
        image=image.image if (image := _image(tuple_, settings)) else "",
        returned=["result.json", *(payload.RETURNED if settings.payload else ())],
        device=device_clause(gpu) if gpu else "",
        here=safe_path(here),
        directory=safe_path(directory),
        inputs=inputs,
        common=common or "",
        policy=settings.cuda.driver_policy.value,
        floor=driver_floor(tuple_.cuda, settings.cuda.driver_policy),
        mig=settings.gpus.mig,
        minimum_memory=settings.gpus.minimum_memory,
        resources=settings.resources,
        limits=settings.limits,
        retries=retries,
        requirements=requirements,
        priority=settings.load.priority,
        submit={name: submit_value(name, value) for name, value in settings.submit.items()},
    )


def submit_value(name: str, value: str | int | float | bool) -> str:
    """A site command's value: +Attributes are ClassAd expressions, so their strings are quoted.

    Submit files have the old ClassAd syntax, in which a backslash stands for itself unless a quote follows.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and name.lower().startswith(("+", "my.")):
        return '"' + value.replace('"', '\\"') + '"'
    return str(value)


def write_common(settings: Settings, frameworks: dict[str, Framework], here: Path) -> None:
    """Write what all tuples share: the jobs' scripts, the probes and the payload, so that a later run finds the same.

    Raises:
        SettingsError: a file of the payload cannot be read, or they are too large.
        ResultsError: the sweep's directory cannot be written.
    """
    for kind in dict.fromkeys(chosen.source for chosen in settings.frameworks.values()):
        write_atomic(here / SCRIPTS[kind], job_script(settings, kind), mode=0o755)
    if settings.payload:
        payload.prepare(settings.payload, here / "payload")
    write_atomic(here / "probe" / DRIVER, driver_archive())
    for framework in frameworks.values():
        source = probe_file(framework, settings)
        write_atomic(here / "probe" / f"{framework.name}.py", source.read_bytes())


def job_script(settings: Settings, source: Source) -> str:
    """The script that runs on the execute node for environments of a source."""
    return _text(
        "job.sh.j2",
        source=source.value,
        installer=settings.pip.installer if source is Source.PIP else settings.conda.installer,
        installer_python=settings.conda.installer_python or "",
        install_limit=settings.limits.install,
        probe_limit=settings.limits.probe,
        payload=settings.payload,
        downloads=settings.downloads,
    )


def write_tuples(plan: Plan, settings: Settings, here: Path, installers: Mapping[Source, Sequence[str]]) -> None:
    """Write a submit file per submitted tuple, and last of all tuples.dag.

    `installers` are the names of what the installer of each source takes along.
    tuples.dag is what the next step waits for, so it appears only when everything that it refers to is there.

    Raises:
        ResultsError: the sweep's directory cannot be written.
    """
    submitted = [VersionTuple.parse(t.id) for t in plan.tuples if t.submitted]
    classes = {c.label: c for c in plan.pool.classes}
    machines: dict[tuple[str, str, str | None], int] = {}
    for tuple_ in submitted:
        inputs = transfer_inputs(tuple_, settings, here, installers)
        packages = supply.packages(here, tuple_.environment, _source(tuple_, settings), settings)
        common = packages if settings.downloads.packages == "common" else None
        if packages and not common:
            inputs.append(str(packages))
        directory = here / "tuples" / tuple_.id
        gpu = classes[tuple_.gpu] if tuple_.gpu else None
        ask = (tuple_.cuda, tuple_.capability, tuple_.gpu)
        if ask not in machines:
            able = takers(tuple_, usable(plan.pool.classes, settings.gpus), settings.cuda.driver_policy)
            machines[ask] = len({machine for c in able for machine in c.machines})
        text = _submit_file(tuple_, settings, here, directory, inputs, gpu, machines[ask], common)
        write_atomic(directory / "job.sub", text, durable=False)
    os.sync()  # once for all of them: syncing ten thousand files one by one takes minutes on a spinning disk
    own = {"here": safe_path(here), "python": safe_path(Path(sys.executable))}
    if plan.all_budgets:
        write_atomic(here / "budget.sub", _text("budget.sub.j2", **own), durable=False)
    write_atomic(here / "gate.sh", _text("gate.sh.j2", **own), mode=0o755, durable=False)
    if settings.load.idle is not None:
        write_atomic(here / DAGMAN_CONFIG, f"DAGMAN_MAX_JOBS_IDLE = {settings.load.idle}\n", durable=False)
    write_atomic(here / TUPLES_DAG, tuples_dag(plan, here, settings))


def tuples_dag(plan: Plan, here: Path, settings: Settings) -> str:
    """The DAG of the submitted tuples, those that tell most first."""
    classes = usable(plan.pool.classes, settings.gpus)
    submitted = load.most_telling_first([t for t in plan.tuples if t.submitted], classes)
    categories = load.categories(submitted, classes, settings.load)
    return _text(
        "tuples.dag.j2",
        plan=plan,
        here=safe_path(here),
        tuples=submitted,
        config=DAGMAN_CONFIG if settings.load.idle is not None else "",
        categories=categories if settings.load.share < 1 else {},
        gates=gate.first_of_each(submitted, plan.budgets) if settings.load.gate else {},
        chains=load.one_by_one(submitted, categories, plan.budgets),
        deadline=int(plan.deadline.timestamp()),
    )


def transfer_inputs(
    tuple_: VersionTuple, settings: Settings, here: Path, installers: Mapping[Source, Sequence[str]]
) -> list[str]:
    """What a tuple's job takes along, as absolute paths."""
    source = _source(tuple_, settings)
    names = [DRIVER, f"{tuple_.framework}.py", *installers.get(source, ())]
    inputs = [f"{here}/probe/{name}" for name in names]
    if lock := supply.lock(here, tuple_.environment, source, settings):
        inputs.append(str(lock))
    if settings.payload:
        inputs += [f"{here}/payload/{name}" for name in (payload.RUNNER, payload.COMMAND, payload.FILES)]
    return inputs


def settings_template(**values: Any) -> str:
    """The text of a fresh sweep.toml."""
    return _text("sweep.toml.j2", **values)
