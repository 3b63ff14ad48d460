"""The driver as a process: whatever the framework does, result.json says so, and is valid."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import pytest
from probe_standin import PROBE, outcomes, result_of, toy_files

from sweep.model import Rung
from sweep.probe.driver import parent, process, slot
from sweep.probe.driver.child import load_probe
from sweep.probe.pack import DRIVER, driver_archive
from sweep.sandbox import gpu_discovery

TUPLE = "pytorch-2.5-cuda12.4-sm80"
P, F, S = "passed", "failed", "skipped"
RUNGS = list(Rung)


def ladder(rung: str, outcome: str = F) -> list[str]:
    """The outcomes where a rung is the first that does not pass."""
    reached = RUNGS.index(Rung(rung))
    return [P] * reached + [outcome] + [S] * (len(RUNGS) - reached - 1)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job's directory, and beside it the site-packages of its environment."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / DRIVER).write_bytes(driver_archive())
    for name in ("pytorch.py", "tensorflow.py", "jax.py"):
        shutil.copy(PROBE / name, scratch)
    for name, content in toy_files().items():
        path = tmp_path / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return scratch


def command(framework: str, limit: float, speed: float = 0) -> list[str]:
    options = f"--result result.json --tuple {TUPLE} --probe {framework}.py --capability 8.0 --limit {limit}"
    return [sys.executable, "-s", "-B", DRIVER, *options.split(), "--speed-limit", str(speed)]


def environment(job: Path, misbehave: str, **more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(job.parent / "site"), "MISBEHAVE": misbehave, **more}


def drive(
    job: Path, misbehave: str = "", *, framework: str = "pytorch", limit: float = 60, speed: float = 0, **more: str
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command(framework, limit, speed),
        cwd=job,
        env=environment(job, misbehave, **more),
        capture_output=True,
        timeout=90,
        check=False,
    )


SOURCES = [*PROBE.glob("*.py"), *PROBE.glob("driver/*.py")]


@pytest.mark.parametrize("path", sorted(SOURCES), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_parses_on_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_the_driver_is_one_file_of_the_same_bytes_each_time() -> None:
    assert driver_archive() == driver_archive()
    assert driver_archive().count(b"sweep_driver/rungs.py") == 2  # the file, and the archive's list of files


def test_all_rungs_pass(job: Path) -> None:
    done = drive(job)
    result = result_of(job / "result.json")
    assert done.returncode == 0
    assert (result.state, result.tuple) == ("done", TUPLE)
    assert [rung.rung for rung in result.rungs] == RUNGS
    assert outcomes(result) == [P] * len(RUNGS)
    assert result.rungs[RUNGS.index(Rung.KERNEL)].formats == dict.fromkeys(
        ("float32", "float16", "bfloat16", "tf32"), P
    )
    assert result.framework is not None
    assert result.framework.model_dump() == {
        "version": "9.9",
        "cuda": "12.4",
        "cudnn": "90100",
        "archs": ["sm_80"],
        "device": "Toy",
        "capability": "8.0",
    }
    assert [(step.name, step.ok) for step in result.steps] == [("probe", True)]


def pythons() -> list[str]:
    """Every Python from 3.8 to 3.14 that the machine has, beside the one of the tests."""
    found = []
    for minor in range(8, 15):
        installed = sorted((Path.home() / ".pyenv" / "versions").glob(f"3.{minor}.*/bin/python"))
        named = shutil.which(f"python3.{minor}")
        if installed or named:
            found.append(str(installed[-1] if installed else named))
    return found or [sys.executable]


@pytest.mark.parametrize("python", pythons())
def test_the_ladder_is_climbed_on_every_python_of_the_machine(job: Path, python: str) -> None:
    options = command("pytorch", 60, 30)[1:]
    done = subprocess.run([python, *options], cwd=job, env=environment(job, ""), capture_output=True, check=False)
    result = result_of(job / "result.json")
    assert (done.returncode, outcomes(result)) == (0, [P] * len(RUNGS)), done.stderr
    assert len(result.speed) == 3


def test_keeps_what_the_wrapper_wrote(job: Path) -> None:
    before = {
        "schema": "sweep.result/1",
        "tuple": TUPLE,
        "state": "running",
        "started": 5.0,
        "node": {"hostname": "n1", "driver": "550.54.15"},
        "steps": [{"name": "install", "ok": True, "seconds": 1.5}],
    }
    (job / "result.json").write_text(json.dumps(before) + "\n")
    drive(job)
    result = result_of(job / "result.json")
    assert (result.started, result.node.hostname) == (5.0, "n1")
    assert result.ended is not None and result.ended > 5.0
    assert (result.steps[0].name, result.steps[0].seconds) == ("install", 1.5)


@pytest.mark.parametrize(
    ("misbehave", "exception", "words"),
    [
        ("import:error", "RuntimeError", "libcudart.so.12"),
        ("import:sysexit", "SystemExit", "leaving"),
        ("cuda-build:cpu", "CpuBuild", "no CUDA"),
        ("device:error", "RuntimeError", "no kernel image"),
        ("copy:error", "RuntimeError", "no kernel image"),
        ("kernel:wrong", "WrongResult", "matrix product: element [5][7]"),
        ("kernel:unwritten", "WrongResult", "[5][7] is nan"),
        ("kernel:zeros", "WrongResult", "matrix product"),
        ("kernel:type", "WrongResult", "of type float64 instead of float32"),
        ("kernel:shape", "WrongResult", "not a 64 x 64 matrix"),
        ("kernel:half", "RuntimeError", "CUBLAS_STATUS_EXECUTION_FAILED\nin float16"),
        ("kernel:wrong-half", "WrongResult", "matrix product in bfloat16: element [5][7]"),
        ("kernel:exit", "Exited", "exit code 3"),
        ("library:error", "RuntimeError", "no kernel image"),
        ("gradient:wrong", "WrongResult", "step along the gradient: element [0][0]"),
        ("gradient:error", "RuntimeError", "no kernel image"),
        ("jit:error", "RuntimeError", "no kernel image"),
        ("jit:long", "RuntimeError", "xxx"),
    ],
)
def test_a_failing_rung(job: Path, misbehave: str, exception: str, words: str) -> None:
    done = drive(job, misbehave)
    result = result_of(job / "result.json")
    rung = misbehave.partition(":")[0]
    assert (done.returncode, result.state) == (0, "done")
    assert outcomes(result) == ladder(rung)
    failed = result.rungs[RUNGS.index(Rung(rung))]
    assert failed.exception == exception
    assert words in (failed.message or "")


def test_a_number_format_that_the_gpu_lacks_is_skipped(job: Path) -> None:
    options = [part.replace("8.0", "7.5") for part in command("pytorch", 60)]
    toy = job.parent / "site" / "torch" / "__init__.py"
    toy.write_text(toy.read_text().replace("else (8, 0)", "else (7, 5)"))
    subprocess.run(options, cwd=job, env=environment(job, "kernel:wrong-half"), check=True, capture_output=True)
    result = result_of(job / "result.json")
    assert outcomes(result) == [P] * len(RUNGS)
    skipped = "skipped: needs capability 8.0"
    formats = result.rungs[RUNGS.index(Rung.KERNEL)].formats
    assert formats == {"float32": P, "float16": P, "bfloat16": skipped, "tf32": skipped}


@pytest.mark.parametrize(
    ("misbehave", "lacking", "words"),
    [
        ("no-half", "float16", "\"addmm_impl_cpu_\" not implemented for 'Half'"),
        ("no-bfloat16", "bfloat16", "_th_mm not supported on CUDAType for BFloat16"),
        ("cublas-lacks-half", "float16", "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx(...)`"),
        ("unimplemented", "bfloat16", "no such thing"),
    ],
)
def test_a_number_format_that_the_framework_lacks_is_skipped(
    job: Path, misbehave: str, lacking: str, words: str
) -> None:
    drive(job, f"kernel:{misbehave}")
    result = result_of(job / "result.json")
    assert outcomes(result) == [P] * len(RUNGS)
    formats = result.rungs[RUNGS.index(Rung.KERNEL)].formats
    said = f"skipped: the framework has no such operation: {words}"
    assert formats == {**dict.fromkeys(("float32", "float16", "bfloat16", "tf32"), P), lacking: said}


def test_a_rung_that_a_number_format_failed_tells_what_became_of_the_others(job: Path) -> None:
    drive(job, "kernel:wrong-half")
    formats = result_of(job / "result.json").rungs[RUNGS.index(Rung.KERNEL)].formats
    assert formats == {"float32": P, "float16": P, "bfloat16": F}


def test_a_rung_that_the_framework_has_nothing_for_is_skipped_with_the_reason(job: Path) -> None:
    with (job / "pytorch.py").open("a") as probe:
        probe.write('\nLACKS = {"gradient": "no derivatives here"}\n')
    drive(job, "gradient:error")
    result = result_of(job / "result.json")
    assert outcomes(result) == [S if rung is Rung.GRADIENT else P for rung in RUNGS]
    assert result.rungs[RUNGS.index(Rung.GRADIENT)].message == "no derivatives here"


@pytest.mark.parametrize(
    ("misbehave", "devices", "expected", "words"),
    [
        ("device:capability", "1", ladder("device"), "the device has compute capability 7.5"),
        ("", "2", ladder("device"), "the framework sees 2 devices instead of one"),
        ("kernel:killed", "1", ladder("kernel", "crashed"), "killed by SIGKILL (rule killed-from-outside)"),
        ("import:killed", "1", ladder("import", "crashed"), "killed by SIGKILL (rule killed-from-outside)"),
        ("import:old-cpu", "1", ladder("import", "crashed"), "killed by SIGILL (rule cpu-too-old)"),
        ("import:lost-file", "1", ladder("import", "crashed"), "killed by SIGBUS (rule file-lost-at-import)"),
        ("kernel:last-words", "1", ladder("kernel", "crashed"), "killed by SIGABRT (rule gpu-uncorrectable-ecc)"),
        ("library:ecc", "1", ladder("library"), "ECC error encountered (rule gpu-uncorrectable-ecc)"),
    ],
)
def test_what_is_this_machines_doing_is_tried_elsewhere(
    job: Path, misbehave: str, devices: str, expected: list[str], words: str
) -> None:
    done = drive(job, misbehave, DEVICES=devices)
    result = result_of(job / "result.json")
    assert (done.returncode, result.state) == (75, "running")
    assert outcomes(result) == expected
    assert (result.steps[-1].name, result.steps[-1].ok, result.steps[-1].kind) == ("probe", False, "elsewhere")
    assert words in (result.steps[-1].message or "")


@pytest.mark.parametrize(("misbehave", "number"), [("jit:killed", signal.SIGKILL), ("kernel:old-cpu", signal.SIGILL)])
def test_a_signal_that_says_something_of_the_framework_is_a_verdict(job: Path, misbehave: str, number: int) -> None:
    """Kernels have run before the compiler is killed; and a CPU that could import is not too old for the rest."""
    done = drive(job, misbehave)
    result = result_of(job / "result.json")
    rung = result.rungs[RUNGS.index(Rung(misbehave.partition(":")[0]))]
    assert (done.returncode, result.state) == (0, "done")
    assert (rung.outcome, rung.signal) == ("crashed", number)


def test_no_device(job: Path) -> None:
    drive(job, DEVICES="0", CUDA_VISIBLE_DEVICES="GPU-abc")
    rung = result_of(job / "result.json").rungs[2]
    assert rung.exception == "NoDevice"
    assert "GPU-abc" in (rung.message or "")


@pytest.mark.parametrize("rung", RUNGS)
def test_a_crash_is_recorded_with_its_signal_on_every_rung(job: Path, rung: Rung) -> None:
    done = drive(job, f"{rung}:segv")
    result = result_of(job / "result.json")
    assert (done.returncode, result.state) == (0, "done")
    assert outcomes(result) == ladder(rung, "crashed")
    assert result.rungs[RUNGS.index(rung)].signal == signal.SIGSEGV


@pytest.mark.parametrize("how", ["hang", "close", "flood"])
@pytest.mark.parametrize("rung", ["import", "kernel", "gradient"])
def test_a_rung_that_does_not_end_is_ended_at_its_limit(job: Path, rung: str, how: str) -> None:
    """A verdict where a device is in use; before that it is the machine's disk or network."""
    done = drive(job, f"{rung}:{how}", limit=4)
    result = result_of(job / "result.json")
    assert (done.returncode, result.state) == ((75, "running") if rung == "import" else (0, "done"))
    assert outcomes(result) == ladder(rung, "hung")
    hung = result.rungs[RUNGS.index(Rung(rung))]
    assert hung.message == "the rung had not ended when a rung's 2 s had passed"
    assert 2 <= hung.seconds < 4
    assert len(done.stderr) < 5 * 2**20


