"""Commands for sweeps that a label on a pull request starts."""

from __future__ import annotations

from pathlib import Path

import click

from sweep.cli.group import cli


@cli.group("pull-request")
def pull_request() -> None:
    """For sweeps that a label on a pull request starts; templates/github/gpu-sweep.yml calls these."""


@pull_request.command("check")
@click.argument("event", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--label", default="gpu-sweep", show_default=True, help="The label that starts a sweep.")
@click.option("--permission", required=True, help="The permission of whoever set the label.")
def check_command(event: Path, label: str, permission: str) -> None:
    """Print the number and commit of a pull request whose label may start a sweep; refuse all others."""
    from sweep.pullrequest import check

    found = check(event, label, permission)
    click.echo(f"number={found.pull_request.number}\nsha={found.pull_request.head.sha}")


@pull_request.command("comment")
@click.argument("report", type=click.Path(file_okay=False, path_type=Path))
@click.option("--sha", required=True, help="The commit that was swept.")
def comment_command(report: Path, sha: str) -> None:
    """Print the comment for a pull request, from the directory with a sweep's tables."""
    from sweep.pullrequest import comment

    click.echo(comment(report, sha), nl=False)
