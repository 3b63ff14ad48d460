"""Commands that a sweep's own DAG calls; a person may call `classify` and `report` too, at any time."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from sweep.cli.common import DIRECTORY, SWEEP_DIRECTORY, directory_of, reach_pool, say, show
from sweep.cli.group import cli
from sweep.places import EVENTS

_CLOSED = 99  # sweep.dag's PRE_SKIP: DAGMan takes the last node for done


@cli.command()
@SWEEP_DIRECTORY
@click.pass_context
def classify(context: click.Context, directory: Path) -> None:
    """Turn event log and probe results into outcomes.json; at any time, with the same answer for the same files."""
    from sweep.report.table import headline
    from sweep.steps import classify_step

    click.echo(headline(classify_step(directory_of(context, directory))))


@cli.command()
@DIRECTORY
@click.option("--columns", "only_columns", is_flag=True, help="Say what the columns of the CSV and JSON mean.")
@click.option("--fail-on", type=click.Choice(["regressions", "unexpected"]), help="Exit with 14 if there are any.")
@click.option("--metric", help="Print what the workload came to instead, such as matmul_tflops.")
@click.pass_context
def report(
    context: click.Context, directory: Path | None, only_columns: bool, fail_on: str | None, metric: str | None
) -> None:
    """Write the tables and the page from what there is, and print them."""
    from sweep import alarm, earlier
    from sweep.report import columns
    from sweep.steps import report_step

    if only_columns:
        click.echo(columns.markdown())
        return
    here = directory_of(context, directory)
    outcomes = report_step(here)
    if outcomes is None:
        click.echo((here / "summary.txt").read_text(), err=True, nl=False)
        sys.exit(1)
    if metric:
        from sweep.report.metric import render

        click.echo(render(outcomes, metric))
    else:
        show(here)
    if fail_on:
        alarm.fail_on(earlier.since_last(here, outcomes), alarm.FailOn(fail_on))


@cli.command(hidden=True)
@SWEEP_DIRECTORY
@click.option("--dag-status", type=int, required=True, help="DAGMan's $DAG_STATUS.")
def close(directory: Path, dag_status: int) -> None:
    """Close a sweep, however its DAG went; the DAG starts this, and takes 99 for success."""
    from sweep.aside import Aside
    from sweep.events import read_at_the_end

    here = directory.resolve()
    # The longest of the work, and it needs little of the program: the rest is loaded meanwhile.
    with Aside(partial(read_at_the_end, here / EVENTS, troubled=dag_status != 0)) as log:
        from sweep.steps import close_step

        closed = close_step(here, dag_status, log.value)
    # DAGMan takes no more than some ten kilobytes from a script before it closes the pipe.
    click.echo((here / "summary.txt").read_text(), nl=False)
    if not closed:
        click.echo(f"the sweep did not come to its end; DAGMan's status is {dag_status}", err=True)
    sys.exit(_CLOSED if closed else 1)


@cli.command("gate", hidden=True)
@SWEEP_DIRECTORY
@click.argument("tuple_id", metavar="TUPLE")
def gate_command(directory: Path, tuple_id: str) -> None:
    """Judge the first tuple of an environment; its DAG starts this."""
    from sweep.steps import gate_step

    if gate_step(directory.resolve(), tuple_id):
        click.echo(f"{tuple_id} speaks for its environment: the others are not run")


@cli.command(hidden=True)
@SWEEP_DIRECTORY
@click.pass_context
def watch(context: click.Context, directory: Path) -> None:
    """Watch over a running sweep's budget; its DAG starts this."""
    from sweep import budget

    here = directory.resolve()
    reach_pool(here)
    budget.watch(here, say)