def test_garbage_on_stderr(job: Path) -> None:
    done = drive(job, "copy:garbage")
    result = result_of(job / "result.json")
    assert (done.returncode, outcomes(result)[3]) == (0, F)
    assert len(result.stderr) > 10000
    assert bytes(range(256)) * 200 in done.stderr  # passed on as it was
    assert result.rungs[3].message is not None and "\u00e9" in result.rungs[3].message


def test_interrupted_from_outside(job: Path) -> None:
    with subprocess.Popen(
        command("pytorch", 60), cwd=job, env=environment(job, "kernel:hang"), stderr=subprocess.DEVNULL
    ) as process:
        for _ in range(300):
            time.sleep(0.1)
            if (job / "result.json").exists() and '"kernel"' in (job / "result.json").read_text():
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 75
    result = result_of(job / "result.json")
    assert result.state == "running"
    assert outcomes(result) == [P, P, P, P, "running"]
    assert (result.steps[-1].ok, result.steps[-1].kind) == (False, "killed")
    assert "SIGTERM" in (result.steps[-1].message or "")


def test_a_probe_file_that_does_not_load_is_no_verdict(job: Path) -> None:
    (job / "pytorch.py").write_text("raise RuntimeError('half a file')\n")
    assert drive(job).returncode == 75
    result = result_of(job / "result.json")
    assert (result.state, result.rungs) == ("running", [])
    assert (result.steps[-1].name, result.steps[-1].kind) == ("probe", "other")


