"""Which CUDA a build is for, by real records; and how versions are counted."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from sweep import places
from sweep.builds import CPU, Build, CudaOfBuild, cuda_of, in_series, versions_in_series
from sweep.channels import Channels, accepts

SLICE = Path(places.__file__).resolve().parents[2] / "shared" / "conda-slice"
needs_slice = pytest.mark.skipif(
    not (SLICE / "README.md").is_file(), reason="the slice of real repodata is not beside this checkout (../shared)"
)


def build(text: str, depends: str = "", constrains: str = "") -> Build:
    """`name version build_string`, with dependencies and constraints separated by semicolons."""
    name, version, string = text.split()
    return Build(
        name, version, string, 0, tuple(filter(None, depends.split("; "))), tuple(filter(None, [constrains]))
    )


# What the channels say (depends cut down to what matters, for the most part) and what it means.
RECORDS = [
    # conda-forge, the range by the compiler's run export
    (
        build(
            "pytorch 2.5.1 cuda126_generic_py310_h478f2ba_211",
            "__cuda; cuda-cudart >=12.6.77,<13.0a0; cuda-version >=12.6,<13; python >=3.10,<3.11.0a0",
        ),
        CudaOfBuild(True, ">=12.6,<13", "12.6"),
    ),
    (
        build("pytorch 2.4.0 cuda118_py310h954aa82_301", "__cuda; cuda-version >=11.8,<12.0a0; cudatoolkit"),
        CudaOfBuild(True, ">=11.8,<12.0a0", "11.8"),
    ),
    (
        build("jaxlib 0.4.23 cuda118py312h0be7d35_200", "__cuda; cuda-version >=11.8,<12.0a0; cudatoolkit"),
        CudaOfBuild(True, ">=11.8,<12.0a0", "11.8"),
    ),
    (
        build("tensorflow-base 2.19.1 cuda129py312he39bdb1_252", "__cuda; cuda-version >=12.9,<13"),
        CudaOfBuild(True, ">=12.9,<13", "12.9"),
    ),
    (
        build("pytorch 1.13.1 cuda112py310he33e0d6_200", "__cuda; cudatoolkit >=11.2,<12"),
        CudaOfBuild(True, ">=11.2,<12", "11.2"),
    ),
    # its range is wider than what it was compiled with
    (
        build("libxgboost 2.1.4 cuda118_h1a5c7a6_0", "cuda-version >=11.2,<12.0a0; cudatoolkit >=11.2,<12"),
        CudaOfBuild(True, ">=11.2,<12.0a0", "11.8"),
    ),
    (
        build("cupy 13.6.0 py312h1234567_0", "cuda-version >=12,<13.0a0; numpy"),
        CudaOfBuild(True, ">=12,<13.0a0", "12.0"),
    ),
    # a constraint counts where a driver is needed, and is optional support elsewhere
    (
        build("numba-cuda 0.22.2 py312h1_0", "__cuda; numba", "cuda-version >=12,<13"),
        CudaOfBuild(True, ">=12,<13", "12.0"),
    ),
    (build("openmpi 5.0.8 h2fe1745_106", "libgcc >=14", "cuda-version >=12,<13"), CPU),
    (build("triton 3.3.0 cuda126py312hebffaa9_1", "cuda-nvcc-tools", "cuda-version >=12.6,<13"),
     CudaOfBuild(True, ">=12.6,<13", "12.6")),
    # the former pytorch channel
    (
        build("pytorch 2.5.1 py3.11_cuda12.4_cudnn9.1.0_0", "pytorch-cuda >=12.4,<12.5; pytorch-mutex 1.0 cuda"),
        CudaOfBuild(True, ">=12.4,<12.5", "12.4"),
    ),
    (
        build("pytorch 1.12.1 py3.10_cuda11.3_cudnn8.3.2_0", "cudatoolkit >=11.3,<11.4; pytorch-mutex 1.0 cuda"),
        CudaOfBuild(True, ">=11.3,<11.4", "11.3"),
    ),
    (build("pytorch 0.4.1 py37_cuda92_cudnn7.1.4_0", "python >=3.7"), CudaOfBuild(True, None, "9.2")),
    (build("pytorch 2.5.1 py3.11_cpu_0", "blas * mkl; pytorch-mutex 1.0 cpu"), CPU),
    # the parts of the toolkit, where no package names the runtime
    (
        build("thing 1.0 h5_0", "cuda-nvrtc >=12.1.105,<13.0a0; cuda-cudart >=12.4.127,<13.0a0; libcublas >=12.1"),
        CudaOfBuild(True, None, "12.4"),
    ),
    # metapackages
    (build("pytorch-gpu 2.5.1 cuda126_py312h4_1", "pytorch 2.5.1 cuda126_*_1"), CudaOfBuild(True, None, "12.6")),
    (build("tensorflow 2.17.0 gpu_h7", "tensorflow-base 2.17.0 cuda120py312h3_203"), CudaOfBuild(True, None, "12.0")),
    (build("tensorflow 2.17.0 cpu_py312h6_3", "tensorflow-base 2.17.0 cpu_py312h9_3"), CPU),
    # tags
    (build("thing 1.0 cu124_0"), CudaOfBuild(True, None, "12.4")),
    (build("thing 1.0 cuda_12.8_h1_0"), CudaOfBuild(True, None, "12.8")),
    (build("thing 1.0 cuda12_py312_0"), CudaOfBuild(True, None, "12.0")),
    (build("thing 1.0 cuda_h1_0"), CudaOfBuild(True)),
    (build("thing 1.0 h1_0", "__cuda"), CudaOfBuild(True)),
    (build("jaxlib 0.9.2 cpu_py311h10e2eb6_0", "libgcc >=14; python >=3.11,<3.12.0a0"), CPU),
    (build("thing 1.0 py312hcu124abc_0"), CPU),
]  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), RECORDS, ids=[f"{b.name}-{b.build}" for b, _ in RECORDS])
def test_the_cuda_of_a_record(record: Build, expected: CudaOfBuild) -> None:
    assert cuda_of(record) == expected


@pytest.mark.parametrize(
    ("cuda", "takes", "refuses"),
    [
        (CudaOfBuild(True, ">=12.6,<13", "12.6"), "12.6 12.8 12.9", "12.4 11.8 13.0"),
        (CudaOfBuild(True, ">=12.9,<13.0a0", "12.9"), "12.9", "13.0 12.8"),
        (CudaOfBuild(True, ">=11.2,<12", "11.8"), "11.2 11.8", "10.2 12.0"),
        (CudaOfBuild(True, "12.4.*", "12.4"), "12.4", "12.5 12.40"),
        (CudaOfBuild(True, "11.8|11.8.*", "11.8"), "11.8", "12.4"),
        (CudaOfBuild(True, ">=12.4,<12.5", None), "12.4", "12.5"),
        (CudaOfBuild(True, "12.4.* *_3", None), "12.4", "12.5"),
        (CudaOfBuild(True, "~what?", None), "12.4 9.0", ""),
        (CudaOfBuild(True, None, "12.4"), "12.4 12.9 12.10", "12.3 11.8 13.0"),
        (CudaOfBuild(True), "9.0 13.0", ""),
        (CPU, "", "11.8 12.4"),
    ],
)
def test_which_runtimes_a_build_takes(cuda: CudaOfBuild, takes: str, refuses: str) -> None:
    assert [accepts(cuda, r) for r in takes.split()] == [True] * len(takes.split())
    assert [accepts(cuda, r) for r in refuses.split()] == [False] * len(refuses.split())


# --------------------------------------------------------------------------- versions


def versions(text: str, parts: int = 2) -> list[str]:
    return versions_in_series([Build("pytorch", v, "h_0", 0) for v in text.split()], parts)


def test_series_are_counted_by_number_newest_first() -> None:
    assert versions("2.9.1 2.10.0 2.2.0 2.10.1 1.13.1 2.9.0") == ["2.10", "2.9", "2.2", "1.13"]
    assert versions("2.5.1 2.5.0 2.10.0", 3) == ["2.10.0", "2.5.1", "2.5.0"]
    assert versions("2.5.1 3.0.0 2.4.0", 1) == ["3", "2"]


def test_short_versions_are_filled_up() -> None:
    assert versions("12 11.8") == ["12.0", "11.8"]


def test_prereleases_and_what_is_no_version_are_left_out() -> None:
    assert versions("2.11.0rc1 2.10.0 2.12.0.dev20260101 2.13.0a0 2.14.0b2 master 2023-01-01x") == ["2.10"]
    assert versions("2.11.0rc1") == []
    assert versions("2.10.0.post3") == ["2.10"]


def test_a_series_counts_although_it_has_prereleases_too() -> None:
    assert versions("2.11.0rc1 2.11.0 2.10.0") == ["2.11", "2.10"]


def test_membership_of_a_series() -> None:
    assert in_series("2.5.1", "2.5")
    assert in_series("2.5", "2.5")
    assert not in_series("2.51.0", "2.5")
    assert not in_series("2.5", "2.5.1")
    assert not in_series("12.5", "2.5")


# --------------------------------------------------------------------------- the whole slice


def readme_table() -> dict[str, dict[str, set[str]]]:
    """package -> CUDA compiled with -> versions, as the slice's README states it."""
    table: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in (SLICE / "README.md").read_text().splitlines():
        if match := re.fullmatch(r"\| ([a-z0-9-]+) \| (cpu|\d+\.\d+) \| (.*) \|", line):
            table[match[1]][match[2]] = set(
                re.findall(r"(\d[\d.]*)†?(?: \(|,|$)", re.sub(r"\([^)]*\)", "(", match[3]))
            )
    return table


