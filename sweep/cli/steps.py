"""Commands that a sweep's own DAG calls; a person may call `classify` and `report` too, at any time."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sweep.cli.common import DIRECTORY, SWEEP_DIRECTORY, directory_of, reach_pool, say, show
from sweep.cli.group import cli

_REMOVED = 4  # $DAG_STATUS of a DAG that somebody or its own limit removed
_NOTHING_TO_DO = 99  # sweep.dag's PRE_SKIP: DAGMan takes the last node for done


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
@click.option("--returned", type=int, required=True, help="What the tuples' DAG returned.")
@click.option("--dag-status", type=int, required=True, help="DAGMan's $DAG_STATUS.")
def close(directory: Path, returned: int, dag_status: int) -> None:
    """Close a sweep whose tuples are over; its DAG starts this."""
    from sweep.report.table import headline
    from sweep.steps import close_step

    if dag_status == _REMOVED:
        click.echo("the sweep was removed: its last step tells what there is", err=True)
        sys.exit(1)
    here = directory.resolve()
    outcomes = close_step(here, removed=returned < 0)
    if outcomes.state == "unfinished":
        # An interrupted DAG must not count as done, or resubmitting the sweep would not resume it.
        click.echo(headline(outcomes), err=True)
        sys.exit(1)
    _say_summary(here)


@cli.command(hidden=True)
@SWEEP_DIRECTORY
@click.option("--dag-status", type=int, required=True, help="DAGMan's $DAG_STATUS.")
@click.option("--failed-nodes", type=int, required=True, help="DAGMan's $FAILED_COUNT.")
def end(directory: Path, dag_status: int, failed_nodes: int) -> None:
    """Have the last word on a sweep that did not end well; its DAG starts this."""
    if not dag_status and not failed_nodes:
        sys.exit(_NOTHING_TO_DO)
    from sweep.steps import end_step

    here = directory.resolve()
    end_step(here, removed=dag_status == _REMOVED)
    _say_summary(here)
    click.echo(f"the DAG failed: status {dag_status}, {failed_nodes} failed nodes", err=True)
    sys.exit(1)


def _say_summary(here: Path) -> None:
    """A sweep in a few lines: DAGMan takes some ten kilobytes from a script before it closes the pipe."""
    click.echo((here / "summary.txt").read_text(), nl=False)


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
