"""Advice for people: what to install, on which GPUs it runs, and the lines of a submit file that ask for those."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.advise import Advice, Pick, Standing, advise, gpu_lines, within_settings
from sweep.config import load_stored
from sweep.cuda import driver_floor
from sweep.errors import SweepError
from sweep.files import read_model
from sweep.ids import sm
from sweep.model import GpuClass
from sweep.places import PLAN, SETTINGS
from sweep.render import submit_value
from sweep.report import table
from sweep.schema import Outcomes, Plan
from sweep.settings import Settings
from sweep.sites import Site, load_site


@dataclass(frozen=True)
class Context:
    """What the advice is about: a sweep's directory, its outcomes and settings, and the site whose idiom is used."""

    here: Path
    outcomes: Outcomes
    settings: Settings
    site: Site


def submit_lines(advice: Advice, pick: Pick, context: Context) -> list[str]:
    """What a job has to say in its submit file to get a GPU on which the picked environment works."""
    settings = context.settings
    floor = driver_floor(pick.reach.key.cuda, advice.policy)
    lines = gpu_lines(advice, pick, floor, context.outcomes.pool.classes, mig=settings.gpus.mig)
    if settings.gpus.minimum_memory:
        lines.append(f"gpus_minimum_memory     = {settings.gpus.minimum_memory}MB")
    if own := settings.resources.requirements:
        lines.append(f"requirements            = {own}")
    # Attributes that the sweep's own jobs needed here; commands such as its priority are no example for others.
    attributes = {name: value for name, value in settings.submit.items() if name.startswith(("+", "My.", "my."))}
    lines += [f"{name} = {submit_value(name, value)}" for name, value in attributes.items()]
    named = {name.lower().lstrip("+").removeprefix("my.") for name in attributes}
    lines += [line.text for line in context.site.line if line.attribute.lower() not in named]
    return lines


def environment_files(pick: Pick, here: Path) -> list[Path]:
    """The files that say what the environment is, from the request to the exact lock, as far as they are there."""
    directory = here / "environments" / pick.reach.key.id
    return sorted(path for path in directory.glob("*") if path.is_file() and path.name not in _UNNEEDED)


_UNNEEDED = frozenset({"virtual-packages.yml", "explanation.txt"})
_INSTALL = {
    "explicit.txt": "micromamba create --name {name} --file {path}",
    "requirements.txt": "uv pip install --require-hashes --requirement {path}",
}


def install_line(pick: Pick, here: Path) -> str | None:
    """The command that makes the very environment that was tested; None where its lock is not a file."""
    for path in environment_files(pick, here):
        if path.name in _INSTALL:
            key = pick.reach.key
            return _INSTALL[path.name].format(name=f"{key.framework}-{key.version}", path=path)
    return None


def lines(advice: Advice, context: Context) -> Iterator[str]:
    """The advice in plain lines."""
    outcomes = context.outcomes
    total = sum(c.devices for c in advice.classes)
    kind = "simulated GPUs" if outcomes.simulated else "GPUs"
    day = f"{outcomes.created:%Y-%m-%d}"
    yield f"{advice.framework} on {total} {kind} of the pool, by sweep {outcomes.sweep} of {day}"
    if not advice.picks:
        yield f"Nothing that was tested works on any of them; `sweep report {context.here}` says why."
    for pick in advice.picks:
        yield ""
        yield from _pick(advice, pick, context)


def _pick(advice: Advice, pick: Pick, context: Context) -> Iterator[str]:
    reach = pick.reach
    python = f", Python {reach.python}" if reach.python else ""
    yield f"{advice.framework} {reach.key.version} for CUDA {reach.key.cuda}{python}: {'; '.join(pick.titles)}"
    yield f"  works on {reach.devices} of {reach.total} GPUs ({reach.share:.0%}): {gpus(reach.on(Standing.WORKS))}"
    day = f"{context.outcomes.created:%Y-%m-%d}"
    yield f"  tested on {day} on these GPUs: {', '.join(reach.tested) or 'not recorded'}"
    if predicted := reach.on(Standing.PREDICTED):
        yield f"  predicted, not tested (no rule speaks against it): {gpus(predicted)}"
    if failed := reach.on(Standing.FAILS):
        yield f"  not on: {', '.join(f'{gpus([c])} ({reach.places[c].why})' for c in failed)}"
    if unasked := reach.on(Standing.UNASKED):
        yield f"  not asked by this sweep: {gpus(unasked)}"
    yield "  environment:"
    yield from (f"    {path}" for path in environment_files(pick, context.here))
    if (install := install_line(pick, context.here)) is not None:
        yield f"    to make it: {install}"
    yield f"  submit file ({context.site.title}):"
    yield from (f"    {line}" for line in submit_lines(advice, pick, context))


def gpus(classes: Sequence[GpuClass]) -> str:
    """`gpu_names` as one text."""
    return ", ".join(gpu_names(classes))


def gpu_names(classes: Sequence[GpuClass]) -> list[str]:
    """`A100-SXM4-40GB ×4 (sm80)`: device models with their numbers, whatever their drivers."""
    counts: dict[tuple[str, str], int] = {}
    for gpu in classes:
        name = gpu.device, gpu.capability
        counts[name] = counts.get(name, 0) + gpu.devices
    return [f"{device} ×{n} ({sm(cap)})" for (device, cap), n in counts.items()]


def for_page(here: Path, outcomes: Outcomes) -> list[dict[str, Any]]:
    """The advice on every framework, for any pool; none where the plan or the settings are not there any longer."""
    try:
        plan = read_model(here / PLAN, Plan, "sweep plan")
        settings = load_stored(here / SETTINGS)
    except SweepError:
        return []
    outcomes = within_settings(outcomes, settings.gpus)
    context = Context(here, outcomes, settings, load_site("generic"))
    parts = table.parts(outcomes).items()
    return [as_data(advise(part, plan.environments, framework), context) for framework, part in parts]


def as_data(advice: Advice, context: Context) -> dict[str, Any]:
    """The same for programs: plain JSON."""
    return {
        "schema": "sweep.advice/1",
        "framework": advice.framework,
        "sweep": context.outcomes.sweep,
        "tested": f"{context.outcomes.created:%Y-%m-%d}",
        "simulated": context.outcomes.simulated,
        "site": context.site.name,
        "picks": [
            {
                "why": list(pick.titles),
                "version": pick.reach.key.version,
                "cuda": pick.reach.key.cuda,
                "python": pick.reach.python,
                "environment": pick.reach.key.id,
                "devices": pick.reach.devices,
                "of_devices": pick.reach.total,
                "capabilities": list(pick.reach.capabilities),
                "gpus": {standing.value: gpu_names(pick.reach.on(standing)) for standing in Standing},
                "files": [str(path) for path in environment_files(pick, context.here)],
                "install": install_line(pick, context.here),
                "submit": submit_lines(advice, pick, context),
            }
            for pick in advice.picks
        ],
    }
