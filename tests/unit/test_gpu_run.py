"""tests/gpu/run as far as it goes without a GPU: it refuses, and what it would make a sweep of is a whole channel."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from probe_standin import toy_files

from sweep.probe.pack import driver_archive

GPU = Path(__file__).parents[1] / "gpu"
sys.path.append(str(GPU))
from installed_channel import Installed, build  # noqa: E402
from sweep_installed import of_one_python, plain, runtime_of  # noqa: E402


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver")
def test_where_there_is_no_gpu_it_says_so_and_ends_with_a_code_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run([GPU / "run", "--out", tmp_path / "out.json"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert "there is no NVIDIA GPU here: libcuda.so.1: cannot open shared object file" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.fixture
def script() -> ModuleType:
    loader = SourceFileLoader("gpu_run", str(GPU / "run"))
    spec = spec_from_loader("gpu_run", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_each_framework_that_a_python_has_climbs_and_is_measured(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in toy_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (found,) = script.climb_all([sys.executable], {"capability": "8.0"}, driver_archive())
    assert (found["framework"], found["result"]["state"]) == ("pytorch", "done")
    assert script.told(found)
    assert "pytorch 9.9: every rung passed; matmul_tflops" in capsys.readouterr().out


def test_a_ladder_that_broke_is_told_with_its_reason(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rungs = [{"rung": "import", "outcome": "failed", "message": "no such library"}]
    result = {"state": "done", "rungs": rungs, "framework": None, "speed": []}
    assert not script.told({"framework": "jax", "result": result})
    assert capsys.readouterr().out == "jax None: import failed: no such library; not measured\n"


CLIMBED = {"state": "done", "rungs": [], "framework": {"version": "2.9.1+cu129", "cuda": "12.9"}, "speed": []}


@pytest.mark.parametrize(
    ("results", "swept", "good"),
    [
        ([CLIMBED], {}, True),
        ([CLIMBED], {"sweep": {"outcomes": []}}, True),
        ([CLIMBED], {"sweep": "not run to its end: exit code 1"}, False),
        ([CLIMBED, {**CLIMBED, "state": "running"}], {}, False),
        ([], {}, False),
    ],
)
def test_it_is_good_only_if_something_climbed_and_nothing_broke(
    script: ModuleType, results: list[dict[str, Any]], swept: dict[str, Any], good: bool
) -> None:
    ladders = [{"python": "python", "framework": "pytorch", "result": result} for result in results]
    assert script.good({"results": ladders, **swept}) is good


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver")
def test_a_python_without_the_sweeps_packages_can_tell_that_there_is_no_gpu() -> None:
    command = [sys.executable, "-S", GPU / "run"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 3


def test_what_a_python_has_is_swept_if_it_says_its_cuda_runtime() -> None:
    found = [
        {"python": "/a", "framework": "jax", "result": {"framework": {"version": "0.8.1", "cuda": None}}},
        {"python": "/a", "framework": "cupy", "result": {"framework": None}},
        {"python": "/b", "framework": "tensorflow", "result": {"framework": {"version": "2.20", "cuda": "12.5.1"}}},
        {"python": "/b", "framework": "pytorch", "result": CLIMBED},
        {"python": "/c", "framework": "pytorch", "result": CLIMBED},
    ]
    assert of_one_python(found) == (
        "/b",
        [Installed("tensorflow", "2.20", "12.5"), Installed("pytorch", "2.9.1", "12.9")],
    )
    for nothing in ([], found[:2]):
        with pytest.raises(SystemExit, match="nothing to sweep over"):
            of_one_python(nothing)


@pytest.mark.parametrize(
    ("said", "runtime"),
    [("12.5.1", "12.5"), ("12.10", "12.10"), ("12", None), ("", None), (None, None), ("cu12", None)],
)
def test_a_cuda_runtime_is_two_numbers(said: str | None, runtime: str | None) -> None:
    assert runtime_of(said) == runtime


def test_the_channel_of_installed_frameworks_has_a_cuda_build_of_each(tmp_path: Path) -> None:
    installed = [
        Installed("pytorch", "2.9.1", "12.9"),
        Installed("jax", "0.8.1", "12.9"),
        Installed("cupy", "14.0", "13.0"),
    ]
    url = build(tmp_path, sys.executable, "3.11.7", installed)
    assert url == (tmp_path / "channel").as_uri()
    repodata = json.loads((tmp_path / "channel" / "linux-64" / "repodata.json").read_text())
    found = {(r["name"], r["version"], r["build"]): r["depends"] for r in repodata["packages"].values()}
    assert found[("pytorch", "2.9.1", "cuda129_0")] == ["__cuda", "python", "cuda-version 12.9.*"]
    assert found[("jaxlib", "0.8.1", "cuda129_0")] == ["__cuda", "python", "cuda-version 12.9.*"]
    assert found[("cupy", "14.0", "cuda130_0")] == ["__cuda", "python", "cuda-version 13.0.*"]
    assert {("jax", "0.8.1", "h0_0"), ("cuda-version", "12.9", "h0_0"), ("cuda-version", "13.0", "h0_0")} <= set(
        found
    )


def test_the_channels_python_is_the_one_that_has_the_frameworks(tmp_path: Path) -> None:
    build(tmp_path, sys.executable, "3.11.7", [Installed("pytorch", "2.9.1", "12.9")])
    command = [tmp_path / "python", "-S", "-c", "import pytest, sys; print(sys.executable)"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == sys.executable


def test_how_a_version_was_built_is_no_part_of_it() -> None:
    assert (plain("2.15.0+cu132"), plain("14.2.0")) == ("2.15.0", "14.2.0")
