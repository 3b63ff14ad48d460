"""install_wheels.py and the job's wrapper around it: a requirements.txt installs as locked, or says why not."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from planning import served, settings_of
from probe_standin import PROBE, TORCH, result_of
from uv import find_uv_bin
from wheelhouse import add_wheel

from sweep import payload, render
from sweep.config import load
from sweep.model import Source
from sweep.probe.pack import DRIVER, driver_archive
from sweep.sandbox.channel import STANDINS
from sweep.schema import ProbeResult, StepRecord
from sweep.wheels import Demand, Index, Locked

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
TUPLE = "pytorch-2.5-cuda12.4-sm80"


class Job:
    """A job's scratch directory as HTCondor would fill it, and the index that the lock was made from."""

    def __init__(self, root: Path, index: Path, url: str) -> None:
        self.index = index
        self.scratch = root / "scratch"
        self.scratch.mkdir()
        simgpu = {f"torch/_simgpu/{p.name}": p.read_text() for p in (STANDINS / "_simgpu").glob("*.py")}
        add_wheel(index, "torch", "2.5.1", ["helper"], {"torch/__init__.py": TORCH, **simgpu})
        self.helper = add_wheel(index, "helper", "1.0")
        demand = Demand(("torch==2.5.*",), HERE, "x86_64-manylinux_2_28")
        (answer,) = Index(url, root / "cache").lock_all({"lock": demand}, root).values()
        assert isinstance(answer, Locked)
        self.lock = answer.text
        (self.scratch / "requirements.txt").write_text(self.lock)
        for name in ("install_wheels.py", "pytorch.py", "run_payload.py"):
            shutil.copy(PROBE / name, self.scratch)
        (self.scratch / "uv").symlink_to(find_uv_bin())
        (self.scratch / DRIVER).write_bytes(driver_archive())
        self.render(root)

    def render(self, root: Path, installer: str = "uv", more: str = "") -> None:
        text = f'source = "pip"\n[pip]\npython = "{sys.executable}"\ninstaller = "{installer}"\n{more}'
        settings = settings_of(root, text.replace('"pip"\n', f'"pip"\npython = "{HERE}"\n', 1))
        (self.scratch / "job.sh").write_text(render.job_script(settings, Source.PIP))

    def install(self, installer: str = "uv", python: str = sys.executable) -> tuple[int, str]:
        """The installer's script by itself: its exit code, and the last line that it says."""
        words = ["install_wheels.py", "requirements.txt", "env", "pkgs", installer]
        done = subprocess.run([python, *words], cwd=self.scratch, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr.strip().splitlines()[-1]

    def run(self, *, ended_before: int = 0, python: str = sys.executable) -> tuple[int, ProbeResult]:
        """The whole job, by its wrapper; `ended_before` is the exit code of its last attempt."""
        ad = self.scratch / ".job.ad"
        ad.write_text(f"ExitCode = {ended_before}\n")
        places = {"_CONDOR_SCRATCH_DIR": str(self.scratch), "_CONDOR_JOB_AD": str(ad)}
        done = subprocess.run(
            ["sh", "job.sh", TUPLE, "pytorch", "12.4", "8.0", python],
            cwd=self.scratch,
            env={**os.environ, **places},
            capture_output=True,
            timeout=120,
        )
        return done.returncode, result_of(self.scratch / "result.json")

    def left(self) -> set[str]:
        return {p.name for p in self.scratch.iterdir() if p.is_dir() or p.name.startswith("install.")}


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    index = tmp_path / "simple"
    index.mkdir()
    with served(index) as url:
        yield Job(tmp_path, index, url)


def install_step(result: ProbeResult) -> StepRecord:
    return next(step for step in result.steps if step.name == "install")


# --------------------------------------------------------------------------- the script by itself


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_what_is_locked_is_installed_and_nothing_else(job: Job, installer: str) -> None:
    assert job.install(installer) == (0, "2 packages installed")
    python = job.scratch / "env/bin/python"
    done = subprocess.run(
        [python, "-c", "import helper, torch; print(helper.version)"], capture_output=True, text=True
    )
    assert done.stdout == "1.0\n", done.stderr
    site = job.scratch / f"env/lib/python{HERE}/site-packages"
    assert sorted(p.name for p in site.glob("*.dist-info")) == ["helper-1.0.dist-info", "torch-2.5.1.dist-info"]


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_wheel_that_is_another_one_now(job: Job, installer: str) -> None:
    page = job.helper.parent / "index.html"
    before = page.read_text()
    add_wheel(job.index, "helper", "1.0", files={"helper.py": "evil = True\n"})
    page.write_text(re.sub("#sha256=[0-9a-f]*", "", before))  # an index need not say hashes
    code, said = job.install(installer)
    assert (code, said.split(":")[0]) == (10, "checksum"), said
    assert not (job.scratch / "env").exists()


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_wheel_that_is_gone(job: Job, installer: str) -> None:
    job.helper.unlink()
    code, said = job.install(installer)
    assert (code, said.split(":")[0]) == (12, "missing"), said


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_version_that_the_index_no_longer_lists(job: Job, installer: str) -> None:
    job.helper.unlink()
    add_wheel(job.index, "helper", "2.0")
    code, said = job.install(installer)
    assert (code, said.split(":")[0]) == (12, "missing"), said


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_machine_that_is_older_than_the_lock_says_nothing_about_it(job: Job, installer: str) -> None:
    job.helper.unlink()
    add_wheel(job.index, "helper", "0.9")
    add_wheel(job.index, "helper", "1.0", tag="py3-none-manylinux_2_99_x86_64")
    lock = job.scratch / "requirements.txt"
    lock.write_text(lock.read_text().replace("manylinux_2_28", "manylinux_2_99"))
    code, said = job.install(installer)
    assert (code, said) == (16, f"other: {installer} ended with code 1")


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_damaged_archive(job: Job, installer: str) -> None:
    lock, good = job.scratch / "requirements.txt", job.helper.read_bytes()
    job.helper.write_bytes(good[:40])
    old, new = (hashlib.sha256(each).hexdigest() for each in (good, job.helper.read_bytes()))
    for path in (lock, job.helper.parent / "index.html"):
        path.write_text(path.read_text().replace(old, new))
    code, said = job.install(installer)
    assert (code, said.split(":")[0]) == (11, "corrupt"), said


@pytest.mark.parametrize(
    "ending",
    [
        "echo 'Downloading helper.whl (404 kB)'; echo 'ERROR: OSError: [Errno 5] Input/output error'",
        "echo 'Collecting zipp'; kill -KILL $$",
        "echo 'Collecting zipp'; echo 'error: something new'",
        "echo 'error: Failed to extract archive'; echo '  cause: Input/output error (os error 5)'",
    ],
)
def test_what_fails_on_the_node_is_not_told_by_progress(job: Job, ending: str) -> None:
    script = job.scratch / "uv"
    script.unlink()
    script.write_text(f"#!/bin/sh\n{ending}\nexit 1\n")
    script.chmod(0o755)
    code, said = job.install()
    assert (code, said.split(":")[0]) == (16, "other"), said


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_an_index_that_is_away(tmp_path: Path, installer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = tmp_path / "simple"
    index.mkdir()
    with served(index) as url:
        job = Job(tmp_path, index, url)
    code, said = job.install(installer)
    assert (code, said.split(":")[0]) == (14, "network"), said


def test_packages_that_nobody_locked_are_counted(job: Job) -> None:
    lock = job.scratch / "requirements.txt"
    script = job.scratch / "uv"
    real = script.readlink()
    script.unlink()
    script.write_text(
        f'#!/bin/sh\n{real} "$@" || exit\nmkdir -p env/lib/python{HERE}/site-packages/extra-1.0.dist-info\n'
    )
    script.chmod(0o755)
    code, said = job.install()
    assert (code, said) == (13, "count: 3 packages are installed, the lock has 2; not in both: extra")
    assert lock.is_file()


def test_a_python_that_the_lock_is_not_for(job: Job) -> None:
    lock = job.scratch / "requirements.txt"
    lock.write_text(lock.read_text().replace(f"# For Python {HERE}", "# For Python 3.99"))
    code, said = job.install()
    assert (code, said) == (16, f"other: {sys.executable} is Python {HERE}, the lock is for 3.99")


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        ("helper==1.0\n", "not a pinned package with a hash: 'helper==1.0'"),
        ("helper>=1.0 --hash=sha256:" + "0" * 64 + "\n", "not a pinned package with a hash"),
        ("git+https://a.example/x.git\n", "not a pinned package with a hash"),
        ("# nothing\n--index-url http://127.0.0.1:1\n", "lists no packages"),
        (None, "cannot be read"),
    ],
)
def test_a_lock_that_is_none(job: Job, lock: str | None, words: str) -> None:
    path = job.scratch / "requirements.txt"
    path.unlink() if lock is None else path.write_text(lock)
    code, said = job.install()
    assert code == 16
    assert words in said