def test_a_probe_file_without_all_of_its_parts_is_no_verdict(job: Path) -> None:
    with (job / "pytorch.py").open("a") as probe:
        probe.write("\ndel bench, LACKS\n")
    done = drive(job)
    assert (done.returncode, result_of(job / "result.json").rungs) == (75, [])
    assert b"is no whole probe: it lacks LACKS, bench" in done.stderr


@pytest.mark.parametrize("framework", ["tensorflow", "jax"])
def test_the_probe_file_does_not_shadow_its_framework(job: Path, framework: str) -> None:
    (job.parent / "site" / f"{framework}.py").write_text("raise ImportError('the real one')\n")
    drive(job, framework=framework)
    rung = result_of(job / "result.json").rungs[0]
    assert (rung.exception, rung.message) == ("ImportError", "the real one")


AD = """\
Machine = "n1.example.org"
AssignedGPUs = "GPU-c2a78e7f"
AvailableGPUs = { GPUs_GPU_c2a78e7f }
GPUs_DriverVersion = 12.8
GPUs_GPU_c2a78e7f = [ Id = "GPU-c2a78e7f"; Capability = 9.0; DeviceName = "NVIDIA \\"H100\\"; [80GB]"; \
DeviceUuid = "c2a78e7f-0000-1111-2222-333344445555"; NvidiaDriver = "570.86.15"; DriverVersion = 12.8; \
GlobalMemoryMb = 81079; MaxSupportedVersion = 12080 ]
GPUs_GPU_ffffffff = [ Id = "GPU-ffffffff"; Capability = 3.5 ]
"""


