"""A solved environment on disk: what was asked for, conda-lock's file, and the explicit lock."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from planning import settings_of

from sweep.channels import Channels, Request, Solution
from sweep.errors import ResultsError
from sweep.facts import load_facts
from sweep.framework import load_frameworks
from sweep.lock import EXPLICIT, LOCK, download_size, write_environment, write_locks
from sweep.model import Node, VersionTuple
from sweep.offer import make_offer
from sweep.resolve import resolve
from sweep.sandbox.channel import build_channel
from sweep.schema import EnvironmentState, PlannedEnvironment
from sweep.settings import Settings
from sweep.timings import Stopwatch

SPECS = ("pytorch 2.5.*", "cuda-version 12.9.*", "python 3.12.*")
VIRTUAL = ("__unix=0", "__linux=4.18.0", "__glibc=2.28", "__archspec=1=x86_64_v2", "__cuda=12.0")

Locked = tuple[Path, Request, Solution, str]
Resolved = tuple[Path, dict[str, PlannedEnvironment]]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of the sandbox's channel."""
    return build_channel(tmp_path_factory.mktemp("channel") / "channel", sys.executable)


@pytest.fixture(scope="module")
def locked(sandbox: str, tmp_path_factory: pytest.TempPathFactory) -> Locked:
    """An environment's directory with all its files, what they were made from, and the digest."""
    directory = tmp_path_factory.mktemp("environments") / "pytorch-2.5-cuda12.9"
    request = Request((sandbox,), SPECS, VIRTUAL)
    solution = Channels(directory.parent / "cache", "linux-64").solve_all({"it": request})["it"]
    assert isinstance(solution, Solution)
    write_environment(directory, directory.name, request, "linux-64")
    return directory, request, solution, write_locks(directory, request, solution, "linux-64")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def conda_lock(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).with_name("conda-lock")
    return subprocess.run([command, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


# --------------------------------------------------------------------------- locks


def test_conda_lock_renders_its_file_to_our_explicit_lock(locked: Locked, tmp_path: Path) -> None:
    directory, *_ = locked
    done = conda_lock("render", "--kind", "explicit", "--platform", "linux-64", directory / LOCK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (rendered,) = tmp_path.glob("conda-linux-64*.lock")
    whole = rendered.read_text().splitlines(keepends=True)
    # But for the hash of what was asked for: the same packages are the same lock.
    (asked,) = [line for line in whole if line.startswith("# input_hash")]
    whole.remove(asked)
    assert "".join(whole) == (directory / EXPLICIT).read_text()


def test_the_explicit_lock_names_every_package_with_its_hash(locked: Locked) -> None:
    directory, _, solution, digest = locked
    lines = (directory / EXPLICIT).read_text().splitlines()
    urls = [line for line in lines if not line.startswith("#")]
    assert urls[0] == "@EXPLICIT"
    assert len(solution.records) > 5
    hashes = {str(r.url): (r.md5 or b"").hex() for r in solution.records}
    assert dict(url.rsplit("#", 1) for url in urls[1:]) == hashes
    assert hashlib.sha256((directory / EXPLICIT).read_bytes()).hexdigest() == digest


def test_conda_lock_yml_holds_what_was_solved(locked: Locked) -> None:
    directory, request, solution, _ = locked
    content = read(directory / LOCK)
    assert content["version"] == 1
    assert content["metadata"]["platforms"] == ["linux-64"]
    assert content["metadata"]["sources"] == ["environment.yml"]
    assert [channel["url"] for channel in content["metadata"]["channels"]] == list(request.channels)
    packages = {p["name"]: p for p in content["package"]}
    assert set(packages) == {r.name.normalized for r in solution.records}
    for record in solution.records:
        package = packages[record.name.normalized]
        assert (package["version"], package["url"]) == (str(record.version), str(record.url))
        assert package["hash"]["sha256"] == (record.sha256 or b"").hex()
        assert {d.split(" ")[0] for d in record.depends} == set(package["dependencies"])


def test_no_half_written_file_is_left(locked: Locked) -> None:
    assert {p.name for p in locked[0].iterdir()} == {"environment.yml", "virtual-packages.yml", LOCK, EXPLICIT}


def test_the_lock_depends_on_the_request_and_nothing_else(locked: Locked, tmp_path: Path) -> None:
    directory, request, solution, digest = locked
    assert write_locks(tmp_path, request, solution, "linux-64") == digest
    assert (tmp_path / LOCK).read_bytes() == (directory / LOCK).read_bytes()
    other = Request(request.channels, request.specs, (*VIRTUAL[:-1], "__cuda=12.4"))
    write_locks(tmp_path, other, solution, "linux-64")
    hashes = [read(d / LOCK)["metadata"]["content_hash"]["linux-64"] for d in (directory, tmp_path)]
    assert hashes[0] != hashes[1]


def test_the_download_size_is_that_of_the_archives(locked: Locked) -> None:
    _, request, solution, _ = locked
    channel = Path(request.channels[0].removeprefix("file://"))
    files = [channel / str(record.url).removeprefix(request.channels[0] + "/") for record in solution.records]
    assert download_size(solution) == sum(file.stat().st_size for file in files) > 0


@pytest.mark.parametrize("writer", ["environment", "locks"])
def test_a_directory_that_cannot_be_written(locked: Locked, tmp_path: Path, writer: str) -> None:
    _, request, solution, _ = locked
    (tmp_path / "file").write_text("")
    directory = tmp_path / "file" / "environment"
    with pytest.raises(ResultsError, match=f"cannot write {directory}/.*: Not a directory; check its permissions"):
        if writer == "environment":
            write_environment(directory, "x", request, "linux-64")
        else:
            write_locks(directory, request, solution, "linux-64")


# --------------------------------------------------------------------------- what was asked for


def test_environment_yml_is_what_a_researcher_would_write(locked: Locked) -> None:
    directory, request, *_ = locked
    assert read(directory / "environment.yml") == {
        "name": "pytorch-2.5-cuda12.9",
        "channels": list(request.channels),
        "dependencies": list(SPECS),
    }


def test_specs_and_channels_with_quotes_and_backslashes_stay_what_they_are(tmp_path: Path) -> None:
    specs = ('pytorch[version=">=2.5"]', "python # not a comment", "a: b", "C:\\new", "é - ]")
    write_environment(tmp_path, "odd", Request(("file:///a%20b/c'd", 'x"y'), specs, VIRTUAL), "linux-64")
    content = read(tmp_path / "environment.yml")
    assert content["dependencies"] == list(specs)
    assert content["channels"] == ["file:///a%20b/c'd", 'x"y']


def test_virtual_packages_describe_the_node(locked: Locked) -> None:
    assert read(locked[0] / "virtual-packages.yml") == {
        "subdirs": {
            "linux-64": {
                "packages": {
                    "__unix": "0",
                    "__linux": "4.18.0",
                    "__glibc": "2.28",
                    "__archspec": "1 x86_64_v2",
                    "__cuda": "12.0",
                }
            }
        }
    }


def test_conda_lock_reads_the_virtual_packages(locked: Locked) -> None:
    from conda_lock.virtual_package import virtual_package_repo_from_specification

    repository = virtual_package_repo_from_specification(locked[0] / "virtual-packages.yml")
    found = {package.name: (package.version, package.build_string) for package in repository.packages_by_subdir}
    assert found["__cuda"][0] == "12.0"
    assert found["__archspec"] == ("1", "x86_64_v2")
    assert found["__glibc"][0] == "2.28"


# --------------------------------------------------------------------------- resolving


@pytest.fixture(scope="module")
def resolved(sandbox: str, tmp_path_factory: pytest.TempPathFactory) -> Resolved:
    """Environments of every state, each asked for by two capabilities."""
    here = tmp_path_factory.mktemp("sweep")
    text = f'python = "3.12"\n[frameworks.jax]\n[conda]\nchannels = ["{sandbox}"]'
    settings: Settings = settings_of(here, text)
    channels = Channels(here / "cache", "linux-64")
    frameworks = load_frameworks(settings)
    offers = {name: make_offer(name, frameworks[name], settings, channels) for name in frameworks}
    wanted = [("pytorch", "2.5"), ("pytorch", "2.5.1"), ("pytorch", "2.10"), ("pytorch", "2.3"), ("jax", "0.5")]
    tuples = [
        VersionTuple(framework=framework, version=version, cuda="12.9", capability=capability)
        for framework, version in wanted
        for capability in ("8.0", "9.0")
    ]
    node = Node(system="AlmaLinux8", glibc="2.28", linux="4.18.0", archspec="x86_64_v2", cuda="12.0")
    nodes = {t.environment.id: (node,) for t in tuples}
    watch = Stopwatch()
    environments, notes = resolve(tuples, nodes, settings, offers, channels, here, load_facts(), watch)
    assert set(watch.seconds) == {"solve", "lock"}
    assert notes == ()
    return here, environments


def test_each_environment_is_resolved_once_and_has_its_state(resolved: Resolved) -> None:
    assert {id_: e.state for id_, e in resolved[1].items()} == {
        "jax-0.5-cuda12.9": EnvironmentState.UNSATISFIABLE,
        "pytorch-2.3-cuda12.9": EnvironmentState.CPU_BUILD,
        "pytorch-2.5-cuda12.9": EnvironmentState.RESOLVED,
        "pytorch-2.5.1-cuda12.9": EnvironmentState.RESOLVED,
        "pytorch-2.10-cuda12.9": EnvironmentState.RESOLVED,
    }


def test_a_resolved_environment_is_locked(resolved: Resolved) -> None:
    here, environments = resolved
    environment = environments["pytorch-2.5-cuda12.9"]
    directory = here / "environments" / environment.id
    text = (directory / EXPLICIT).read_bytes()
    assert environment.lock_sha256 == hashlib.sha256(text).hexdigest()
    assert environment.packages == text.count(b"\nfile://")
    assert environment.size > 1000
    assert environment.build is not None
    assert environment.build.startswith("pytorch 2.5.1 cuda126_")
    assert environment.specs == SPECS
    assert (environment.compiled, environment.runtime, environment.python) == ("12.6", "12.9", "3.12.8")
    assert environment.virtual_packages == VIRTUAL


@pytest.mark.parametrize(
    ("id_", "words"),
    [("jax-0.5-cuda12.9", "scipy"), ("pytorch-2.3-cuda12.9", "The solver took pytorch 2.3")],
)
def test_an_environment_that_is_not_usable_says_why_and_has_no_lock(resolved: Resolved, id_: str, words: str) -> None:
    here, environments = resolved
    directory = here / "environments" / id_
    assert {p.name for p in directory.iterdir()} == {"environment.yml", "virtual-packages.yml", "explanation.txt"}
    assert words in (directory / "explanation.txt").read_text()
    environment = environments[id_]
    assert environment.explanation
    assert (environment.lock_sha256, environment.packages, environment.size) == (None, 0, 0)


def test_environments_with_the_same_packages_are_found_to_be_the_same(resolved: Resolved) -> None:
    """However they were asked for."""
    first, second = resolved[1]["pytorch-2.5-cuda12.9"], resolved[1]["pytorch-2.5.1-cuda12.9"]
    assert first.specs != second.specs
    assert first.lock_sha256 == second.lock_sha256
    assert (first.same_as, second.same_as) == (None, first.id)
    assert resolved[1]["pytorch-2.10-cuda12.9"].same_as is None