# --------------------------------------------------------------------------- the wrapper around it


def test_a_whole_job_climbs_the_ladder_in_its_environment(job: Job) -> None:
    code, result = job.run()
    assert code == 0, result
    assert [(step.name, step.ok) for step in result.steps][:2] == [("node", True), ("install", True)]
    assert result.state == "done"
    assert result.rungs[0].outcome == "passed", result.rungs[0]
    assert job.left() == set()


def test_a_wrong_wheel_is_tried_on_another_machine_and_then_a_verdict(job: Job) -> None:
    page = job.helper.parent / "index.html"
    before = page.read_text()
    add_wheel(job.index, "helper", "1.0", files={"helper.py": "evil = True\n"})
    page.write_text(re.sub("#sha256=[0-9a-f]*", "", before))
    code, result = job.run()
    assert (code, result.state, install_step(result).kind) == (76, "running", "checksum")
    code, result = job.run(ended_before=76)
    assert (code, result.state, install_step(result).kind) == (0, "done", "checksum")
    assert "ash mismatch" in (install_step(result).message or "")


def test_a_missing_wheel_is_a_verdict_at_once(job: Job) -> None:
    job.helper.unlink()
    code, result = job.run()
    assert (code, result.state, install_step(result).kind) == (0, "done", "missing")
    assert job.left() == set()


