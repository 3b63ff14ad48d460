"""Environments of wheels, with the real uv and a package index of tiny real wheels on this machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from planning import served, settings_of
from wheelhouse import CUDA12, add_wheel, small_index

from sweep import places, resolve_wheels, sources, wheels
from sweep.channels import Channels
from sweep.errors import ChannelError, SettingsError
from sweep.facts import load_facts
from sweep.framework import load_framework, load_frameworks
from sweep.model import EnvironmentKey, Node, Pool
from sweep.offer import Offer
from sweep.schema import EnvironmentState, PlannedEnvironment
from sweep.settings import Settings
from sweep.wheels import Index, Locked, configured_index, runtime_package, uv_platform

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
NODE = Node(system="EL 9", glibc="2.34", linux="5.14.0", archspec="x86_64", cuda="13.0")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    directory = tmp_path / "simple"
    small_index(directory)
    return directory


@pytest.fixture
def url(house: Path) -> Iterator[str]:
    with served(house) as address:
        yield address


def settings_with(tmp_path: Path, url: str, more: str = "") -> Settings:
    text = f'source = "pip"\nversions = 9\n{more}\n[pip]\nindex = "{url}"\npython = "/usr/bin/python{HERE}"\n'
    return settings_of(tmp_path, f'{text}[conda]\ncache = "{tmp_path / "cache"}"\n')


def opened(settings: Settings) -> tuple[Index, Offer]:
    index = sources.open_index(settings)
    channels = sources.open_channels(settings)
    return index, sources.read_offers(settings, load_frameworks(settings), channels, index)["pytorch"]


def resolved(tmp_path: Path, settings: Settings, *pairs: tuple[str, str]) -> dict[str, PlannedEnvironment]:
    """The environments of (version, CUDA runtime) pairs of PyTorch."""
    index, offer = opened(settings)
    keys = [EnvironmentKey(framework="pytorch", version=version, cuda=cuda) for version, cuda in pairs]
    nodes = {key.id: (NODE,) for key in keys}
    found, notes = resolve_wheels.resolve(
        {key.id: key for key in keys}, nodes, settings, {"pytorch": offer}, index, tmp_path, load_facts()
    )
    assert all("does not say how large wheels are" in note for note in notes)
    return {id_.removeprefix("pytorch-"): environment for id_, environment in found.items()}


# --------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("cuda", "package"), [("11.8", "nvidia-cuda-runtime-cu11"), ("12.4", CUDA12), ("13.0", "nvidia-cuda-runtime")]
)
def test_the_runtime_has_the_name_that_nvidia_gave_it(cuda: str, package: str) -> None:
    assert runtime_package(cuda) == package


@pytest.mark.parametrize(
    ("glibc", "platform", "name"),
    [
        ("2.34", "linux-64", "x86_64-manylinux_2_34"),
        ("2.30", "linux-64", "x86_64-manylinux_2_28"),
        ("2.99", "linux-aarch64", "aarch64-manylinux_2_40"),
        ("2.12", "linux-64", None),
    ],
)
def test_the_platform_is_the_newest_that_a_glibc_is(glibc: str, platform: str, name: str | None) -> None:
    assert uv_platform(glibc, platform) == name  # type: ignore[arg-type]


def test_every_platform_name_is_one_that_uv_takes(tmp_path: Path, house: Path) -> None:
    index = Index(house.as_uri(), tmp_path)
    names = {uv_platform(f"2.{minor}", "linux-64") for minor in range(17, 60)}
    demands = {str(name): resolve_wheels.Demand(("sympy",), HERE, str(name)) for name in names}
    assert {type(answer).__name__ for answer in index.lock_all(demands, tmp_path).values()} == {"Locked"}


# --------------------------------------------------------------------------- what there is


def test_versions_are_those_with_wheels_for_the_nodes(tmp_path: Path, url: str) -> None:
    settings = settings_with(tmp_path, url)
    _, offer = opened(settings)
    assert {build.version for build in offer.builds} == {"2.4.0", "2.5.1", "2.6.0"}
    assert offer.serves("2.5", "12.4")
    assert offer.serves("2.5", "12.1"), "the resolution decides, not a guess"
    assert not offer.serves("2.7", "12.4")
    assert offer.description("2.7") == "the package index has no PyTorch 2.7"


def test_runtimes_and_versions_are_the_axes(tmp_path: Path, url: str) -> None:
    settings = settings_with(tmp_path, url)
    index, offer = opened(settings)
    pool = Pool(taken="2026-11-21T00:00:00Z", collector="", slots=0, classes=())  # type: ignore[arg-type]
    axes = sources.read_axes(settings, {"pytorch": offer}, sources.open_channels(settings), pool, index)
    assert axes.runtimes == ("12.1", "12.4", "12.6", "13.0")
    assert axes.versions == {"pytorch": ("2.6", "2.5", "2.4")}


def test_an_index_kept_for_one_runtime_is_certain_of_it(tmp_path: Path, url: str, house: Path) -> None:
    own = tmp_path / "cu124"
    add_wheel(own, "torch", "2.5.1+cu124", ["sympy", f"{CUDA12}==12.4.127"])
    settings = settings_with(tmp_path, url, f'indexes = {{ "12.4" = "{own.as_uri()}" }}')
    _, offer = opened(settings)
    assert [offer.serves(version, "12.4") for version in ("2.5", "2.4", "2.6")] == [True, False, False]
    assert offer.serves("2.4", "12.1")
    found = resolved(tmp_path, settings, ("2.5", "12.4"))["2.5-cuda12.4"]
    assert found.build == "torch 2.5.1+cu124"
    assert own.as_uri() in (tmp_path / "environments/pytorch-2.5-cuda12.4/requirements.txt").read_text()


def test_the_plan_names_the_index(tmp_path: Path, url: str) -> None:
    settings = settings_with(tmp_path, url)
    _, offer = opened(settings)
    (seen,) = sources.snapshots({"pytorch": offer}, sources.open_channels(settings))
    assert (seen.name, seen.subdirs) == (url, ())


def test_a_file_with_an_impossible_name_is_passed_over(tmp_path: Path, house: Path) -> None:
    page = house / "torch/index.html"
    bad = "torch-2.5.1-old-py3-none-manylinux1_x86_64.whl"
    page.write_text(page.read_text() + f'<a href="{bad}">{bad}</a>\n')
    assert set(Index(house.as_uri(), tmp_path).versions("torch", "linux-64")) == {"2.4.0", "2.5.1", "2.6.0"}


def test_neither_pip_nor_uv_is_waited_for_without_end(
    tmp_path: Path, house: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "_TIMEOUT", 0.001)
    with pytest.raises(ChannelError, match=r"pip config list.*set pip\.index"):
        configured_index()
    monkeypatch.setattr(wheels, "_LOCK_LIMIT", 0.001)
    demands = {"a": resolve_wheels.Demand(("torch",), HERE, "x86_64-manylinux_2_28")}
    with pytest.raises(ChannelError, match=r"uv did not lock torch from .* within 0 s"):
        Index(house.as_uri(), tmp_path).lock_all(demands, tmp_path)


def test_an_index_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = Index("http://127.0.0.1:9/simple", tmp_path)
    with pytest.raises(ChannelError, match=r"127\.0\.0\.1:9/simple cannot be read.*check pip\.index"):
        index.versions("torch", "linux-64")
    demands = {"a": resolve_wheels.Demand(("torch",), HERE, "x86_64-manylinux_2_28")}
    with pytest.raises(ChannelError, match="uv cannot lock torch"):
        index.lock_all(demands, tmp_path)


# --------------------------------------------------------------------------- locks


def test_a_version_is_locked_with_the_runtime_that_it_brings(tmp_path: Path, url: str, house: Path) -> None:
    found = resolved(tmp_path, settings_with(tmp_path, url), ("2.5", "12.4"))["2.5-cuda12.4"]
    assert (found.state, found.source) == (EnvironmentState.RESOLVED, "pip")
    assert found.specs == ("torch==2.5.*", "nvidia-cuda-runtime-cu12==12.4.*")
    assert (found.build, found.runtime, found.python, found.packages) == ("torch 2.5.1", "12.4.127", HERE, 3)
    assert found.virtual_packages == ("x86_64-manylinux_2_34", f"python={HERE}")
    here = tmp_path / "environments/pytorch-2.5-cuda12.4"
    assert (here / "requirements.in").read_text() == "torch==2.5.*\nnvidia-cuda-runtime-cu12==12.4.*\n"
    lock = (here / "requirements.txt").read_text()
    assert lock.startswith(
        f"# For Python {HERE} on x86_64-manylinux_2_34. To install it: pip install --require-hashes"
    )
    wheel = house / "torch/torch-2.5.1-py3-none-manylinux_2_17_x86_64.whl"
    assert f"sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}" in lock
    assert url in lock
    assert found.lock_sha256 == resolve_wheels.lock_digest(lock)


def test_the_digest_is_of_what_is_installed_and_not_of_who_asks_for_it() -> None:
    lock = "torch==2.5.1 \\\n    --hash=sha256:00\n    # via -r requirements.in\n"
    assert resolve_wheels.lock_digest(lock) == resolve_wheels.lock_digest(f"# a comment\n{lock}    # and more\n")
    assert resolve_wheels.lock_digest(lock) != resolve_wheels.lock_digest(lock.replace("00", "01"))


def test_a_version_for_another_runtime_is_refused_in_the_resolvers_words(tmp_path: Path, url: str) -> None:
    found = resolved(tmp_path, settings_with(tmp_path, url), ("2.5", "12.6"))["2.5-cuda12.6"]
    assert (found.state, found.lock_sha256) == (EnvironmentState.UNSATISFIABLE, None)
    assert "torch==2.5.1 depends on nvidia-cuda-runtime-cu12==12.4.127" in (found.explanation or "")
    text = (tmp_path / "environments/pytorch-2.5-cuda12.6/explanation.txt").read_text()
    assert "No solution found" in text


def test_another_major_version_beside_the_asked_one_is_no_solution(tmp_path: Path, url: str) -> None:
    found = resolved(tmp_path, settings_with(tmp_path, url), ("2.5", "13.0"))["2.5-cuda13.0"]
    assert found.state is EnvironmentState.UNSATISFIABLE
    assert found.explanation == "torch 2.5.1 brings nvidia-cuda-runtime-cu12 12.4.127, not CUDA 13.0"


def test_a_version_that_asks_for_no_runtime_is_a_cpu_build(tmp_path: Path, url: str) -> None:
    found = resolved(tmp_path, settings_with(tmp_path, url), ("2.6", "12.4"))["2.6-cuda12.4"]
    assert (found.state, found.build) == (EnvironmentState.CPU_BUILD, "torch 2.6.0")
    assert "asks for no CUDA runtime" in (found.explanation or "")
    assert (tmp_path / "environments/pytorch-2.6-cuda12.4/explanation.txt").is_file()


def test_the_packages_of_the_payload_are_locked_too(tmp_path: Path, url: str, house: Path) -> None:
    add_wheel(house, "pytest", "9.0")
    settings = settings_with(tmp_path, url)
    (tmp_path / "sweep.toml").write_text(
        (tmp_path / "sweep.toml").read_text() + '[payload]\ncommand = ["true"]\npackages = ["pytest>=8"]\n'
    )
    settings = settings_of(tmp_path, (tmp_path / "sweep.toml").read_text().removeprefix("[frameworks.pytorch]\n"))
    found = resolved(tmp_path, settings, ("2.5", "12.4"))["2.5-cuda12.4"]
    assert (found.specs[-1], found.packages) == ("pytest>=8", 4)


def test_a_series_without_a_python_of_its_own_is_an_error(tmp_path: Path, url: str) -> None:
    pip = f'[pip]\nindex = "{url}"\npython = "/opt/python{{python}}"\n'
    text = f'source = "pip"\npython = {{ "2.4" = "{HERE}" }}\n{pip}'
    settings = settings_of(tmp_path, text)
    named = load_framework(places.frameworks() / "pytorch.toml").pip
    assert named is not None
    key = EnvironmentKey(framework="pytorch", version="2.4", cuda="12.1")
    assert resolve_wheels.demand(key, named, settings, "x").python == HERE
    with pytest.raises(SettingsError, match=r"names no Python for 2\.5"):
        resolve_wheels.demand(key.model_copy(update={"version": "2.5"}), named, settings, "x")


def test_the_gist_of_a_refusal_has_no_conditions_for_other_platforms() -> None:
    said = "error: No solution found when resolving dependencies\n  cause: Because a depends on b{os_name == 'nt'}==2"
    assert resolve_wheels.gist(said) == "Because a depends on b==2"


# --------------------------------------------------------------------------- the index of pip itself


def test_without_a_setting_the_index_is_that_of_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/told")
    assert configured_index() == "http://127.0.0.1:1/told"
    monkeypatch.delenv("PIP_INDEX_URL")
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = http://127.0.0.1:1/configured\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert configured_index() == "http://127.0.0.1:1/configured"


def test_a_password_in_pips_own_configuration_goes_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:hunter2@127.0.0.1:1/simple")
    settings = settings_of(tmp_path, f'source = "pip"\n[pip]\npython = "/usr/bin/python{HERE}"')
    with pytest.raises(SettingsError, match="has a password") as caught:
        sources.open_index(settings)
    assert "hunter2" not in str(caught.value)


def test_downloads_are_counted_where_the_index_says_sizes(tmp_path: Path, house: Path) -> None:
    """The protocol's JSON has sizes, its HTML has not; this index answers in JSON."""
    page = house / "sympy/index.html"
    (wheel,) = (house / "sympy").glob("*.whl")
    file = {
        "filename": wheel.name,
        "url": wheel.name,
        "hashes": {"sha256": hashlib.sha256(wheel.read_bytes()).hexdigest()},
        "size": wheel.stat().st_size,
    }
    answer = {"meta": {"api-version": "1.1"}, "name": "sympy", "versions": ["1.13.1"], "files": [file]}
    page.write_text(json.dumps(answer))
    with served(house, {".html": "application/vnd.pypi.simple.v1+json"}) as url:
        index = Index(url, tmp_path)
        assert index.versions("sympy", "linux-64") == ("1.13.1",)
        demand = resolve_wheels.Demand(("sympy",), HERE, "x86_64-manylinux_2_28")
        (locked,) = index.lock_all({"a": demand}, tmp_path).values()
    assert isinstance(locked, Locked)
    assert locked.size == wheel.stat().st_size