def test_the_slots_own_device_is_recorded(job: Path) -> None:
    (job / ".machine.ad").write_text(AD)
    drive(job, _CONDOR_MACHINE_AD=str(job / ".machine.ad"))
    node = result_of(job / "result.json").node
    assert [device.model_dump() for device in node.devices] == [
        {
            "uuid": "GPU-c2a78e7f-0000-1111-2222-333344445555",
            "name": 'NVIDIA "H100"; [80GB]',
            "capability": "9.0",
            "memory_mb": 81079,
            "runtime": "12.8",
            "driver": "570.86.15",
        }
    ]
    assert node.driver == "570.86.15"


def test_ads_that_say_little() -> None:
    assert slot.devices_of_ad("") == []
    assert slot.devices_of_ad("AssignedGPUs = undefined\nGPUs_GPU_1 = [ broken") == []
    (bare,) = slot.devices_of_ad('AssignedGPUs = "GPU-1"\nGPUs_GPU_1 = [ Id = "GPU-1"; Capability = undefined ]')
    assert (bare["uuid"], bare["capability"], bare["runtime"]) == ("GPU-1", None, None)
    (flat,) = slot.devices_of_ad('AssignedGPUs = "GPU-1"\nGPUs_DeviceName = "T4"\nGPUs_MaxSupportedVersion = 11040')
    assert (flat["name"], flat["runtime"]) == ("T4", "11.4")


