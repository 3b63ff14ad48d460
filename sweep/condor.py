"""HTCondor's bindings and commands; the only module that talks to the daemons.

The bindings read HTCondor's configuration when they are imported, so they are imported inside the functions,
after `use` has said which configuration it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep.errors import PoolError, SubmitError

# Slots that take part: with GPUs, neither a dynamic child nor a staging slot for common files.
GPU_SLOTS = 'SlotType =!= "Dynamic" && IsDataSlot =!= true && (TotalGPUs > 0 || TotalSlotGPUs > 0)'

# A sweep's DAGMan job says which results directory it writes to; sweep.dag sets the attribute.
RESULTS_ATTRIBUTE = "SweepResults"
DIRECTORY_ATTRIBUTE = "SweepDirectory"

_IDLE, _HELD = 1, 5  # JobStatus
_COMMAND_LIMIT = 300  # seconds; condor_submit_dag and condor_submit answer in well under one


def use(condor_config: str | None) -> None:
    """Choose HTCondor's configuration file; call before anything else here. None keeps the machine's own.

    Raises:
        PoolError: the file does not exist.
    """
    if condor_config is None:
        return
    if not Path(condor_config).is_file():
        raise PoolError(f"pool.condor_config = {condor_config!r}: no such file; name HTCondor's configuration file")
    os.environ["CONDOR_CONFIG"] = condor_config


def _bindings() -> Any:
    try:
        import htcondor2
    except Exception as error:  # the bindings raise their own types when the configuration is unreadable
        raise PoolError(f"HTCondor's Python bindings do not start: {error}; check CONDOR_CONFIG") from error
    return htcondor2


def collector_name() -> str:
    """The address of the pool's collector, as configured; empty when there is none."""
    return str(_bindings().param.get("COLLECTOR_HOST") or "")


def gpu_slot_ads() -> list[Any]:
    """The whole ads of every slot with GPUs: the nested ads of busy devices are only there.

    Raises:
        PoolError: the collector does not answer.
    """
    htcondor2 = _bindings()
    try:
        return list(htcondor2.Collector().query(htcondor2.AdType.Startd, constraint=GPU_SLOTS))
    except Exception as error:
        raise PoolError(
            f"the collector {collector_name() or '(none is configured)'} does not answer: {_one_line(error)}\n"
            "check that this machine is an access point of a running pool (`condor_status` shows it), or name the "
            "pool's configuration with pool.condor_config"
        ) from error


def running_sweeps(results: Path | None = None) -> list[dict[str, str]]:
    """The sweeps in the queue, as directory, job id and, if it is held, why; those of one results directory if given.

    Raises:
        PoolError: the schedd does not answer.
    """
    htcondor2 = _bindings()
    constraint = f"JobUniverse == 7 && {DIRECTORY_ATTRIBUTE} =!= undefined"
    if results is not None:
        constraint += f" && {RESULTS_ATTRIBUTE} == {quoted(str(results))}"
    try:
        ads = htcondor2.Schedd().query(
            constraint=constraint, projection=["ClusterId", DIRECTORY_ATTRIBUTE, "JobStatus", "HoldReason"]
        )
    except Exception as error:
        raise PoolError(
            f"the schedd of this access point does not answer: {_one_line(error)}\n"
            "check that HTCondor runs here (`condor_q` answers), or name its configuration with pool.condor_config"
        ) from error
    return [
        {
            "directory": str(ad[DIRECTORY_ATTRIBUTE]),
            "job": str(ad["ClusterId"]),
            "held": str(ad.get("HoldReason", "no reason given")) if ad["JobStatus"] == _HELD else "",
        }
        for ad in ads
    ]