# --------------------------------------------------------------------------- the executable


def test_uv_of_this_version_is_fetched_and_checked(tmp_path: Path, house: Path) -> None:
    from importlib.metadata import version

    uv = version("uv")
    script = "#!/bin/sh\necho hello\n"
    tag = "py3-none-musllinux_1_1_x86_64"
    wheel = add_wheel(house, "uv", uv, files={f"uv-{uv}.data/scripts/uv": script}, tag=tag)
    with served(house) as url:
        Index(url, tmp_path / "cache").fetch_uv("linux-64", tmp_path / "uv")
        assert subprocess.run([tmp_path / "uv"], capture_output=True, text=True, check=True).stdout == "hello\n"
        with pytest.raises(ChannelError, match=r'no static uv .* for linux-aarch64; set pip\.installer to "pip"'):
            Index(url, tmp_path / "cache").fetch_uv("linux-aarch64", tmp_path / "other")
        wheel.write_bytes(wheel.read_bytes() + b"more")
        with pytest.raises(ChannelError, match="cannot be had"):
            Index(url, tmp_path / "cache").fetch_uv("linux-64", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_conda_frameworks_ask_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "open_index", lambda settings: pytest.fail("an index was opened"))
    settings = settings_of(
        tmp_path, 'source = "container"\nimages = [{ version = "2.5", cuda = "12.4", image = "/a.sif" }]'
    )
    channels = Channels(tmp_path, "linux-64", offline=True, solve_limit=1)
    offer = sources.read_offers(settings, load_frameworks(settings), channels)["pytorch"]
    assert [offer.serves("2.5", cuda) for cuda in ("12.4", "12.5")] == [True, False]
    assert offer.description("2.5") == "images of PyTorch 2.5 take CUDA 12.4.*"
