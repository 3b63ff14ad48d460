"""What commands have in common: arguments, the settings, and which sweep is meant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep.places import SETTINGS

if TYPE_CHECKING:
    from sweep.settings import Settings

DIRECTORY = click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
SWEEP_DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, exists=True, path_type=Path))

ONLY = click.option("--only", multiple=True, metavar="GLOB", help="Only tuples whose id matches; may be repeated.")


def say(line: str) -> None:
    """Tell whoever waits what is going on; not on standard output, which is for results."""
    click.echo(line, err=True)


def settings_of(context: click.Context) -> Settings:
    """The settings, with the HTCondor that they name in use."""
    from sweep import condor, config

    settings = config.load(context.obj)
    condor.use(settings.pool.condor_config)
    return settings


def chosen(context: click.Context, only: tuple[str, ...]) -> Settings:
    """The settings, narrowed to the tuples that --only selects."""
    from sweep import config

    return config.selected(settings_of(context), only)


def refuse_only(directory: Path | None, only: tuple[str, ...]) -> None:
    """`--only` makes no sense for a sweep that has its candidates."""
    if directory is not None and only:
        raise click.UsageError("--only is for a new sweep; DIRECTORY has its candidates already")


def directory_of(context: click.Context, directory: Path | None) -> Path:
    """The sweep that a command means: the one named, or the newest. Needs no pool."""
    from sweep import config, sweeps

    if directory is not None:
        return directory.resolve()
    return sweeps.newest(config.load(context.obj).results)


def reach_pool(here: Path) -> None:
    """Use the HTCondor that a sweep was made for."""
    from sweep import condor, config

    condor.use(config.load_stored(here / SETTINGS).pool.condor_config)


def show(here: Path) -> None:
    """Show a sweep's table in the terminal."""
    from sweep import earlier
    from sweep.report.terminal import show

    outcomes = earlier.read(here)
    show(outcomes, f"{here}/compatibility.html .md .csv .json", earlier.since_last(here, outcomes))