# --------------------------------------------------------------------------- a machine in trouble


def test_the_sandboxs_devices_are_known_by_their_mark() -> None:
    assert gpu_discovery.MARK == slot.SIMULATED
    for devices, real in (([], False), (["H100"], True), (["H100" + gpu_discovery.MARK], False)):
        assert slot.real_devices({"devices": [{"name": name} for name in devices]}) is real


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver")
@pytest.mark.parametrize(
    ("misbehave", "name", "exit_code"),
    [
        ("device:error", "H100", 75),
        ("kernel:hang", "H100", 75),
        ("kernel:segv", "H100", 75),
        ("import:error", "H100", 0),
        ("cuda-build:cpu", "H100", 0),
        ("jit:error", "H100", 0),
        ("device:error", "H100 (simulated)", 0),
    ],
)
def test_where_the_drivers_own_library_shows_no_device_a_framework_is_not_blamed(
    job: Path, misbehave: str, name: str, exit_code: int
) -> None:
    (job / ".machine.ad").write_text(AD.replace('NVIDIA \\"H100\\"; [80GB]', name))
    done = drive(job, misbehave, limit=4, _CONDOR_MACHINE_AD=str(job / ".machine.ad"))
    result = result_of(job / "result.json")
    assert [device.name for device in result.node.devices] == [name]
    assert (done.returncode, result.state) == (exit_code, "running" if exit_code else "done")
    if exit_code:
        assert "without any framework: libcuda.so.1: cannot open" in (result.steps[-1].message or "")


