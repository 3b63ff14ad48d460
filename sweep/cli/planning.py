"""Commands before a sweep: settings, the pool, the channels, a dry run, the rules."""

from __future__ import annotations

from pathlib import Path

import click

from sweep.cli.common import DIRECTORY, ONLY, chosen, refuse_only, say, settings_of
from sweep.cli.group import cli
from sweep.places import PLAN


@cli.command()
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.pass_context
def init(context: click.Context, force: bool) -> None:
    """Write a commented settings file, filled in from the pool that this machine sees."""
    from sweep.init import write_settings

    write_settings(context.obj, force=force, say=say)


@cli.command("pool")
@click.option("--json", "as_json", is_flag=True, help="Print the inventory as JSON.")
@click.pass_context
def pool_command(context: click.Context, as_json: bool) -> None:
    """Show the GPU classes of the pool."""
    from sweep import condor, config, pool

    if Path(context.obj).is_file():
        condor.use(config.load(context.obj).pool.condor_config)
    snapshot = pool.inventory(condor.gpu_slot_ads(), condor.collector_name())
    if as_json:
        click.echo(snapshot.model_dump_json(indent=1))
        return
    from sweep.report.terminal import show_pool

    show_pool(snapshot)


@cli.command()
@click.argument("framework")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@click.pass_context
def builds(context: click.Context, framework: str, as_json: bool) -> None:
    """Show which versions of a framework the channels have, for which CUDA and which Python."""
    from sweep import config, sources
    from sweep.framework import load_frameworks
    from sweep.report import builds as shown

    settings = config.for_framework(config.load(context.obj), framework)
    offers = sources.read_offers(settings, load_frameworks(settings), sources.open_channels(settings))
    rows = shown.rows(offers[framework])
    if as_json:
        click.echo(shown.as_json(rows))
    else:
        shown.show(rows)


@cli.command()
@DIRECTORY
@ONLY
@click.option("--list", "list_all", is_flag=True, help="Print every candidate and what becomes of it.")
@click.option("--timings", is_flag=True, help="Print how long each stage of planning took.")
@click.pass_context
def plan(
    context: click.Context, directory: Path | None, only: tuple[str, ...], list_all: bool, timings: bool
) -> None:
    """Everything up to submission, with nothing submitted: a dry run.

    Without DIRECTORY a new sweep is made; `sweep submit` with its directory runs it later.
    """
    from sweep import sweeps
    from sweep.report import plans
    from sweep.steps import plan_step

    refuse_only(directory, only)
    here = directory.resolve() if directory else sweeps.new(chosen(context, only), to_run=False)
    made = plan_step(here, say)
    if list_all:
        click.echo("\n".join(plans.listing(made)))
    click.echo("\n".join(plans.overview(made)))
    if timings:
        click.echo("\n".join(plans.timing_lines(made)))
    click.echo(f"plan: {here / PLAN}")


@cli.command("rules")
@click.option("--json", "as_json", is_flag=True, help="Print the catalogue as JSON.")
@click.pass_context
def rules_command(context: click.Context, as_json: bool) -> None:
    """List the rules by which planning leaves tuples out or predicts their failure, with source and date."""
    from sweep import config, rules
    from sweep.facts import load_facts
    from sweep.report import plans

    own = config.load(context.obj).rules.facts if Path(context.obj).is_file() else None
    catalogue = rules.catalogue(load_facts(own))
    click.echo(plans.rules_json(catalogue) if as_json else "\n".join(plans.rule_lines(catalogue)))


@cli.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.pass_context
def snapshot(context: click.Context, directory: Path) -> None:
    """Freeze the part of the channels that the settings need into local channels below DIRECTORY.

    A sweep whose conda.channels name them plans from the very same metadata; packages are still taken from where
    they are.
    """
    from sweep import sources
    from sweep.framework import load_frameworks
    from sweep.snapshot import freeze, wanted

    settings = settings_of(context)
    frameworks = load_frameworks(settings)
    channels = sources.open_channels(settings)
    for line in freeze(channels, wanted(settings, frameworks), directory.resolve(), settings.node.platform).lines():
        click.echo(line)
