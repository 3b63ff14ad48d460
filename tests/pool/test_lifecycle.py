"""A sweep's life from the outside: by cron, by hand, planned first, tried for one tuple, and two at once."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Gate, Run, Site, causes, contents, seen, submitted, wait_for

from sweep.sandbox.pool import SandboxPool

TABLES = ("compatibility.csv", "compatibility.json", "compatibility.md", "outcomes.json", "summary.txt")
WORKING = "pytorch-2.8-cuda12.9-sm75"


def sweeps_of(results: Path) -> list[str]:
    return sorted(path.name for path in results.iterdir() if path.is_dir() and not path.is_symlink())


def cron(site: Site) -> subprocess.CompletedProcess[str]:
    """What cron does with the README's line: a bare environment, a shell, somebody's home."""
    command = Path(sys.executable).absolute().with_name("sweep")
    line = f"env -i HOME={site.directory} PATH=/usr/bin:/bin {command} --settings {site.settings} submit"
    return site.command("/bin/sh", "-c", line, env={}, cwd="/")


def test_crons_line_makes_one_sweep_after_the_other_and_refuses_while_one_is_running(
    gated_site: Callable[..., Site], gate: Gate, tmp_path: Path
) -> None:
    sendmail = tmp_path / "sendmail"
    sendmail.write_text(f"#!/bin/sh\ncat >> {tmp_path}/mailbox\n")
    sendmail.chmod(0o755)
    mail = {"mail": ["staff@site.example"], "sendmail": str(sendmail), "when": "always"}
    site = gated_site(notify=mail)
    name = "gated-2.8-cuda12.9-sm75"
    gate.open()
    first = submitted(cron(site))
    assert site.end(first) == 0, site.account(first.here)
    assert causes(first.here) == {name: "all-rungs"}
    before = contents(first.here)

    gate.close()
    second = submitted(cron(site))
    wait_for(lambda: name in seen(second.here, "EXECUTE"))
    refused = cron(site)
    assert refused.returncode == 9, refused.stdout + refused.stderr
    assert f"job {second.job}" in refused.stderr
    assert str(second.here) in refused.stderr
    assert "Traceback" not in refused.stderr
    # A table of its own is not started by looking, and the plain line has no control characters.
    status = site.sweep("status")
    assert status.returncode == 0, status.stderr
    assert status.stdout == f"{second.here.name}: running; 1 running; 0 settled without a job\n"
    assert (site.results / "latest").readlink() == Path(first.here.name)
    assert sweeps_of(site.results) == [first.here.name, second.here.name]

    gate.open()
    assert site.end(second) == 0, site.account(second.here)
    assert (site.results / "latest").readlink() == Path(second.here.name)
    assert contents(first.here) == before
    for run in (first, second):
        assert all((run.here / table).stat().st_size for table in TABLES)
        assert run.here.name in (run.here / "compatibility.md").read_text()
    after = site.sweep("status")
    assert "reported; 1 done" in after.stdout
    subjects = [line for line in (tmp_path / "mailbox").read_text().splitlines() if line.startswith("Subject: ")]
    assert len(subjects) == 2
    assert f"Since sweep {first.here.name}: nothing changed; 1 as before." in subjects[1]
    assert site.sweep("report", "--fail-on", "unexpected").returncode == 0


@pytest.fixture(scope="module")
def finished(pool: SandboxPool, tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """A sweep of one tuple that was made by `condor_submit_dag "$(sweep new)"` from somewhere else."""
    site = Site(pool, tmp_path_factory.mktemp("by-hand"))
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    sweep = f"{sys.executable} -m sweep --settings {site.settings}"
    done = site.command("/bin/sh", "-c", f'condor_submit_dag "$({sweep} new)"', cwd=elsewhere)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"submitted to cluster (\d+)", done.stdout)
    assert found is not None
    assert list(elsewhere.iterdir()) == []
    here = site.results / sweeps_of(site.results)[0]
    # The sweeper knows that sweep too, although it did not submit it.
    refused = site.sweep("submit")
    assert refused.returncode == 9
    assert f"job {found[1]}" in refused.stderr
    run = Run(here, found[1])
    assert site.end(run) == 0, site.account(here)
    return site, run


def test_the_command_for_those_who_like_to_see_it_works_from_anywhere(finished: tuple[Site, Run]) -> None:
    site, run = finished
    assert causes(run.here) == {WORKING: "all-rungs"}
    assert (site.results / "latest").readlink() == Path(run.here.name)
    assert sweeps_of(site.results) == [run.here.name]


def test_a_finished_sweep_is_not_submitted_again(finished: tuple[Site, Run]) -> None:
    site, run = finished
    before = contents(run.here)
    again = site.sweep("submit", run.here)
    assert again.returncode == 10, again.stdout + again.stderr
    assert "nothing to resume" in again.stderr
    assert contents(run.here) == before


def test_condor_submit_on_one_submit_file_repeats_that_tuple_beside_the_evidence(
    finished: tuple[Site, Run],
) -> None:
    site, run = finished
    directory = run.here / "tuples" / WORKING
    before = contents(run.here)
    done = site.command("condor_submit", "-terse", directory / "job.sub", cwd="/")
    assert done.returncode == 0, done.stderr
    assert site.command("condor_wait", "-wait", 120, directory / "by_hand_events.log").returncode == 0
    by_hand = json.loads((directory / "by_hand_result.json").read_text())
    evidence = json.loads((directory / "result.json").read_text())
    assert by_hand["state"] == "done"
    assert [(r["rung"], r["outcome"]) for r in by_hand["rungs"]] == [
        (r["rung"], r["outcome"]) for r in evidence["rungs"]
    ]
    assert by_hand["started"] > evidence["ended"]
    after = contents(run.here)
    assert {name: after[name] for name in before} == before
    assert {Path(name).name for name in after.keys() - before.keys()} == {
        "by_hand_result.json",
        "by_hand_job.out",
        "by_hand_job.err",
        "by_hand_events.log",
    }


def test_try_runs_one_tuple_and_says_what_came_of_it(pool: SandboxPool, tmp_path: Path) -> None:
    site = Site(pool, tmp_path)
    tried = site.sweep("try", "pytorch", "2.8", "--cuda", "12.9", "--capability", "8.0")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "works" in tried.stdout
    assert "simulated" in tried.stdout.lower()
    (here,) = [path for path in (site.results / "tries").iterdir() if path.is_dir() and not path.is_symlink()]
    assert causes(here) == {"pytorch-2.8-cuda12.9-sm80": "all-rungs"}
    assert sweeps_of(site.results) == ["tries"]


def test_a_plan_submits_nothing_and_is_what_runs_when_it_is_submitted(pool: SandboxPool, tmp_path: Path) -> None:
    site = Site(pool, tmp_path, gpus={"capabilities": ["3.5", "7.5"]})
    dry = site.sweep("plan")
    assert dry.returncode == 0, dry.stderr
    (name,) = sweeps_of(site.results)
    here = site.results / name
    assert "1  to be submitted" in dry.stdout
    assert "1  pruned: toolkit-dropped-capability" in dry.stdout
    assert not (here / "sweep.dag.condor.sub").exists()
    for command in ("condor_q", "condor_history"):
        jobs = site.command(command, "-af", "Iwd")
        assert jobs.returncode == 0, jobs.stderr
        assert str(here) not in jobs.stdout
    plan = (here / "plan.json").read_bytes()
    files = contents(here)

    run = site.start("submit", here)
    assert run.here == here
    assert site.end(run) == 0, site.account(here)
    assert (here / "plan.json").read_bytes() == plan
    after = contents(here)
    # What it is planned with needs no planning, and no Python that says so.
    assert b" -m sweep plan " in files.pop("sweep.dag")
    assert b" -m sweep plan " not in after["sweep.dag"]
    assert {n: after[n] for n in files} == files
    assert causes(here) == {"pytorch-2.8-cuda12.9-sm35": "no-kernel-image", WORKING: "all-rungs"}
    assert seen(here, "SUBMIT") == [WORKING]
    assert sweeps_of(site.results) == [name]


def test_of_two_submissions_at_the_very_same_moment_one_wins(gated_site: Callable[..., Site], gate: Gate) -> None:
    site = gated_site()
    words = [sys.executable, "-m", "sweep", "--settings", str(site.settings), "submit"]
    both = [
        subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=site.environment, cwd=site.directory
        )
        for _ in range(2)
    ]
    said = [each.communicate(timeout=60) for each in both]
    codes = [each.returncode for each in both]
    assert sorted(codes) == [0, 9], said
    won = codes.index(0)
    run = submitted(subprocess.CompletedProcess(words, 0, *said[won]))
    assert re.search(r"another sweep command is at work|is in the queue as job", said[1 - won][1])
    dags = site.command("condor_q", "-constraint", f'SweepResults == "{site.results}"', "-af", "ClusterId")
    assert dags.stdout.split() == [run.job]
    # Whoever lost leaves nothing behind that later commands could take for the newest sweep.
    assert sweeps_of(site.results) == [run.here.name]
    gate.open()
    assert site.end(run) == 0, site.account(run.here)


def test_the_dag_passes_on_what_reaching_a_channel_may_need(finished: tuple[Site, Run]) -> None:
    described = (finished[1].here / "sweep.dag.condor.sub").read_text()
    passed_on = re.search(r"^getenv\s*=\s*(.*)$", described, flags=re.MULTILINE)
    assert passed_on is not None
    assert {"https_proxy", "SSL_CERT_FILE", "RATTLER_AUTH_FILE", "SWEEP_CACHE", "PIP_INDEX_URL", "NETRC"} <= set(
        passed_on[1].split(",")
    )


def test_of_two_dags_submitted_by_hand_the_second_stops_at_its_planning(
    gated_site: Callable[..., Site], gate: Gate
) -> None:
    site = gated_site()
    dags = [site.sweep("new").stdout.strip()]
    dags.append(site.sweep("new").stdout.strip())
    runs = []
    for dag in dags:
        done = site.command("condor_submit_dag", dag)
        found = re.search(r"submitted to cluster (\d+)", done.stdout)
        assert found is not None, done.stdout + done.stderr
        runs.append(Run(Path(dag).parent, found[1]))
    first, second = runs
    assert site.end(second) != 0
    assert f"the sweep in {first.here} is in the queue" in (second.here / "summary.txt").read_text()
    gate.open()
    assert site.end(first) == 0, site.account(first.here)
    assert (site.results / "latest").readlink() == Path(first.here.name)
