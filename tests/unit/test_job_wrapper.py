"""The rendered job.sh as a process, with a channel of two small packages: result.json is right however it ends."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from probe_standin import PROBE, ROOT, TORCH, outcomes, result_of, toy_files

from sweep.model import Rung
from sweep.probe.pack import DRIVER, driver_archive
from sweep.schema import ProbeResult, StepRecord
from sweep.settings import DownloadSettings

TUPLE = "pytorch-2.5-cuda12.4-sm80"
SHELLS = [words for words in (["dash"], ["busybox", "sh"], ["bash", "--posix"]) if shutil.which(words[0])]
SITE = "lib/python3.12/site-packages"
PYTHON = f"""#!/bin/sh
prefix=$(cd "$(dirname "$0")/.." && pwd)
PYTHONPATH=$prefix/{SITE} exec {sys.executable} "$@"
"""


def package(channel: Path, name: str, files: dict[str, tuple[bytes, int]]) -> str:
    """Write a package of the old format; its line of an explicit lock."""
    subdir = channel / "linux-64"
    subdir.mkdir(parents=True, exist_ok=True)
    index = {"name": name, "version": "1.0", "build": "0", "build_number": 0, "depends": [], "subdir": "linux-64"}
    paths = [
        {
            "_path": path,
            "path_type": "hardlink",
            "sha256": hashlib.sha256(data).hexdigest(),
            "size_in_bytes": len(data),
        }
        for path, (data, _) in files.items()
    ]
    info = {
        "info/index.json": (json.dumps(index).encode(), 0o644),
        "info/paths.json": (json.dumps({"paths": paths, "paths_version": 1}).encode(), 0o644),
    }
    target = subdir / f"{name}-1.0-0.tar.bz2"
    with tarfile.open(target, "w:bz2") as archive:
        for path, (data, mode) in {**info, **files}.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(data), mode
            archive.addfile(member, io.BytesIO(data))
    return f"{target.as_uri()}#{hashlib.md5(target.read_bytes()).hexdigest()}"


class Job:
    """A job's scratch directory, as HTCondor would fill it."""

    def __init__(self, root: Path) -> None:
        self.channel = root / "channel"
        self.scratch = root / "scratch"
        self.scratch.mkdir(exist_ok=True)
        (self.scratch / DRIVER).write_bytes(driver_archive())
        for name in ("pytorch.py", "install_rattler.py"):
            shutil.copy(PROBE / name, self.scratch)
        self.lines = [
            package(self.channel, "python", {"bin/python": (PYTHON.encode(), 0o755)}),
            package(
                self.channel,
                "pytorch",
                {
                    **{f"{SITE}/{path}": (content, 0o644) for path, content in toy_files().items()},
                    "etc/conda/activate.d/a.sh": (b"export ACTIVATED=+a\n", 0o644),
                    "etc/conda/activate.d/b.sh": (b"this (is not sh\n", 0o644),
                },
            ),
        ]
        self.lock()
        self.render("rattler")

    def lock(self) -> None:
        (self.scratch / "explicit.txt").write_text("\n".join(["# a comment", "@EXPLICIT", *self.lines]) + "\n")

    def render(self, installer: str, *, install_limit: int = 60, probe_limit: int = 60, **downloads: Any) -> None:
        templates = Environment(
            loader=FileSystemLoader(ROOT / "templates"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
        )
        text = templates.get_template("job.sh.j2").render(
            source="conda",
            payload=None,
            installer=installer,
            installer_python=sys.executable if installer == "rattler" else "",
            install_limit=install_limit,
            probe_limit=probe_limit,
            downloads=DownloadSettings(**downloads),
        )
        (self.scratch / "job.sh").write_text(text)

    def micromamba(self, script: str, **limits: Any) -> None:
        """A shell script in micromamba's place; the matter is what the wrapper does with its code and messages."""
        target = self.scratch / "micromamba"
        target.write_text("#!/bin/sh\n" + script)
        target.chmod(0o755)
        self.render("micromamba", **limits)

    def start(self, shell: list[str], **environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # Tests in the background, or under nohup, have signals ignored, and a shell cannot trap those.
            ["env", "--default-signal=INT,HUP,QUIT,TERM", *shell, "job.sh", TUPLE, "pytorch", "12.4", "8.0"],
            cwd=self.scratch,
            env={**os.environ, "_CONDOR_SCRATCH_DIR": str(self.scratch), **environment},
            stdout=subprocess.DEVNULL,
            stderr=(self.scratch.parent / "job.err").open("wb"),
        )

    def run(self, shell: list[str] | None = None, **environment: str) -> tuple[int, ProbeResult]:
        with self.start(shell or SHELLS[0], **environment) as process:
            code = process.wait(120)
        return code, self.result()

    def result(self) -> ProbeResult:
        return result_of(self.scratch / "result.json")

    def wait_for(self, text: str) -> None:
        for _ in range(400):
            time.sleep(0.05)
            if self.started() and text in (self.scratch / "result.json").read_text():
                return
        raise AssertionError(f"{text} never appeared in result.json")

    def started(self) -> bool:
        return (self.scratch / "result.json").exists()

    def left(self) -> set[str]:
        """What the job leaves beside its input files."""
        inputs = {DRIVER, "pytorch.py", "install_rattler.py", "explicit.txt", "job.sh", "micromamba"}
        return {path.name for path in self.scratch.iterdir()} - inputs


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def install_step(result: ProbeResult) -> StepRecord:
    (step,) = [step for step in result.steps if step.name == "install"]
    return step


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    words: list[str] = request.param
    return words


def test_works(job: Job, shell: list[str]) -> None:
    code, result = job.run(shell)
    assert (code, result.state, result.tuple) == (0, "done", TUPLE)
    assert [(step.name, step.ok) for step in result.steps] == [
        ("node", True),
        ("install", True),
        ("probe", True),
        ("speed", True),
    ]
    assert outcomes(result) == ["passed"] * len(Rung)
    assert result.framework is not None
    assert result.framework.version == "9.9+a"  # a script of activate.d ran, and one that cannot did no harm
    assert result.node.hostname == socket.gethostname()
    assert result.node.kernel == os.uname().release
    assert result.started is not None and result.ended is not None
    assert abs(time.time() - result.started) < 120 and result.ended >= result.started
    assert job.left() == {"result.json"}


def test_failing_rung_is_a_verdict(job: Job, shell: list[str]) -> None:
    code, result = job.run(shell, MISBEHAVE="kernel:segv")
    assert (code, result.state, outcomes(result)[4]) == (0, "done", "crashed")
    assert result.rungs[4].signal == signal.SIGSEGV


def test_garbage_of_the_framework(job: Job, shell: list[str]) -> None:
    code, result = job.run(shell, MISBEHAVE="copy:garbage")
    assert (code, result.state, outcomes(result)[3]) == (0, "done", "failed")


JOB_ADS = {
    "first": b"NumJobStarts = 1\nNumJobCompletions = 0\n",
    "second": b'ExitBySignal = false\nExitCode = 76\nNumJobCompletions = 1\nRequirements = "ExitCode = 75"\n',
    "network before": b'ExitCode = 75\nNumJobCompletions = 1\nRequirements = "ExitCode = 76"\n',
    "nonsense": b"ExitCode = undefined\n",
}


@pytest.mark.parametrize(
    ("what", "ad", "exit_code"),
    [
        ("missing", None, 0),
        ("checksum", None, 76),
        ("corrupt", "first", 76),
        ("checksum", "nonsense", 76),
        ("checksum", "network before", 76),
        ("checksum", "second", 0),
        ("corrupt", "second", 0),
    ],
)
def test_a_broken_package_is_a_verdict_if_the_machine_before_found_it_broken_too(
    job: Job, shell: list[str], what: str, ad: str | None, exit_code: int
) -> None:
    archive = job.channel / "linux-64" / "pytorch-1.0-0.tar.bz2"
    if what == "missing":
        archive.unlink()
    else:
        archive.write_bytes(archive.read_bytes()[:-200])
    if what == "corrupt":
        job.lines[1] = f"{archive.as_uri()}#{hashlib.md5(archive.read_bytes()).hexdigest()}"
        job.lock()
    environment = {}
    if ad is not None:
        (job.scratch.parent / "job.ad").write_bytes(JOB_ADS[ad])
        environment["_CONDOR_JOB_AD"] = str(job.scratch.parent / "job.ad")
    code, result = job.run(shell, **environment)
    step = install_step(result)
    state = "running" if exit_code else "done"
    assert (code, result.state, step.ok, step.kind) == (exit_code, state, False, what)
    assert "pytorch-1.0-0" in (step.message or "")
    assert result.rungs == []
    assert job.left() == {"result.json"}


def test_a_server_that_is_down_is_no_verdict(job: Job) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    job.lines[1] = f"http://user:secret@127.0.0.1:{port}/t/hidden/c/linux-64/pytorch-1.0-0.tar.bz2#" + "0" * 32
    job.lock()
    code, result = job.run()
    step = install_step(result)
    assert (code, result.state, step.kind) == (75, "running", "network")
    assert "secret" not in (step.message or "") and "/hidden" not in (step.message or "")


# What micromamba says, by conda-facts section 4.
MICROMAMBA = [
    ("error    libmamba File not valid: SHA256 sum doesn't match expectation '/x'", "checksum", 76),
    ("critical libmamba Download error (status 404) [http://x/pytorch]", "missing", 0),
    ("error    libmamba Error when extracting package: Could not read archive", "corrupt", 76),
    ("error    libmamba Could not connect to server", "network", 75),
    ("error    libmamba Transfer finalized, status: 503 [http://x/pytorch]", "network", 75),
    ("error    libmamba write: No space left on device", "disk-full", 75),
    ("error    libmamba something else", "other", 75),
]


@pytest.mark.parametrize(("words", "kind", "exit_code"), MICROMAMBA, ids=[kind for _, kind, _ in MICROMAMBA])
def test_what_micromamba_says(job: Job, shell: list[str], words: str, kind: str, exit_code: int) -> None:
    job.micromamba(f'mkdir -p "$6/conda-meta"; cat >&2 <<"END"\n{words}\nEND\nexit 1\n')
    code, result = job.run(shell)
    step = install_step(result)
    assert (code, step.kind) == (exit_code, kind)
    assert words in (step.message or "")
    assert result.state == ("done" if exit_code == 0 else "running")
    assert "env" not in job.left()


def test_micromambas_arguments(job: Job) -> None:
    job.micromamba(
        'echo "$MAMBA_ROOT_PREFIX|$HOME|$*" >&2\n'
        f'exec {sys.executable} install_rattler.py "$7" "$5" "$MAMBA_ROOT_PREFIX/pkgs"\n'
    )
    code, result = job.run()
    s = job.scratch
    assert (code, outcomes(result)) == (0, ["passed"] * len(Rung))
    said = (s.parent / "job.err").read_text()
    assert f"{s}/mamba|{s}/home|create -y --no-rc -p {s}/env -f explicit.txt\n" in said


def test_an_empty_environment_is_not_a_success(job: Job) -> None:
    job.micromamba('mkdir -p "$5/conda-meta"; echo "Empty environment created"; exit 0\n')
    code, result = job.run()
    assert (code, result.state, install_step(result).kind) == (0, "done", "count")


def test_an_empty_lock_is_no_verdict(job: Job) -> None:
    (job.scratch / "explicit.txt").write_text("@EXPLICIT\n")
    code, result = job.run()
    assert (code, result.state, install_step(result).kind) == (75, "running", "other")


def test_an_install_that_takes_too_long(job: Job, shell: list[str]) -> None:
    job.micromamba("exec sleep 60\n", install_limit=1)
    began = time.monotonic()
    code, result = job.run(shell)
    assert time.monotonic() - began < 15
    assert (code, result.state, install_step(result).kind) == (75, "running", "timeout")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
def test_told_to_go_while_installing(job: Job, shell: list[str], name: str) -> None:
    job.micromamba("echo begun >&2; exec sleep 60\n")
    with job.start(shell) as process:
        job.wait_for('"name": "node"')
        time.sleep(0.5)
        process.send_signal(signal.Signals[f"SIG{name}"])
        assert process.wait(10) == 75
    result = job.result()
    step = install_step(result)
    assert (result.state, step.ok, step.kind) == ("running", False, "killed")
    assert f"SIG{name}" in (step.message or "")
    assert job.left() == {"result.json"}


def test_told_to_go_while_probing(job: Job, shell: list[str]) -> None:
    with job.start(shell, MISBEHAVE="kernel:hang") as process:
        job.wait_for('"rung": "kernel"')
        process.terminate()
        assert process.wait(20) == 75
    result = job.result()
    assert (result.state, outcomes(result)) == ("running", ["passed"] * 4 + ["running"])
    assert (result.steps[-1].name, result.steps[-1].kind) == ("probe", "killed")
    assert job.left() == {"result.json"}


def test_a_hang_is_a_verdict(job: Job) -> None:
    job.render("rattler", probe_limit=3)
    code, result = job.run(MISBEHAVE="device:hang")
    assert (code, result.state, outcomes(result)[2]) == (0, "done", "hung")


def test_a_driver_that_is_killed_is_no_verdict(job: Job, shell: list[str]) -> None:
    code, result = job.run(shell, MISBEHAVE="kernel:kill-parent")
    assert (code, result.state, outcomes(result)[-1]) == (75, "running", "running")


def test_a_python_that_does_not_start_is_no_verdict(job: Job, shell: list[str]) -> None:
    job.lines[0] = package(job.channel, "python", {"bin/python": (b"#!/bin/sh\nexit 3\n", 0o755)})
    job.lock()
    code, result = job.run(shell)
    assert (code, result.state, result.rungs) == (75, "running", [])
    assert (result.steps[-1].name, result.steps[-1].kind) == ("probe", "other")
    assert "code 3" in (result.steps[-1].message or "")


def test_hostile_text_becomes_valid_json(job: Job, shell: list[str]) -> None:
    ad = job.scratch / "the.ad"
    ad.write_bytes(
        b'Machine = "a\\"b\\\\ \x01\x7f\xff\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\x80"\nName = "slot1@\t$(id)`id`"\n'
    )
    code, result = job.run(shell, _CONDOR_MACHINE_AD=str(ad), CUDA_VISIBLE_DEVICES="GPU-" + '"\\' * 400)
    assert code == 0
    machine = result.node.machine or ""
    # Control characters come through the wrapper whole, and reading shows them as replacement characters.
    raw = json.loads((job.scratch / "result.json").read_bytes())
    assert raw["node"]["machine"].startswith('a\\"b\\\\ \x01\x7f\ufffd')
    assert machine.startswith('a\\"b\\\\ \ufffd\ufffd\ufffd\u00e9\U0001f600\ufffd')
    assert result.node.slot == "slot1@\t$(id)`id`"
    assert (result.node.cuda_visible_devices or "").startswith('GPU-"\\"\\')


def test_nvidia_smi_where_there_is_one(job: Job, shell: list[str], tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    lines = ["GPU-1111-aa, NVIDIA A100, 550.54.15, 81920, 8.0", "GPU-2222-bb, Tesla T4, 550.54.15, 15360, 7.5"]
    smi = tools / "nvidia-smi"
    smi.write_text("#!/bin/sh\ncat <<END\n" + "\n".join(lines) + "\nEND\n")
    smi.chmod(0o755)
    _, result = job.run(shell, PATH=f"{tools}:{os.environ['PATH']}", CUDA_VISIBLE_DEVICES="GPU-2222")
    assert result.node.driver == "550.54.15"
    (device,) = result.node.devices
    assert (device.uuid, device.name, device.capability, device.memory_mb) == (
        "GPU-2222-bb",
        "Tesla T4",
        "7.5",
        15360,
    )


def test_few_tools(job: Job, shell: list[str], tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("mv", "rm", "mkdir", "dirname", "env", shell[0]):
        (tools / name).symlink_to(shutil.which(name) or "")
    code, result = job.run(shell, PATH=str(tools))
    assert (code, outcomes(result)) == (0, ["passed"] * len(Rung))
    assert (result.tuple, result.node.kernel) == (TUPLE, None if shell[0] != "busybox" else result.node.kernel)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no small file system can be mounted here: " + mounted.stderr.decode(errors="replace").strip())
    yield disk
    # busybox's timeout leaves a watcher behind for a second.
    for _ in range(40):
        if subprocess.run(["umount", disk], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.25)
    raise AssertionError(f"something still runs in {disk}")


def on_small_disk(disk: Path, tmp_path: Path) -> Job:
    (tmp_path / "scratch").symlink_to(disk, target_is_directory=True)
    return Job(tmp_path)


def test_a_full_disk_while_installing(small_disk: Path, tmp_path: Path, shell: list[str]) -> None:
    job = on_small_disk(small_disk, tmp_path)
    job.lines.append(package(job.channel, "big", {"lib/big": (os.urandom(8 << 20), 0o644)}))
    job.lock()
    code, result = job.run(shell)
    assert (code, result.state, install_step(result).kind) == (75, "running", "disk-full")
    assert job.left() == {"result.json"}


def test_a_full_disk_while_micromamba_installs(small_disk: Path, tmp_path: Path, shell: list[str]) -> None:
    job = on_small_disk(small_disk, tmp_path)
    job.micromamba('mkdir -p "$5"\ncat /dev/zero >"$5/big"\necho the message >&2\nexit 1\n')
    code, result = job.run(shell)
    step = install_step(result)
    assert (code, result.state, step.kind) == (75, "running", "disk-full")
    assert "the message" in (step.message or "")  # the log had its room beforehand


def test_a_disk_that_fills_up_in_the_probe(small_disk: Path, tmp_path: Path, shell: list[str]) -> None:
    job = on_small_disk(small_disk, tmp_path)
    text = TORCH.replace(
        'misbehave("import")', "import subprocess; subprocess.call('cat /dev/zero >big', shell=True)"
    )
    files = toy_files() | {"torch/__init__.py": text.encode()}
    job.lines[1] = package(job.channel, "pytorch", {f"{SITE}/{path}": (data, 0o644) for path, data in files.items()})
    job.lock()
    code, result = job.run(shell)
    assert (code, result.state, outcomes(result)) == (0, "done", ["passed"] * len(Rung))


def test_a_disk_that_is_full_from_the_start(small_disk: Path, tmp_path: Path, shell: list[str]) -> None:
    job = on_small_disk(small_disk, tmp_path)
    with (small_disk / "others").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(b"x" * 4096)
    with job.start(shell) as process:
        assert process.wait(60) == 75
    assert b"result.json cannot be written" in (tmp_path / "job.err").read_bytes()


def test_told_to_go_on_a_full_disk(small_disk: Path, tmp_path: Path, shell: list[str]) -> None:
    job = on_small_disk(small_disk, tmp_path)
    full = tmp_path / "full"
    job.micromamba(f'mkdir -p "$5"\ncat /dev/zero >"$5/big"\n: >"{full}"\nexec sleep 60\n')
    with job.start(shell) as process:
        for _ in range(400):
            time.sleep(0.05)
            if full.exists():
                break
        process.terminate()
        assert process.wait(10) == 75
    result = job.result()
    assert (result.state, install_step(result).kind) == ("running", "killed")