def test_a_node_without_that_python_is_no_verdict(job: Job) -> None:
    script = job.scratch / "job.sh"
    script.write_text(script.read_text().replace("node_python=$5", "node_python=/nowhere/python3.11"))
    code, result = job.run()
    assert (code, install_step(result).kind) == (75, "other")
    assert "/nowhere/python3.11" in (install_step(result).message or "")


def test_no_lock_is_no_verdict(job: Job) -> None:
    (job.scratch / "requirements.txt").unlink()
    code, result = job.run()
    assert (code, install_step(result).message) == (75, "requirements.txt is not there: was it transferred?")


# --------------------------------------------------------------------------- payloads, and container images


PAYLOAD = """
[payload]
command = "python -c 'import torch; print(torch.__version__)'; exit 3"
timeout = "60s"
instead_of_probe = {}
"""


@pytest.mark.parametrize("instead", ["false", "true"])
def test_a_payload_runs_in_the_environment(job: Job, tmp_path: Path, instead: str) -> None:
    job.render(tmp_path, more=PAYLOAD.format(instead))
    settings = load(tmp_path / "sweep.toml")
    assert settings.payload is not None
    payload.prepare(settings.payload, job.scratch)
    code, result = job.run()
    assert (code, result.state) == (0, "done")
    found = payload.read(job.scratch, TUPLE)
    assert found is not None
    assert (found.ended, found.exit_code) == ("exited", 3)
    assert (job.scratch / "payload.out").read_text() == "9.9\n"
    steps = [step.name for step in result.steps]
    if instead == "true":
        assert (steps, result.rungs) == (["node", "install", "payload"], [])
    else:
        assert "payload" not in steps
        assert {rung.rung: rung.outcome for rung in result.rungs}["kernel"] == "passed"
    assert job.left() == set()


def test_a_payload_whose_runner_dies_has_not_passed(job: Job, tmp_path: Path) -> None:
    job.render(tmp_path, more=PAYLOAD.format("false"))
    (job.scratch / "run_payload.py").write_text("import sys\nsys.exit(9)\n")
    assert job.run()[0] == 0
    found = payload.read(job.scratch, TUPLE)
    assert found is not None
    assert (found.passed, found.ended, found.note) == (
        False,
        "interrupted",
        "its runner ended with code 9; see job.err",
    )


def test_what_is_to_be_returned_is_there_although_nothing_ran(job: Job, tmp_path: Path) -> None:
    job.render(tmp_path, more=PAYLOAD.format("false"))
    job.helper.unlink()
    assert job.run()[0] == 0
    for name in payload.RETURNED:
        assert (job.scratch / name).read_bytes() == b""


def test_in_a_container_image_nothing_is_installed(job: Job, tmp_path: Path) -> None:
    """There is no engine here: the script runs beside an environment that stands for the image."""
    assert job.install()[0] == 0
    (job.scratch / "env").rename(tmp_path / "image")
    image = '[{ version = "2.5", cuda = "12.4", image = "/a.sif" }]'
    settings = settings_of(tmp_path, f'source = "container"\nimages = {image}\n')
    (job.scratch / "job.sh").write_text(render.job_script(settings, Source.CONTAINER))
    code, result = job.run(python=str(tmp_path / "image/bin/python"))
    assert (code, result.state) == (0, "done")
    assert "install" not in [step.name for step in result.steps]
    assert {rung.rung: rung.outcome for rung in result.rungs}["kernel"] == "passed"