@needs_slice
@pytest.mark.parametrize("package", ["pytorch", "tensorflow-base", "jaxlib", "torchvision", "triton", "libxgboost"])
def test_the_compiled_cuda_of_every_real_build_is_what_the_slice_states(tmp_path: Path, package: str) -> None:
    channel = (SLICE / "conda-forge").as_uri()
    found: dict[str, set[str]] = defaultdict(set)
    for record in Channels(tmp_path, "linux-64").builds([channel], package):
        cuda = cuda_of(record)
        found[cuda.compiled or "unknown" if cuda.cuda else "cpu"].add(record.version)
        if cuda.compiled and package in ("pytorch", "tensorflow-base", "jaxlib"):
            assert accepts(cuda, cuda.compiled), f"{record.build} does not run with what it was compiled with"
    expected = readme_table()[package]
    assert expected
    assert dict(found) == dict(expected)


@needs_slice
def test_every_range_in_the_slice_can_be_understood() -> None:
    """Nothing falls back to "left to the solver" unnoticed."""
    ranges = set()
    for path in SLICE.glob("**/repodata.json"):
        repodata = json.loads(path.read_bytes())
        for record in (*repodata["packages"].values(), *repodata.get("packages.conda", {}).values()):
            keys = (record["name"], record["version"], record["build"], 0)
            ranges.add(cuda_of(Build(*keys, tuple(record["depends"]), tuple(record.get("constrains", ())))).accepts)
    ranges.discard(None)
    assert len(ranges) > 30
    misread = [r for r in ranges if accepts(CudaOfBuild(True, r), "1.0") and accepts(CudaOfBuild(True, r), "99.0")]
    assert misread == []
