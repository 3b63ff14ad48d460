"""Commands that run sweeps, follow them, and clear them away."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sweep.cli.common import DIRECTORY, ONLY, chosen, directory_of, reach_pool, refuse_only, settings_of, show
from sweep.cli.group import cli
from sweep.places import OUTCOMES, PARENT_DAG, SETTINGS


@cli.command()
@ONLY
@click.pass_context
def new(context: click.Context, only: tuple[str, ...]) -> None:
    """Make a new sweep and print the path of its DAG, for `condor_submit_dag "$(sweep new)"`."""
    from sweep import sweeps

    click.echo(sweeps.new(chosen(context, only)) / PARENT_DAG)


@cli.command()
@DIRECTORY
@ONLY
@click.option("--wait", "wait_for_it", is_flag=True, help="Stay until it is over, show progress, print the table.")
@click.option("--gpu-hours", type=float, help="A budget for this sweep, in place of load.gpu_hours.")
@click.option("--reuse", "age", help="Carry verdicts of unchanged tuples forward, if no older than this: 180d.")
@click.pass_context
def submit(
    context: click.Context,
    directory: Path | None,
    only: tuple[str, ...],
    wait_for_it: bool,
    gpu_hours: float | None,
    age: str | None,
) -> None:
    """Submit a new sweep; or, with DIRECTORY, one that was planned or interrupted before."""
    from sweep import config, sweeps

    refuse_only(directory, only)
    if directory is None:
        settings = chosen(context, only)
        if gpu_hours is not None:
            settings = config.with_budget(settings, gpu_hours)
        if age is not None:
            settings = config.with_reuse(settings, age)
        _submitted(*sweeps.start(settings), wait_for_it)
        return
    if gpu_hours is not None or age is not None:
        raise click.UsageError("--gpu-hours and --reuse belong to a new sweep; this one has its plan already")
    here = directory.resolve()
    reach_pool(here)
    _submitted(here, sweeps.submit(here), wait_for_it)


def _submitted(here: Path, job: str, wait_for_it: bool) -> None:
    click.echo(f"sweep {here.name} is job {job}; its directory is {here}")
    if wait_for_it:
        _watch(here, job)


def _watch(here: Path, job: str) -> None:
    """Follow a sweep to its end, then show its table; exits 1 when there is none, or when the DAG failed."""
    from sweep import sweeps
    from sweep.report.live_view import follow

    with follow(here) as look:
        sweeps.wait(here, job, look)
    if not (here / OUTCOMES).is_file():
        click.echo((here / "summary.txt").read_text() if (here / "summary.txt").is_file() else sweeps.failure(here))
        sys.exit(1)
    show(here)
    if sweeps.dag_failed(here):
        click.echo(f"the DAG failed; {here}/close.log says what its last step said", err=True)
        sys.exit(1)


@cli.command("try")
@click.argument("framework")
@click.argument("version")
@click.option("--cuda", required=True, help="The CUDA runtime, such as 12.4.")
@click.option("--capability", required=True, help="The compute capability, such as 8.0.")
@click.option("--no-wait", is_flag=True, help="Submit and return.")
@click.pass_context
def try_command(
    context: click.Context, framework: str, version: str, cuda: str, capability: str, no_wait: bool
) -> None:
    """Run the same walk for one tuple, in a directory of its own below results/tries."""
    from sweep import config, sweeps

    only = config.only(settings_of(context), framework, version, cuda, capability)
    _submitted(*sweeps.start(only), not no_wait)


@cli.command()
@DIRECTORY
@click.option("--follow", "keep_on", is_flag=True, help="Keep showing it until the sweep is over.")
@click.pass_context
def status(context: click.Context, directory: Path | None, keep_on: bool) -> None:
    """Show where a sweep stands: a table in a terminal, a plain line elsewhere."""
    from sweep import condor, sweeps
    from sweep.report.live_view import follow

    here = directory_of(context, directory)
    reach_pool(here)
    job = next((s["job"] for s in condor.running_sweeps(here.parent) if s["directory"] == str(here)), None)
    with follow(here) as look:
        look()
        if keep_on and job:
            sweeps.wait(here, job, look)


@cli.command()
@click.argument("tuple_id", metavar="TUPLE")
@DIRECTORY
@click.option("--submit", "at_once", is_flag=True, help="Submit it now.")
@click.pass_context
def rerun(context: click.Context, tuple_id: str, directory: Path | None, at_once: bool) -> None:
    """Print the commands that run one tuple of a sweep again, exactly as it ran; or submit it.

    Its result stands beside the sweep's own evidence, which stays as it is.
    """
    from sweep import condor, config
    from sweep.rerun import prepare

    here = directory_of(context, directory)
    again = prepare(here, tuple_id)
    condor_config = config.load_stored(here / SETTINGS).pool.condor_config
    if not at_once:
        click.echo("\n".join(again.commands(condor_config)))
        return
    condor.use(condor_config)
    click.echo(f"{tuple_id} is job {condor.submit_file(again.submit_file)}; its result will be {again.result}")


@cli.command("prune")
@click.option("--keep", default=8, show_default=True, help="So many finished sweeps stay whole, the newest.")
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@click.pass_context
def prune_command(context: click.Context, keep: int, dry_run: bool) -> None:
    """Reduce old sweeps to their outcomes and tables, which `diff` and `history` go on reading.

    Job files, logs and environments go; with them goes what `explain` and `rerun` tell of those sweeps.
    """
    from sweep import condor, config
    from sweep.retention import reduce, retention

    settings = config.load(context.obj)
    condor.use(settings.pool.condor_config)
    results = settings.results.resolve()
    running = {sweep["directory"] for sweep in condor.running_sweeps(results)}
    found = retention(results, keep, running)
    for here, why in found.stays.items():
        click.echo(f"stays    {here.name}: {why}")
    for each in found.reductions:
        if not dry_run:
            reduce(each)
        word = "would be reduced" if dry_run else "reduced"
        click.echo(f"{word}  {each.here.name}: {each.size / 1e6:.1f} MB of job files, logs and environments")