def test_a_process_that_no_signal_ends_is_stuck_in_the_machines_kernel(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    monkeypatch.chdir(job)
    monkeypatch.setattr(sys, "argv", [DRIVER])
    monkeypatch.setenv("PYTHONPATH", str(job.parent / "site"))
    monkeypatch.setenv("MISBEHAVE", "gradient:hang")
    monkeypatch.setattr(parent, "handle_signals", lambda handler: None)
    monkeypatch.setattr(process, "kill", started.append)
    options = Namespace(
        result="result.json", tuple=TUPLE, probe="pytorch.py", capability="8.0", limit=4, speed_limit=0
    )
    try:
        assert parent.Parent(options).run() == 75
    finally:
        for child in started:
            child.kill()
            child.wait()
            child.stdout.close()
    result = result_of(job / "result.json")
    assert (outcomes(result), result.state) == (ladder("gradient", "hung"), "running")
    assert (result.steps[-1].kind, result.steps[-1].message) == (
        "elsewhere",
        "the probe process outlives SIGKILL: it is stuck in the kernel",
    )


# --------------------------------------------------------------------------- old versions


def test_a_pytorch_that_tells_no_architectures_has_none(job: Path) -> None:
    toy = job.parent / "site" / "torch" / "__init__.py"
    toy.write_text(toy.read_text() + "\ndel cuda.get_arch_list\n")
    drive(job)
    result = result_of(job / "result.json")
    assert outcomes(result) == [P] * len(RUNGS)
    assert result.framework is not None and result.framework.archs == []


def test_a_tensorflow_of_old_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    probe = load_probe(str(PROBE / "tensorflow.py"))
    probe.tf = SimpleNamespace(
        test=SimpleNamespace(is_built_with_cuda=lambda: True),
        sysconfig=SimpleNamespace(),
        config=SimpleNamespace(
            set_soft_device_placement=lambda wanted: None,
            list_physical_devices=lambda kind: ["the GPU"],
            experimental=SimpleNamespace(),
        ),
        function=lambda function, experimental_compile: (function, experimental_compile),
    )
    assert probe.cuda_build() == {"cuda": None, "cudnn": None, "archs": []}
    assert probe.device() == {"count": 1, "device": None, "capability": None}
    assert probe._compiled(abs) == (abs, True)


# --------------------------------------------------------------------------- a bare node


def test_a_probe_needs_no_home_no_variables_and_no_place_to_write_but_its_own(job: Path) -> None:
    """Neither does it leave anything beside its work directory and the result."""
    site = job.parent / "site"
    for directory in (site, *site.rglob("*")):
        directory.chmod(0o555 if directory.is_dir() else 0o444)
    before = {path.name for path in job.iterdir()}
    bare = {"PYTHONPATH": str(site), "MISBEHAVE": "", "TMPDIR": "/nowhere"}
    done = subprocess.run(command("pytorch", 60, 30), cwd=job, env=bare, capture_output=True, check=False)
    result = result_of(job / "result.json")
    assert (done.returncode, outcomes(result)) == (0, [P] * len(RUNGS)), done.stderr
    assert {path.name for path in job.iterdir()} - before == {"result.json", "work"}
    assert result.node.visible_form == "unset"


def test_what_a_framework_may_write_lies_in_the_jobs_own_directory(job: Path) -> None:
    with (job / "pytorch.py").open("a") as probe:
        probe.write("\n_load = load\ndef load():\n    print(sorted(os.environ.items()))\n    return _load()\n")
    drive(job, HOME="/nowhere", CUDA_CACHE_PATH="/nowhere")
    said = result_of(job / "result.json").stderr
    for name in ("HOME", "XDG_CACHE_HOME", "CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        assert f"('{name}', '{job}/work/" in said


# --------------------------------------------------------------------------- speed


def test_the_speed_is_measured_after_a_ladder_of_which_at_most_the_compiler_broke(job: Path) -> None:
    drive(job, "jit:error", speed=30)
    result = result_of(job / "result.json")
    assert [(step.name, step.ok) for step in result.steps] == [("probe", True), ("speed", True)]
    assert [each.metric for each in result.speed] == ["matmul_tflops", "conv_tflops", "train_samples_per_s"]
    for each in result.speed:
        assert each.value > 0 and each.cpu > 0
        assert each.ratio == pytest.approx(each.value / each.cpu, rel=1e-2)


@pytest.mark.parametrize(
    ("misbehave", "kind", "measured"),
    [
        ("speed:segv", "other", 0),
        ("speed:hang", "timeout", 0),
        ("speed:exit", "other", 0),
        ("speed:flood", "timeout", 0),
    ],
)
def test_nothing_that_happens_while_measuring_changes_the_verdict(
    job: Path, misbehave: str, kind: str, measured: int
) -> None:
    done = drive(job, misbehave, speed=2)
    result = result_of(job / "result.json")
    assert (done.returncode, result.state, outcomes(result)) == (0, "done", [P] * len(RUNGS))
    assert (result.steps[-1].name, result.steps[-1].ok, result.steps[-1].kind) == ("speed", False, kind)
    assert len(result.speed) == measured


def test_what_cannot_be_measured_is_left_out_and_says_why(job: Path) -> None:
    done = drive(job, "speed:error", speed=30)
    result = result_of(job / "result.json")
    assert (result.steps[-1].ok, result.speed) == (True, [])
    assert "speed: matmul: RuntimeError: CUDA error: no kernel image" in done.stderr.decode()
    assert "speed" not in result.stderr  # which is what explains the ladder, and nothing else


def test_a_job_that_is_told_to_go_while_measuring_keeps_its_verdict(job: Path) -> None:
    with subprocess.Popen(
        command("pytorch", 60, 60), cwd=job, env=environment(job, "speed:hang"), stderr=subprocess.DEVNULL
    ) as process:
        for _ in range(300):
            time.sleep(0.1)
            if (job / "result.json").exists() and '"done"' in (job / "result.json").read_text():
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert result_of(job / "result.json").state == "done"


@pytest.mark.parametrize("misbehave", ["kernel:wrong", "library:error", "gradient:segv"])
def test_where_anything_else_broke_nothing_is_measured(job: Path, misbehave: str) -> None:
    drive(job, misbehave, speed=30)
    result = result_of(job / "result.json")
    assert ([step.name for step in result.steps], result.speed) == (["probe"], [])