def quoted(text: str) -> str:
    """A ClassAd string literal."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def tool(name: str) -> Path:
    """The path of one of HTCondor's commands: on the PATH, or where HTCondor's configuration says.

    Cron's PATH is bare, and a private HTCondor is on nobody's.

    Raises:
        PoolError: the command is nowhere.
    """
    if found := shutil.which(name):
        return Path(found)
    configured = _bindings().param.get("BIN")
    if configured and (path := Path(configured, name)).is_file():
        return path
    raise PoolError(
        f"{name} is neither on the PATH nor in HTCondor's BIN directory ({configured or 'not configured'})"
    )


def _run(name: str, arguments: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    command = tool(name)
    # condor_submit_dag looks for condor_dagman on the PATH.
    environment = {**os.environ, "PATH": f"{command.parent}:{os.environ.get('PATH', '/usr/bin:/bin')}"}
    try:
        return subprocess.run(
            [str(command), *arguments],
            text=True,
            capture_output=True,
            env=environment,
            timeout=_COMMAND_LIMIT,
            check=False,
            **options,
        )
    except subprocess.TimeoutExpired as error:
        raise PoolError(f"{name} did not answer within {_COMMAND_LIMIT} s; is the schedd overloaded?") from error


def submit_dag(dag: Path, batch_name: str) -> str:
    """Submit a DAG from its own directory, never with force; returns the job id.

    Raises:
        SubmitError: HTCondor refuses; its words are quoted.
        PoolError: the command is missing or does not answer.
    """
    description = dag.with_name(f"{dag.name}.condor.sub")
    fresh = not description.exists()
    done = _run(
        "condor_submit_dag", ["-batch-name", batch_name, "-notification", "never", dag.name], cwd=str(dag.parent)
    )
    if done.returncode:
        if fresh:  # or the next try would be taken for a second submission
            description.unlink(missing_ok=True)
        raise SubmitError(f"condor_submit_dag refused {dag}:\n{(done.stderr or done.stdout).strip()}")
    match = re.search(r"submitted to cluster (\d+)", done.stdout)
    if match is None:
        raise SubmitError(f"condor_submit_dag gave no job id for {dag}:\n{done.stdout.strip()}")
    return match[1]


def submit_file(path: Path) -> str:
    """Submit one job by its submit file; returns the job id.

    Raises:
        SubmitError: HTCondor refuses; its words are quoted.
        PoolError: the command is missing or does not answer.
    """
    done = _run("condor_submit", ["-terse", str(path)])
    if done.returncode:
        raise SubmitError(f"condor_submit refused {path}:\n{(done.stderr or done.stdout).strip()}")
    return done.stdout.split()[0] if done.stdout.strip() else "?"


def check_dag(dag: Path) -> None:
    """Have HTCondor's own checker read a DAG, where there is one (24.10 and newer).

    Raises:
        SubmitError: the checker finds a fault.
    """
    try:
        tool("condor_dag_checker")
    except PoolError:
        return
    done = _run("condor_dag_checker", [str(dag)])
    if done.returncode:
        raise SubmitError(f"condor_dag_checker refuses {dag}:\n{(done.stdout + done.stderr).strip()}")


def job_ad(submit_text: str) -> Any:
    """The job ad that a submit description makes, without submitting anything.

    Raises:
        SubmitError: condor_submit does not accept the description.
    """
    _bindings()  # they register functions that the ad's expressions call
    import classad2

    done = _run("condor_submit", ["-dry-run", "-", "-"], input=submit_text)
    if done.returncode:
        raise SubmitError(f"condor_submit does not accept the tuples' submit file:\n{done.stderr.strip()}")
    # A dry run prints the ad twice, for machines and for people; the first is what would be sent.
    lines = done.stdout.split("** Proc")[0].splitlines()
    ad = classad2.ClassAd()
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_]\w*", name):
            ad[name] = classad2.ExprTree(value)
    return ad


def remove_waiting(log: Path, reason: str, capability: str | None = None) -> None:
    """Remove the jobs that write to an event log and wait for a slot; those that run go on.

    With a capability only the jobs of its tuples.

    Raises:
        PoolError: the schedd does not answer.
    """
    htcondor2 = _bindings()
    constraint = f"JobStatus == {_IDLE} && SweepTuple =!= undefined && UserLog == {quoted(str(log))}"
    if capability is not None:
        constraint += f" && SweepCapability == {quoted(capability)}"
    try:
        htcondor2.Schedd().act(htcondor2.JobAction.Remove, constraint, reason=reason)
    except Exception as error:
        raise PoolError(f"the schedd of this access point does not answer: {_one_line(error)}") from error


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
