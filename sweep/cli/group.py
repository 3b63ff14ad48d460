"""The `sweep` command itself: its name, its settings, and how it ends."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sweep import __version__
from sweep.errors import ResultsError, SweepError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version")
@click.option(
    "--settings",
    "settings_path",
    default="sweep.toml",
    envvar="SWEEP_SETTINGS",
    show_default=True,
    show_envvar=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The settings file.",
)
@click.pass_context
def cli(context: click.Context, settings_path: Path) -> None:
    """Find out which framework, CUDA runtime and GPU work together on an HTCondor pool.

    A sweep is one DAG: it plans (prunes, resolves, locks), runs one small job per tuple, and leaves
    a table in its own directory below `results`. Exit codes: 0 fine, 1 something in the sweep failed,
    2 wrong usage, 3 settings, 4 HTCondor not reachable, 5 no GPUs, 6 channel, 7 nothing to test,
    8 results directory, 9 already running, 10 damaged file, 11 submission refused, 12 sandbox,
    13 pull request refused, 14 regressions.
    """
    context.obj = settings_path


def main() -> None:
    """Run the command; an expected error is one message and its own exit code, never a traceback."""
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except SweepError as error:
        _fail(str(error), error.exit_code)
    except OSError as error:  # what no stage expects: a full disk, a directory where a file should be
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror}; check the path, its permissions and free space", ResultsError.exit_code)


def _fail(message: str, exit_code: int) -> None:
    from sweep.model import visible  # keys and names in a message may come from a damaged file

    click.echo(f"sweep: {visible(message)}", err=True)
    sys.exit(exit_code)
