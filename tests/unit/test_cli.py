"""The command line: help, exit codes, one clear message, and nothing heavy on the way to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from sweepdir import Sweep, one, result

from sweep import errors, places
from sweep.cli import cli, main

HEAVY = (
    "pandas",
    "rattler",
    "conda_lock",
    "htcondor2",
    "classad2",
    "pydantic",
    "numpy",
    "rich",
    "jinja2",
    "packaging",
)


def run(*arguments, directory=None, **environment):
    """A command in a process of its own, as cron would start it."""
    clean = {"PATH": "/usr/bin:/bin", "CONDOR_CONFIG": "/dev/null", **environment}
    return subprocess.run(
        [sys.executable, "-m", "sweep", *map(str, arguments)],
        cwd=directory,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def here(monkeypatch, capsys):
    """The same within this process, which is quicker where start-up and environment are not the point."""

    def call(*arguments, directory=None):
        monkeypatch.setenv("CONDOR_CONFIG", "/dev/null")
        monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
        if directory is not None:
            monkeypatch.chdir(directory)
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as done:
            code = done.code
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, out, err)

    return call


@pytest.fixture
def no_collector(tmp_path):
    """A configuration that names a port where nobody listens."""
    path = tmp_path / "condor_config"
    path.write_text("COLLECTOR_HOST = 127.0.0.1:1\nBIND_ALL_INTERFACES = false\nNETWORK_INTERFACE = 127.0.0.1\n")
    return str(path)


def error_classes(base=errors.SweepError):
    return [c for sub in base.__subclasses__() for c in (sub, *error_classes(sub))]


# --------------------------------------------------------------------------- help and start


@pytest.mark.parametrize(
    "command", [[], *([name] for name in sorted(cli.commands))], ids=lambda c: "-".join(c) or "sweep"
)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(command, option):
    done = CliRunner().invoke(cli, [*command, option])
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")
    docs = cli.commands[command[0]].help if command else cli.help
    assert docs
    assert docs.split("\n")[0].split(". ")[0][:40] in done.output


def test_the_commands_of_the_mission_are_there():
    assert {"init", "pool", "plan", "new", "submit", "try", "status", "classify", "report"} <= set(cli.commands)


def test_starting_the_program_imports_nothing_heavy():
    code = "import sys, sweep.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "click" in loaded
    assert not set(HEAVY) & set(loaded)


def test_version_and_wrong_usage():
    assert re.search(r"\d+\.\d+", run("--version").stdout)
    wrong = run("sumbit")
    assert wrong.returncode == 2
    assert "sumbit" in wrong.stderr
    assert "Traceback" not in wrong.stderr


# --------------------------------------------------------------------------- exit codes


def test_each_error_has_its_own_exit_code_and_the_help_lists_them_all():
    classes = error_classes()
    codes = [c.exit_code for c in classes]
    assert len(classes) >= 10
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 2} & set(codes)
    text = " ".join((cli.help or "").split())
    listed = re.findall(r"(\d+) [A-Za-z]", text[text.index("Exit codes: ") :])
    assert sorted(map(int, listed)) == sorted([0, 1, 2, *codes])
    assert all(c.__doc__ for c in classes)


def test_an_unknown_settings_file_is_one_line_and_exit_3(tmp_path, here):
    tried = ["try", "pytorch", "2.5", "--cuda", "12.4", "--capability", "8.0"]
    for call, command in (
        (run, ["new"]),
        *((here, c) for c in (["submit"], ["plan"], ["report"], ["status"], tried)),
    ):
        done = call("--settings", tmp_path / "gone.toml", *command)
        assert done.returncode == 3
        assert done.stdout == ""
        assert done.stderr == (
            f"sweep: {tmp_path}/gone.toml: no such file; write one with `sweep init`, or name it with --settings\n"
        )


def test_a_wrong_setting_is_exit_3_and_named(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text("[frameworks.pytorch]\nversion = 3\n")
    done = run("--settings", path, "new")
    assert done.returncode == 3
    assert "frameworks.pytorch.version" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("new", SWEEP_SETTINGS=str(path)).stderr == done.stderr


def test_no_collector_is_exit_4_and_says_what_to_check(tmp_path, no_collector):
    done = run("pool", directory=tmp_path, CONDOR_CONFIG=no_collector)
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr.startswith("sweep: the collector 127.0.0.1:1 does not answer: ")
    assert "pool.condor_config" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_schedd_is_exit_4_and_leaves_no_sweep(tmp_path, no_collector):
    (tmp_path / "sweep.toml").write_text(f'[pool]\ncondor_config = "{no_collector}"\n[frameworks.pytorch]\n')
    done = run("new", directory=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert "schedd" in done.stderr
    assert not list(tmp_path.glob("results/2*"))


def test_a_condor_config_that_does_not_exist_is_exit_4(tmp_path, here):
    (tmp_path / "sweep.toml").write_text('[pool]\ncondor_config = "/gone/condor_config"\n[frameworks.pytorch]\n')
    done = here("pool", directory=tmp_path)
    assert done.returncode == 4
    assert "pool.condor_config = '/gone/condor_config'" in done.stderr


def test_results_that_cannot_be_written_are_exit_8(tmp_path, here):
    (tmp_path / "file").write_text("")
    (tmp_path / "sweep.toml").write_text('[sweep]\nresults = "file/results"\n[frameworks.pytorch]\n')
    done = here("new", directory=tmp_path)
    assert done.returncode == 8
    assert "choose another sweep.results" in done.stderr


@pytest.mark.parametrize("command", ["classify", "report"])
def test_a_directory_that_is_no_sweep_is_exit_10(tmp_path, command, here):
    done = here(command, tmp_path)
    assert done.returncode == 10
    assert "Traceback" not in done.stderr
    assert str(tmp_path) in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_sweep_at_all_is_exit_10(tmp_path, here):
    (tmp_path / "sweep.toml").write_text("[frameworks.pytorch]\n")
    done = here("report", directory=tmp_path)
    assert done.returncode == 10
    assert "`sweep submit` starts one" in done.stderr


# --------------------------------------------------------------------------- classify, report, init


def test_classify_and_report_need_no_pool_not_even_its_configuration(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    stored = {
        "results": str(tmp_path),
        "pool": {"condor_config": "/gone/condor_config"},
        "frameworks": {"pytorch": {}},
    }
    (sweep.here / "settings.json").write_text(json.dumps(stored))
    classified = run("classify", sweep.here, CONDOR_CONFIG="/gone/condor_config")
    assert classified.returncode == 0, classified.stderr
    assert "1 of 1 tuples work" in classified.stdout
    reported = run("report", sweep.here, COLUMNS="200")
    assert reported.returncode == 0, reported.stderr
    assert "✓ works" in reported.stdout
    assert "\x1b" not in reported.stdout
    assert not (tmp_path / "latest").exists()


def test_the_table_can_be_printed_in_crons_plain_locale(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    done = run("report", sweep.here, LC_ALL="C", LANG="C")
    assert done.returncode == 0, done.stderr
    assert "works" in done.stdout


def test_a_sweep_that_has_ended_is_closed(tmp_path, here):
    sweep = one(tmp_path, "exit-0", result())
    done = here("close", sweep.here, "--dag-status", "2")
    assert done.returncode == 99, done.stderr
    assert "1 of 1 tuples work" in done.stdout
    assert "did not come to its end" not in done.stderr
    # What sweep.dag makes of it.
    assert re.search(r"^PRE_SKIP close 99$", (places.dags() / "sweep.dag").read_text(), re.M)


@pytest.mark.parametrize(("log", "status"), [("unfinished", "0"), ("exit-0", "4")])
def test_a_sweep_that_was_interrupted_is_told_of_and_its_dag_fails(tmp_path, log, status, here):
    sweep = one(tmp_path, log, result())
    done = here("close", sweep.here, "--dag-status", status)
    assert done.returncode == 1
    assert f"Sweep {sweep.here.name} (" in done.stdout
    assert done.stderr == f"the sweep did not come to its end; DAGMan's status is {status}\n"


def test_report_says_that_planning_failed_and_exits_1(tmp_path, here):
    sweep = Sweep(tmp_path)
    (sweep.here / "sweep.dag").write_text("")
    (sweep.here / "plan.failed").write_text("the collector is on fire\n")
    done = here("report", sweep.here)
    assert done.returncode == 1
    assert done.stderr == f"Sweep {sweep.here.name} has no table: planning failed: the collector is on fire\n"
    assert (sweep.here / "summary.txt").read_text() == done.stderr


def test_init_writes_settings_that_load_and_never_overwrites_them(tmp_path, no_collector):
    done = run("init", directory=tmp_path, CONDOR_CONFIG=no_collector)
    assert done.returncode == 0, done.stderr
    from sweep.config import load

    assert load(tmp_path / "sweep.toml").frameworks
    (tmp_path / "sweep.toml").write_text("mine")
    again = run("init", directory=tmp_path, CONDOR_CONFIG=no_collector)
    assert again.returncode == 3
    assert "--force" in again.stderr
    assert (tmp_path / "sweep.toml").read_text() == "mine"


def test_the_table_goes_to_a_closed_pipe_without_a_traceback(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "sweep", "report", str(sweep.here)],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert "Traceback" not in done.stderr
