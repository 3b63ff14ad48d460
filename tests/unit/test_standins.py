"""The stand-in frameworks under the real probes: each case is an environment of the channel on a simulated GPU."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rattler import Channel, Gateway, GenericVirtualPackage, MatchSpec, PackageName, Version, install, solve
from rattler.package import BuildString

import sweep
from sweep.model import Rung
from sweep.probe.pack import DRIVER, driver_archive
from sweep.sandbox.channel import STANDINS, build_channel

PROBES = Path(sweep.__file__).parent / "probe"
RUNGS = [rung.value for rung in Rung]
SPECS = {
    "pytorch": ("pytorch {v}.*", "cuda-version {c}.*"),
    "tensorflow": ("tensorflow {v}.*", "cuda-version {c}.*"),
    "jax": ("jax {v}.*", "jaxlib {v}.*", "cuda-version {c}.*"),
}


@dataclass(frozen=True)
class Gpu:
    name: str
    capability: str
    runtime: int
    driver: str
    memory_mb: int


K40 = Gpu("Tesla K40m", "3.5", 11040, "470.256.02", 11441)
P100 = Gpu("Tesla P100-PCIE-16GB", "6.0", 12040, "550.54.15", 16276)
V100 = Gpu("Tesla V100-SXM2-32GB", "7.0", 13000, "580.65.06", 32494)
TURING = Gpu("NVIDIA GeForce RTX 2080 Ti", "7.5", 12020, "535.104.05", 11012)
L40 = Gpu("NVIDIA L40", "8.9", 12040, "550.54.15", 45495)
A100 = Gpu("NVIDIA A100-SXM4-80GB", "8.0", 12040, "550.54.15", 81153)
MIG = Gpu("NVIDIA A100-SXM4-80GB MIG 1g.10gb", "8.0", 12000, "525.60.13", 9728)
H100 = Gpu("NVIDIA H100 80GB HBM3", "9.0", 12080, "570.86.15", 81079)
BLACKWELL = Gpu("NVIDIA RTX PRO 6000 Blackwell", "12.0", 12080, "570.86.15", 97887)
UUID = "GPU-6b1a9a9c-0000-4000-8000-00000000000"

Prefixes = Callable[[str, str, str], Path]


@pytest.fixture(scope="module")
def prefix_of(tmp_path_factory: pytest.TempPathFactory) -> Prefixes:
    root = tmp_path_factory.mktemp("sandbox")
    url = build_channel(root / "channel", sys.executable)
    made: dict[str, Path] = {}

    async def make(specs: list[str], cuda: str, prefix: Path) -> None:
        virtual = [("__cuda", cuda, "0"), ("__glibc", "2.28", "0"), ("__linux", "4.18.0", "0"), ("__unix", "0", "0")]
        records = await solve(
            [Channel(url)],
            [MatchSpec(spec) for spec in specs],
            gateway=Gateway(),
            platforms=["linux-64", "noarch"],
            virtual_packages=[
                GenericVirtualPackage(PackageName(n), Version(v), BuildString(b)) for n, v, b in virtual
            ],
        )
        await install(list(records), prefix, cache_dir=root / "cache", show_progress=False)

    def prefix(framework: str, version: str, cuda: str) -> Path:
        name = f"{framework}-{version}-cuda{cuda}"
        if name not in made:
            specs = [spec.format(v=version, c=cuda) for spec in SPECS[framework]] + ["python 3.12.*"]
            asyncio.run(make(specs, cuda, root / name))
            made[name] = root / name
        return made[name]

    return prefix


def environment(tmp_path: Path, gpus: list[Gpu] | None, visible: str | None) -> dict[str, str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if gpus is not None:
        listed = {f"{UUID}{i}": vars(gpu) for i, gpu in enumerate(gpus)}
        (tmp_path / "gpus.json").write_text(json.dumps(listed))
        env["SWEEP_SIMULATED_GPUS"] = str(tmp_path / "gpus.json")
    if visible is not None:
        env["CUDA_VISIBLE_DEVICES"] = visible
    return env


def probe(prefix: Path, framework: str, gpu: Gpu, tmp_path: Path, speed: int = 0) -> dict[str, Any]:
    result = tmp_path / "result.json"
    (tmp_path / DRIVER).write_bytes(driver_archive())
    command = [prefix / "bin" / "python", tmp_path / DRIVER, "--result", result, "--tuple", "t"]
    command += ["--probe", PROBES / f"{framework}.py", "--capability", gpu.capability, "--limit", "60"]
    command += ["--speed-limit", str(speed)]
    done = subprocess.run(
        command, env=environment(tmp_path, [gpu], f"{UUID}0"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(result.read_text())


def last(result: dict[str, Any]) -> tuple[str, str]:
    """The rung that decides, and how it ended; every rung before it passed."""
    for name, rung in zip(RUNGS, result["rungs"], strict=True):
        assert rung["rung"] == name
        if rung["outcome"] != "passed":
            return name, rung["outcome"]
    return "jit", "passed"


# What the deciding rung must be, and the words that must be in its message, exception or standard error.
CASES = [
    # works
    ("pytorch", "2.4", "12.4", A100, "jit", "passed", ""),
    ("pytorch", "2.4", "12.4", MIG, "jit", "passed", ""),
    ("pytorch", "2.10", "12.9", V100, "jit", "passed", ""),
    ("pytorch", "2.8", "12.9", BLACKWELL, "jit", "passed", ""),
    ("pytorch", "2.4", "11.8", H100, "jit", "passed", ""),
    ("pytorch", "2.10", "12.9", L40, "jit", "passed", ""),  # code for 8.6 serves 8.9
    ("tensorflow", "2.15", "12.4", P100, "jit", "passed", ""),
    ("tensorflow", "2.15", "11.8", K40, "jit", "passed", ""),
    ("tensorflow", "2.19", "12.9", TURING, "jit", "passed", "12.2 which is older than the PTX compiler version 12.9"),
    ("jax", "0.6", "12.9", H100, "jit", "passed", ""),
    ("jax", "0.6", "12.6", BLACKWELL, "jit", "passed", ""),
    # the just-in-time compiler alone does not run
    ("pytorch", "2.4", "11.8", K40, "jit", "failed", "too old to be supported by the triton GPU compiler.*3.5"),
    ("pytorch", "2.10", "12.9", P100, "jit", "failed", "GPUTooOldForTriton.*capability 6.0"),
    ("pytorch", "2.5", "12.8", BLACKWELL, "jit", "failed", "Value 'sm_120' is not defined"),
    ("pytorch", "2.3", "11.8", A100, "jit", "failed", "Cannot find a working triton installation"),
    # no code for the device
    ("pytorch", "2.10", "13.0", V100, "kernel", "failed", "AcceleratorError.*no kernel image is available"),
    # code for the device as PTX only, of a toolkit that is newer than the driver
    ("tensorflow", "2.19", "12.9", BLACKWELL, "kernel", "failed", "InternalError.*unsupported toolchain"),
    ("tensorflow", "2.19", "12.9", BLACKWELL, "kernel", "failed", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"),
    # cuDNN dies
    ("pytorch", "2.8", "12.9", V100, "library", "crashed", "SIGSEGV"),
    ("tensorflow", "2.19", "12.9", P100, "library", "crashed", "SIGSEGV"),
    ("jax", "0.6", "12.6", V100, "library", "crashed", "SIGSEGV"),
    # a library is not there
    ("tensorflow", "2.18", "12.9", A100, "device", "failed", "libcudnn.so.9.*Cannot dlopen some GPU libraries"),
    # the driver is of an older major version
    ("pytorch", "2.4", "12.4", K40, "device", "failed", r"driver on your system is too old \(found version 11040\)"),
    ("pytorch", "2.10", "13.0", A100, "device", "failed", "driver on your system is too old"),
    ("tensorflow", "2.15", "12.4", K40, "device", "failed", "minimum required Cuda capability is 6.0"),
    ("jax", "0.6", "12.6", K40, "device", "failed", "driver version is insufficient for CUDA runtime version"),
    # no CUDA in the build
    ("pytorch", "2.8", "12.4", A100, "cuda-build", "failed", "CpuBuild"),
    ("tensorflow", "2.15", "12.9", A100, "cuda-build", "failed", "CpuBuild"),
    ("jax", "0.6", "12.4", A100, "cuda-build", "failed", "CpuBuild"),
]


@pytest.mark.parametrize(("framework", "version", "cuda", "gpu", "rung", "outcome", "words"), CASES)
def test_under_the_real_probe(
    prefix_of: Prefixes,
    tmp_path: Path,
    framework: str,
    version: str,
    cuda: str,
    gpu: Gpu,
    rung: str,
    outcome: str,
    words: str,
) -> None:
    result = probe(prefix_of(framework, version, cuda), framework, gpu, tmp_path)
    assert last(result) == (rung, outcome), json.dumps(result, indent=1)
    deciding = result["rungs"][RUNGS.index(rung)]
    said = " ".join(str(part) for part in (deciding.get("exception"), deciding.get("message"), result["stderr"]))
    assert re.search(words, said, re.DOTALL), said
    device = (result["framework"] or {}).get("device")
    if RUNGS.index(rung) > RUNGS.index("device"):
        assert device == f"{gpu.name} (simulated)"
        assert result["framework"]["capability"] == gpu.capability


def test_what_the_framework_says_of_itself(prefix_of: Prefixes, tmp_path: Path) -> None:
    result = probe(prefix_of("pytorch", "2.10", "12.9"), "pytorch", A100, tmp_path)
    assert result["framework"] == {
        "version": "2.10.0",
        "cuda": "12.9",
        "cudnn": "91002",
        "archs": ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"],
        "device": "NVIDIA A100-SXM4-80GB (simulated)",
        "capability": "8.0",
    }


@pytest.mark.parametrize(
    ("framework", "version", "cuda"),
    [("pytorch", "2.4", "12.4"), ("tensorflow", "2.15", "12.4"), ("jax", "0.6", "12.6")],
)
def test_the_workload_runs_on_stand_ins_too(
    prefix_of: Prefixes, tmp_path: Path, framework: str, version: str, cuda: str
) -> None:
    result = probe(prefix_of(framework, version, cuda), framework, A100, tmp_path, speed=30)
    assert [m["metric"] for m in result["speed"]] == ["matmul_tflops", "conv_tflops", "train_samples_per_s"]
    assert all(m["value"] > 0 and m["cpu"] > 0 for m in result["speed"])


def run(prefix: Path, code: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [prefix / "bin" / "python", "-c", code]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("visible", "count"),
    [
        (None, "2"),
        ("", "0"),
        ("0", "1"),
        ("1,0", "2"),
        (f"{UUID}1", "1"),
        (f"{UUID}0,{UUID}1", "2"),
        ("GPU-6b1a9a9c", "0"),  # short for two devices: ambiguous
        ("7,0", "0"),  # the list ends at the first device that is not there
        ("0,0", "1"),
    ],
)
def test_visible_devices(prefix_of: Prefixes, tmp_path: Path, visible: str | None, count: str) -> None:
    env = environment(tmp_path, [A100, A100], visible)
    done = run(prefix_of("pytorch", "2.4", "12.4"), "import torch; print(torch.cuda.device_count())", env)
    assert (done.stdout.strip(), done.stderr) == (count, "")


def test_a_short_uuid_names_its_device(prefix_of: Prefixes, tmp_path: Path) -> None:
    env = environment(tmp_path, [A100], "GPU-6b1a9a9c")
    done = run(prefix_of("pytorch", "2.4", "12.4"), "import torch; print(torch.cuda.get_device_name())", env)
    assert done.stdout.strip() == "NVIDIA A100-SXM4-80GB (simulated)"


@pytest.mark.parametrize(
    ("framework", "version", "code", "words"),
    [
        ("pytorch", "2.4", "import torch; torch.cuda.init()", "Found no NVIDIA driver on your system"),
        (
            "tensorflow",
            "2.15",
            "import tensorflow as t; t.config.list_physical_devices('GPU')",
            "Could not find cuda",
        ),
    ],
)
def test_without_a_driver(
    prefix_of: Prefixes, tmp_path: Path, framework: str, version: str, code: str, words: str
) -> None:
    done = run(prefix_of(framework, version, "12.4"), code, environment(tmp_path, None, None))
    assert words in done.stderr


def test_no_visible_device_is_not_a_missing_driver(prefix_of: Prefixes, tmp_path: Path) -> None:
    env = environment(tmp_path, [A100], "")
    done = run(prefix_of("jax", "0.6", "12.6"), "import jax; jax.devices('gpu')", env)
    assert "No visible GPU devices" in done.stderr
    done = run(prefix_of("pytorch", "2.4", "12.4"), "import torch; torch.cuda.init()", env)
    assert "No CUDA GPUs are available" in done.stderr


def test_a_library_that_goes_missing_stops_the_import(prefix_of: Prefixes, tmp_path: Path) -> None:
    prefix = prefix_of("pytorch", "2.5", "11.8")
    (prefix / "lib" / "libcudnn.so.9").unlink()
    done = run(prefix, "import torch", environment(tmp_path, [A100], None))
    assert "ImportError: libcudnn.so.9: cannot open shared object file" in done.stderr


def test_wrong_arithmetic_would_be_seen(prefix_of: Prefixes, tmp_path: Path) -> None:
    # Results are rounded to float32, which 0.1 is not.
    code = (
        "import torch; a = torch.tensor([[0.1, 0.2], [0.3, 0.4]], device='cuda:0');"
        "print((a @ a).cpu().tolist(), (a * a + a).tolist(), a.sum().item())"
    )
    done = run(prefix_of("pytorch", "2.4", "12.4"), code, environment(tmp_path, [A100], None))
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", done.stdout)]
    assert numbers == pytest.approx([0.07, 0.1, 0.15, 0.22, 0.11, 0.24, 0.39, 0.56, 1.0], abs=1e-6)
    assert numbers[0] != 0.07


@pytest.fixture(scope="module")
def simgpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simgpu", STANDINS / "_simgpu" / "__init__.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("archs", "ptx", "toolkit", "capability", "runtime", "answer"),
    [
        (["8.0"], None, "12.4", "8.0", 12040, "OK"),
        (["8.0"], None, "12.4", "8.9", 12040, "OK"),  # a higher minor capability
        (["8.6"], None, "12.4", "8.0", 12040, "NO_KERNEL_IMAGE"),  # a lower one
        (["8.0"], None, "12.4", "9.0", 12040, "NO_KERNEL_IMAGE"),  # another major one
        ([], "8.0", "12.4", "8.0", 12040, "OK"),  # PTX of the device's own capability
        ([], "8.0", "12.4", "9.0", 12040, "OK"),
        ([], "9.0", "12.4", "8.0", 12040, "NO_KERNEL_IMAGE"),  # PTX is never compiled downwards
        ([], "8.0", "12.6", "8.0", 12040, "UNSUPPORTED_PTX"),  # by a driver that is older than the toolkit
        (["8.0"], "9.0", "12.6", "8.0", 12000, "OK"),  # machine code does not mind
    ],
)
def test_which_code_runs_where(
    simgpu: ModuleType,
    tmp_path: Path,
    archs: list[str],
    ptx: str | None,
    toolkit: str,
    capability: str,
    runtime: int,
    answer: str,
) -> None:
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "package").mkdir()
    facts = {"version": "1", "cuda": toolkit, "archs": archs} | ({"ptx": ptx} if ptx else {})
    (tmp_path / "package" / "_build.json").write_text(json.dumps(facts))
    build = simgpu.Build(tmp_path / "package" / "__init__.py")
    device = simgpu.Device("GPU-1", vars(Gpu("X", capability, runtime, "1", 1)))
    assert build.kernel(simgpu.Driver([device], [device]), device) == getattr(simgpu, answer)


def test_every_stand_in_parses_on_python_3_8() -> None:
    sources = sorted(STANDINS.rglob("*.py"))
    assert len(sources) > 30
    for path in sources:
        ast.parse(path.read_text(), filename=str(path), feature_version=(3, 8))
