"""Commands that read finished sweeps: stories, comparisons, advice."""

from __future__ import annotations

from pathlib import Path

import click

from sweep.cli.common import DIRECTORY, directory_of, say
from sweep.cli.group import cli
from sweep.places import PLAN, SETTINGS


@cli.command()
@click.argument("tuple_id", metavar="TUPLE")
@DIRECTORY
@click.pass_context
def explain(context: click.Context, tuple_id: str, directory: Path | None) -> None:
    """Tell one tuple's story in order: the rules, its environment, every attempt, its verdict.

    TUPLE is an id such as pytorch-2.5-cuda12.4-sm80. Without DIRECTORY the newest sweep is meant, dry runs included.
    """
    from sweep import config, rules, sweeps
    from sweep.facts import load_facts
    from sweep.report.explain import story

    here = directory.resolve() if directory else sweeps.newest(config.load(context.obj).results, dry_runs=True)
    facts = load_facts(config.load_stored(here / SETTINGS).rules.facts)
    click.echo(story(here, tuple_id, rules.catalogue(facts)), nl=False)


@cli.command("unknown")
@DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="Print the texts as JSON.")
@click.pass_context
def unknown_command(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """List the error texts that no rule knew, alike ones together, each with the beginning of a rule."""
    from sweep.report import unknown

    here = directory_of(context, directory)
    found = unknown.unknown(here)
    click.echo(unknown.as_json(found) if as_json else "\n".join(unknown.lines(found, here)))


@cli.command("diff")
@click.argument("old", required=False)
@click.argument("new", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the diff as JSON.")
@click.pass_context
def diff_command(context: click.Context, old: str | None, new: str | None, as_json: bool) -> None:
    """Say what changed from one sweep to another, what is unexpected first, with the likely reasons.

    OLD and NEW are directories of sweeps, or their names below the results directory. Without NEW the newest finished
    sweep is meant, without both the last two.
    """
    from sweep import config, earlier
    from sweep.diff import diff
    from sweep.report import changes

    results = config.load(context.obj).results if new is None or not Path(new).is_dir() else Path(new).parent
    found = diff(*earlier.pair(results, old, new, say))
    click.echo(found.model_dump_json(indent=1, by_alias=True) if as_json else "\n".join(changes.lines(found)))


@cli.command("history")
@click.argument("tuple_id", metavar="TUPLE")
@click.pass_context
def history_command(context: click.Context, tuple_id: str) -> None:
    """Say how one tuple fared, one line for each finished sweep, the newest first."""
    from sweep import config, earlier
    from sweep.report.past import lines

    click.echo("\n".join(lines(earlier.finished(config.load(context.obj).results, say), tuple_id)))


@cli.command()
@click.argument("framework")
@DIRECTORY
@click.option("--gpu", help="Only GPUs whose name has this text, or of this capability: A100, 8.0.")
@click.option("--python", help="Only environments with this Python, such as 3.11.")
@click.option("--site", "site_name", default="generic", show_default=True, help="Whose idiom the submit lines have.")
@click.option("--json", "as_json", is_flag=True, help="Print the advice as JSON.")
@click.pass_context
def advise(
    context: click.Context,
    framework: str,
    directory: Path | None,
    gpu: str | None,
    python: str | None,
    site_name: str,
    as_json: bool,
) -> None:
    """Which version of a framework to take, on which GPUs it runs, and what to write into a submit file."""
    import json

    from sweep import config, earlier
    from sweep.advise import advise as advice_on
    from sweep.advise import within_settings
    from sweep.files import read_model
    from sweep.report import advice as shown
    from sweep.schema import Plan
    from sweep.sites import load_site

    here = directory_of(context, directory)
    site = load_site(site_name)
    plan = read_model(here / PLAN, Plan, "sweep plan")
    settings = config.load_stored(here / SETTINGS)
    outcomes = within_settings(earlier.read(here), settings.gpus)
    advice = advice_on(outcomes, plan.environments, framework, gpu=gpu, python=python)
    about = shown.Context(here, outcomes, settings, site)
    if as_json:
        click.echo(json.dumps(shown.as_data(advice, about), indent=1))
    else:
        click.echo("\n".join(shown.lines(advice, about)))


@cli.command("what-if")
@DIRECTORY
@click.option("--driver", help="Every older driver becomes this one: a branch or release, such as 590.")
@click.option("--drop-cuda", multiple=True, help="A CUDA version goes: 12 with all of its minor versions, or 12.4.")
@click.option("--retire", multiple=True, help="GPUs go: a capability such as 7.0, or a part of their name.")
@click.option("--json", "as_json", is_flag=True, help="Print the forecast as JSON.")
@click.pass_context
def what_if_command(
    context: click.Context,
    directory: Path | None,
    driver: str | None,
    drop_cuda: tuple[str, ...],
    retire: tuple[str, ...],
    as_json: bool,
) -> None:
    """Which working tuples, and how many devices, a change of the pool would cost."""
    from sweep import config, earlier
    from sweep.advise import within_settings
    from sweep.facts import load_facts
    from sweep.report import whatif as shown
    from sweep.whatif import Change, what_if

    here = directory_of(context, directory)
    settings = config.load_stored(here / SETTINGS)
    facts = load_facts(settings.rules.facts)
    outcomes = within_settings(earlier.read(here), settings.gpus)
    change = Change(driver, drop_cuda, retire)
    forecast = what_if(outcomes, change, facts)
    click.echo(
        shown.as_json(outcomes, change, forecast) if as_json else "\n".join(shown.lines(outcomes, change, forecast))
    )
