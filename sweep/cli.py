"""The `sweep` command: options and output. The work is done elsewhere, and imported only where it is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweep import __version__
from sweep.errors import ResultsError, SweepError
from sweep.places import OUTCOMES, PARENT_DAG, PLAN, SETTINGS

if TYPE_CHECKING:
    from sweep.settings import Settings

DIRECTORY = click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
SWEEP_DIRECTORY = click.argument("directory", type=click.Path(file_okay=False, exists=True, path_type=Path))

ONLY = click.option("--only", multiple=True, metavar="GLOB", help="Only tuples whose id matches; may be repeated.")


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


def _say(line: str) -> None:
    click.echo(line, err=True)


def _settings(context: click.Context) -> Settings:
    from sweep import condor, config

    settings = config.load(context.obj)
    condor.use(settings.pool.condor_config)
    return settings


def _chosen(context: click.Context, only: tuple[str, ...]) -> Settings:
    """The settings, narrowed to the tuples that --only selects."""
    from sweep import config

    return config.selected(_settings(context), only)


def _refuse_only(directory: Path | None, only: tuple[str, ...]) -> None:
    if directory is not None and only:
        raise click.UsageError("--only is for a new sweep; DIRECTORY has its candidates already")


def _directory(context: click.Context, directory: Path | None) -> Path:
    """The sweep that a command means: the one named, or the newest. Needs no pool."""
    from sweep import config, sweeps

    if directory is not None:
        return directory.resolve()
    return sweeps.newest(config.load(context.obj).results)


def _reach_pool(here: Path) -> None:
    """Use the HTCondor that a sweep was made for."""
    from sweep import condor, config

    condor.use(config.load_stored(here / SETTINGS).pool.condor_config)


@cli.command()
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.pass_context
def init(context: click.Context, force: bool) -> None:
    """Write a commented settings file, filled in from the pool that this machine sees."""
    from sweep.init import write_settings

    write_settings(context.obj, force=force, say=_say)


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

    _refuse_only(directory, only)
    here = directory.resolve() if directory else sweeps.new(_chosen(context, only), to_run=False)
    made = plan_step(here, _say)
    if list_all:
        click.echo("\n".join(plans.listing(made)))
    click.echo("\n".join(plans.overview(made)))
    if timings:
        click.echo("\n".join(plans.timing_lines(made)))
    click.echo(f"plan: {here / PLAN}")


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

    here = _directory(context, directory)
    again = prepare(here, tuple_id)
    condor_config = config.load_stored(here / SETTINGS).pool.condor_config
    if not at_once:
        click.echo("\n".join(again.commands(condor_config)))
        return
    condor.use(condor_config)
    click.echo(f"{tuple_id} is job {condor.submit_file(again.submit_file)}; its result will be {again.result}")


@cli.command("unknown")
@DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="Print the texts as JSON.")
@click.pass_context
def unknown_command(context: click.Context, directory: Path | None, as_json: bool) -> None:
    """List the error texts that no rule knew, alike ones together, each with the beginning of a rule."""
    from sweep.report import unknown

    here = _directory(context, directory)
    found = unknown.unknown(here)
    click.echo(unknown.as_json(found) if as_json else "\n".join(unknown.lines(found, here)))


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

    settings = _settings(context)
    frameworks = load_frameworks(settings)
    channels = sources.open_channels(settings)
    for line in freeze(channels, wanted(settings, frameworks), directory.resolve(), settings.node.platform).lines():
        click.echo(line)


@cli.command()
@ONLY
@click.pass_context
def new(context: click.Context, only: tuple[str, ...]) -> None:
    """Make a new sweep and print the path of its DAG, for `condor_submit_dag "$(sweep new)"`."""
    from sweep import sweeps

    click.echo(sweeps.new(_chosen(context, only)) / PARENT_DAG)


@cli.command()
@DIRECTORY
@ONLY
@click.option("--wait", "wait_for_it", is_flag=True, help="Stay until it is over, show progress, print the table.")
@click.option("--gpu-hours", type=float, help="A budget for this sweep, in place of load.gpu_hours.")
@click.pass_context
def submit(
    context: click.Context, directory: Path | None, only: tuple[str, ...], wait_for_it: bool, gpu_hours: float | None
) -> None:
    """Submit a new sweep; or, with DIRECTORY, one that was planned or interrupted before."""
    from sweep import config, sweeps

    _refuse_only(directory, only)
    if directory is None:
        chosen = _chosen(context, only)
        if gpu_hours is not None:
            chosen = config.with_budget(chosen, gpu_hours)
        _submitted(*sweeps.start(chosen), wait_for_it)
        return
    if gpu_hours is not None:
        raise click.UsageError("--gpu-hours belongs to a new sweep; this one has its budget in its plan")
    here = directory.resolve()
    _reach_pool(here)
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
    _show(here)
    if sweeps.dag_failed(here):
        click.echo(f"the DAG failed; {here}/classify.log and {here}/report.log say what its steps said", err=True)
        sys.exit(1)


def _show(here: Path) -> None:
    from sweep import earlier
    from sweep.report.terminal import show

    outcomes = earlier.read(here)
    show(outcomes, f"{here}/compatibility.html .md .csv .json", earlier.since_last(here, outcomes))


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

    only = config.only(_settings(context), framework, version, cuda, capability)
    _submitted(*sweeps.start(only), not no_wait)


@cli.command()
@DIRECTORY
@click.option("--follow", "keep_on", is_flag=True, help="Keep showing it until the sweep is over.")
@click.pass_context
def status(context: click.Context, directory: Path | None, keep_on: bool) -> None:
    """Show where a sweep stands: a table in a terminal, a plain line elsewhere."""
    from sweep import condor, sweeps
    from sweep.report.live_view import follow

    here = _directory(context, directory)
    _reach_pool(here)
    job = next((s["job"] for s in condor.running_sweeps(here.parent) if s["directory"] == str(here)), None)
    with follow(here) as look:
        look()
        if keep_on and job:
            sweeps.wait(here, job, look)


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
    _reach_pool(here)
    budget.watch(here, _say)


@cli.command()
@SWEEP_DIRECTORY
@click.option("--returned", type=int, hidden=True, help="What the tuples' DAG returned.")
@click.pass_context
def classify(context: click.Context, directory: Path, returned: int | None) -> None:
    """Turn event log and probe results into outcomes.json; at any time, with the same answer for the same files."""
    from sweep.report.table import headline
    from sweep.steps import classify_step

    outcomes = classify_step(_directory(context, directory), returned)
    click.echo(headline(outcomes))
    # An interrupted DAG must not count as done, or resubmitting the sweep would not resume it.
    if returned is not None and outcomes.state == "unfinished":
        sys.exit(1)


@cli.command()
@DIRECTORY
@click.option("--dag-status", type=int, hidden=True, help="DAGMan's $DAG_STATUS.")
@click.option("--failed-nodes", type=int, hidden=True, help="DAGMan's $FAILED_COUNT.")
@click.option("--columns", "only_columns", is_flag=True, help="Say what the columns of the CSV and JSON mean.")
@click.option("--metric", help="Print what the workload came to instead, such as matmul_tflops.")
@click.pass_context
def report(
    context: click.Context,
    directory: Path | None,
    dag_status: int | None,
    failed_nodes: int | None,
    only_columns: bool,
    metric: str | None,
) -> None:
    """Write the tables and the page from what there is, and print them."""
    from sweep.report import columns
    from sweep.steps import report_step

    if only_columns:
        click.echo(columns.markdown())
        return
    here = _directory(context, directory)
    outcomes = report_step(here, dag_status, failed_nodes)
    if outcomes is None:
        click.echo((here / "summary.txt").read_text(), err=True, nl=False)
        sys.exit(1)
    if dag_status is None:
        if metric:
            from sweep.report.metric import render

            click.echo(render(outcomes, metric))
        else:
            _show(here)
        return
    # DAGMan takes no more than some ten kilobytes from a script before it closes the pipe.
    click.echo((here / "summary.txt").read_text(), nl=False)
    if dag_status or failed_nodes:
        click.echo(f"the DAG failed: status {dag_status}, {failed_nodes} failed nodes", err=True)
        sys.exit(1)


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
    found = diff(*earlier.pair(results, old, new))
    click.echo(found.model_dump_json(indent=1, by_alias=True) if as_json else "\n".join(changes.lines(found)))


@cli.command("history")
@click.argument("tuple_id", metavar="TUPLE")
@click.pass_context
def history_command(context: click.Context, tuple_id: str) -> None:
    """Say how one tuple fared, one line for each finished sweep, the newest first."""
    from sweep import config, earlier
    from sweep.report.past import lines

    click.echo("\n".join(lines(earlier.finished(config.load(context.obj).results), tuple_id)))


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

    from sweep import config
    from sweep.advise import advise as advice_on
    from sweep.files import read_model
    from sweep.report import advice as shown
    from sweep.schema import Outcomes, Plan
    from sweep.sites import load_site

    here = _directory(context, directory)
    site = load_site(site_name)
    outcomes = read_model(here / OUTCOMES, Outcomes, "sweep classify")
    plan = read_model(here / PLAN, Plan, "sweep plan")
    advice = advice_on(outcomes, plan.environments, framework, gpu=gpu, python=python)
    about = shown.Context(here, outcomes, config.load_stored(here / SETTINGS), site)
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
    from sweep import config
    from sweep.facts import load_facts
    from sweep.files import read_model
    from sweep.report import whatif as shown
    from sweep.schema import Outcomes
    from sweep.whatif import Change, what_if

    here = _directory(context, directory)
    facts = load_facts(config.load_stored(here / SETTINGS).rules.facts)
    outcomes = read_model(here / OUTCOMES, Outcomes, "sweep classify")
    change = Change(driver, drop_cuda, retire)
    forecast = what_if(outcomes, change, facts)
    click.echo(
        shown.as_json(outcomes, change, forecast) if as_json else "\n".join(shown.lines(outcomes, change, forecast))
    )


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
    running = {sweep["directory"] for sweep in condor.running_sweeps(settings.results)}
    found = retention(settings.results, keep, running)
    for here, why in found.stays.items():
        click.echo(f"stays    {here.name}: {why}")
    for each in found.reductions:
        if not dry_run:
            reduce(each)
        word = "would be reduced" if dry_run else "reduced"
        click.echo(f"{word}  {each.here.name}: {each.size / 1e6:.1f} MB of job files, logs and environments")


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
