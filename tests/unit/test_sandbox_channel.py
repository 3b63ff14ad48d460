"""The sandbox's channel: it builds, always to the same bytes, and solves to the builds that the demo counts on."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rattler import Channel, Gateway, GenericVirtualPackage, MatchSpec, PackageName, Version, install, solve
from rattler.channel import ChannelPriority
from rattler.exceptions import SolverError
from rattler.package import BuildString

from sweep.errors import SandboxError
from sweep.sandbox import channel as module
from sweep.sandbox.channel import build_channel

SPECS = {
    "pytorch": ("pytorch {v}.*", "cuda-version {c}.*"),
    "tensorflow": ("tensorflow {v}.*", "cuda-version {c}.*"),
    "jax": ("jax {v}.*", "jaxlib {v}.*", "cuda-version {c}.*"),
}
CUDA_PACKAGE = {"pytorch": "pytorch", "tensorflow": "tensorflow-base", "jax": "jaxlib"}

# The start of the build string of the package that holds the CUDA code; None is unsatisfiable.
EXPECTED: Mapping[tuple[str, str], Mapping[str, str | None]] = {
    ("pytorch", "2.3"): {"11.8": "cuda118_", "12.4": "cpu_", "12.9": "cpu_", "13.0": "cpu_"},
    ("pytorch", "2.4"): {"11.8": "cuda118_", "12.4": "cuda120_", "12.9": "cuda120_", "13.0": "cpu_"},
    ("pytorch", "2.5"): {"11.8": "cuda118_", "12.4": "cpu_", "12.9": "cuda126_", "13.0": "cpu_"},
    ("pytorch", "2.8"): {"11.8": "cpu_", "12.4": "cpu_", "12.9": "cuda129_", "13.0": "cpu_"},
    ("pytorch", "2.10"): {"11.8": "cpu_", "12.4": "cpu_", "12.9": "cuda129_", "13.0": "cuda130_"},
    ("tensorflow", "2.15"): {"11.8": "cuda118py", "12.4": "cuda120py", "12.9": "cpu_", "13.0": "cpu_"},
    ("tensorflow", "2.18"): {"11.8": "cpu_", "12.4": "cpu_", "12.9": "cuda126py", "13.0": "cpu_"},
    ("tensorflow", "2.19"): {"11.8": "cpu_", "12.4": "cpu_", "12.9": "cuda129py", "13.0": "cpu_"},
    ("jax", "0.5"): {"11.8": None, "12.4": None, "12.9": None, "13.0": None},
    ("jax", "0.6"): {"11.8": "cpu_", "12.4": "cpu_", "12.9": "cuda126py", "13.0": "cpu_"},
    ("jax", "0.7"): {"11.8": "cpu_", "12.4": "cpu_", "12.9": "cuda129_py", "13.0": "cpu_"},
}
CELLS = [(f, v, c, build) for (f, v), row in EXPECTED.items() for c, build in row.items()]


def resolve(url: str, specs: list[str], cuda: str, glibc: str = "2.28") -> dict[str, Any]:
    def virtual(name: str, version: str, build: str = "0") -> GenericVirtualPackage:
        return GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))

    async def run() -> list[Any]:
        return await solve(
            [Channel(url)],
            [MatchSpec(spec) for spec in specs],
            gateway=Gateway(),
            platforms=["linux-64", "noarch"],
            virtual_packages=[
                virtual("__cuda", cuda),
                virtual("__glibc", glibc),
                virtual("__linux", "4.18.0"),
                virtual("__unix", "0"),
                virtual("__archspec", "1", "x86_64_v2"),
            ],
            channel_priority=ChannelPriority.Strict,
        )

    return {record.name.normalized: record for record in asyncio.run(run())}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_channel(tmp_path_factory.mktemp("sandbox") / "channel", sys.executable)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


# --------------------------------------------------------------------------- building


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    build_channel(tmp_path / "one", "/usr/bin/python3")
    build_channel(tmp_path / "two", "/usr/bin/python3")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_finished_channel_is_left_alone_and_an_outdated_one_is_replaced(tmp_path: Path) -> None:
    place = tmp_path / "channel"
    assert build_channel(place, "/usr/bin/python3") == place.as_uri()
    first = place.stat().st_ino
    build_channel(place, "/usr/bin/python3")
    assert place.stat().st_ino == first
    before = contents(place)
    build_channel(place, "/opt/other/python3")
    after = contents(place)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {".complete", "linux-64/repodata.json", "linux-64/python-3.12.8-h9e4cc4f_1_cpython.tar.bz2"}
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["channel"]


def test_a_half_made_channel_is_built_again(tmp_path: Path) -> None:
    place = tmp_path / "channel"
    (place / "noarch").mkdir(parents=True)
    build_channel(place, "/usr/bin/python3")
    assert (place / "noarch" / "repodata.json").is_file()


def test_both_subdirs_are_indexed(url: str) -> None:
    root = Path(url.removeprefix("file://"))
    counts = {s: len(json.loads((root / s / "repodata.json").read_text())["packages"]) for s in module.SUBDIRS}
    assert counts["noarch"] > 10
    assert counts["linux-64"] > 60


def test_exactly_the_named_archive_differs_from_its_stated_hash(url: str) -> None:
    root = Path(url.removeprefix("file://"))
    wrong = [
        name
        for subdir in module.SUBDIRS
        for name, record in json.loads((root / subdir / "repodata.json").read_text())["packages"].items()
        if hashlib.sha256((root / subdir / name).read_bytes()).hexdigest() != record["sha256"]
    ]
    assert wrong == ["jaxlib-0.7.2-cuda129_py312h731d619_202.tar.bz2"]


def test_a_cuda_build_is_preferred_by_its_number(url: str) -> None:
    root = Path(url.removeprefix("file://"))
    records = json.loads((root / "linux-64" / "repodata.json").read_text())["packages"].values()
    for name in CUDA_PACKAGE.values():
        cuda = [r for r in records if r["name"] == name and "cuda" in r["build"]]
        cpu = [r for r in records if r["name"] == name and r["build"].startswith("cpu")]
        assert min(r["build_number"] for r in cuda) >= max(r["build_number"] for r in cpu) + 90
        assert all("__cuda" in r["depends"] for r in cuda)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("schema = 1\n[[package]\n", "channel.toml"),
        ('schema = 1\n[[package]]\nname = "x"\nlicence = "MIT"\nbuilds = []\n', "licen"),
        (
            'schema = 1\n[[corrupt]]\nname = "x"\nversion = "1"\nbuild = "0"\n[[package]]\nname = "y"\n'
            'license = "MIT"\nbuilds = [{ version = "1", build = "h_0" }]\n',
            "there is no x-1-0.tar.bz2",
        ),
    ],
)
def test_wrong_data_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str) -> None:
    data = tmp_path / "channel.toml"
    data.write_text(text)
    monkeypatch.setattr(module, "DATA", data)
    with pytest.raises(SandboxError, match=words):
        build_channel(tmp_path / "channel", "/usr/bin/python3")
    assert not (tmp_path / "channel").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SandboxError, match="file/channel"):
        build_channel(tmp_path / "file" / "channel", "/usr/bin/python3")


@pytest.mark.parametrize("host", ["python3", "/usr/bin/py thon", "/usr/bin/$(id)"])
def test_the_host_python_must_be_safe_in_a_script(tmp_path: Path, host: str) -> None:
    with pytest.raises(SandboxError, match="absolute path"):
        build_channel(tmp_path / "channel", host)


# --------------------------------------------------------------------------- solving


@pytest.mark.parametrize(("framework", "version", "cuda", "build"), CELLS)
def test_every_cell_solves_to_the_intended_build(
    url: str, framework: str, version: str, cuda: str, build: str | None
) -> None:
    specs = [spec.format(v=version, c=cuda) for spec in SPECS[framework]] + ["python 3.12.*"]
    if build is None:
        with pytest.raises(SolverError, match="scipy"):
            resolve(url, specs, cuda)
        return
    found = resolve(url, specs, cuda)
    assert str(found[CUDA_PACKAGE[framework]].build).startswith(build)
    assert str(found["cuda-version"].version) == cuda


def test_cuda_11_8_brings_its_own_toolkit(url: str) -> None:
    found = resolve(url, ["pytorch 2.5.*", "cuda-version 11.8.*"], "12.4")
    assert str(found["cudatoolkit"].version) == "11.8.0"
    assert str(found["cudnn"].version).startswith("9.3.")
    assert "cuda-cudart" not in found


@pytest.mark.parametrize(
    ("specs", "cuda", "cudnn"),
    [
        (["pytorch 2.8.*", "cuda-version 12.9.*"], "12.9", "9.13.1.26"),
        (["pytorch 2.10.*", "cuda-version 12.9.*"], "12.9", "9.10.2.21"),
        (["pytorch 2.5.*", "cuda-version 12.8.*"], "12.8", "9.10.2.21"),
        (["pytorch 2.4.*", "cuda-version 12.2.*"], "12.2", "8.9.7.29"),
        (["tensorflow 2.18.*", "cuda-version 12.9.*"], "12.9", None),
        (["jax 0.6.*", "jaxlib 0.6.*", "cuda-version 12.6.*"], "12.6", "9.13.1.26"),
    ],
)
def test_the_cudnn_that_comes_along(url: str, specs: list[str], cuda: str, cudnn: str | None) -> None:
    found = resolve(url, specs, cuda)
    assert (str(found["cudnn"].version) if "cudnn" in found else None) == cudnn


def test_a_driver_of_an_older_major_version_cannot_hold_the_runtime(url: str) -> None:
    with pytest.raises(SolverError, match="__cuda"):
        resolve(url, ["pytorch 2.4.*", "cuda-version 12.4.*"], "11.4")
    # CUDA's minor version compatibility: the runtime may be newer than the driver.
    assert "cuda120" in str(resolve(url, ["pytorch 2.4.*", "cuda-version 12.4.*"], "12.0")["pytorch"].build)


def test_an_old_glibc_leaves_newer_libraries_out(url: str) -> None:
    assert "cpu" in str(resolve(url, ["pytorch 2.8.*", "cuda-version 12.9.*"], "12.9", glibc="2.17")["pytorch"].build)


# --------------------------------------------------------------------------- installing


def test_an_environment_installs_and_its_python_sees_it(url: str, tmp_path: Path) -> None:
    records = list(resolve(url, ["pytorch 2.4.*", "cuda-version 12.4.*", "python 3.12.*", "pip"], "12.4").values())
    prefix = tmp_path / "env"
    asyncio.run(install(records, prefix, cache_dir=tmp_path / "cache", show_progress=False))
    assert len(list((prefix / "conda-meta").glob("*.json"))) == len(records)
    script = (prefix / "etc/conda/activate.d/libtorch_activate.sh").read_text()
    assert script == 'export CF_TORCH_CUDA_ARCH_LIST="5.0;6.0;6.1;7.0;7.5;8.0;8.6;8.9;9.0+PTX"\n'
    done = subprocess.run(
        [prefix / "bin" / "python", "-c", "import torch; print(torch.__version__, torch.__file__)"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin"},
        check=True,
    )
    version, place = done.stdout.split()
    assert version == "2.4.1"
    assert Path(place).is_relative_to(prefix)


def test_the_damaged_archive_does_not_install(url: str, tmp_path: Path) -> None:
    records = list(resolve(url, ["jax 0.7.*", "jaxlib 0.7.*", "cuda-version 12.9.*"], "12.9").values())
    with pytest.raises(Exception, match=r"jaxlib-0\.7\.2-cuda129"):
        asyncio.run(install(records, tmp_path / "env", cache_dir=tmp_path / "cache", show_progress=False))
