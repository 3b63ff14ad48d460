"""How packages reach jobs: what planning makes ready for each setting, and what the submit files say of it."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest
from counted import counted
from planning import settings_of
from test_render import MICROMAMBA, A, B, commands, plan_of

from sweep import render, supply
from sweep.channels import Channels
from sweep.cuda import DriverPolicy
from sweep.errors import ChannelError, SettingsError
from sweep.estimate import estimate
from sweep.model import Source, VersionTuple
from sweep.packages import Supply
from sweep.report.plans import overview
from sweep.sandbox.channel import build_channel
from sweep.schema import EnvironmentState, PlannedEnvironment
from sweep.settings import LoadSettings

URL = "https://conda.example/forge/linux-64/a-1.0-0.conda"


def environment(tuple_: VersionTuple, source: Source = Source.CONDA, size: int = 0) -> PlannedEnvironment:
    key = tuple_.environment
    return PlannedEnvironment(
        id=key.id, **key.model_dump(), source=source, state=EnvironmentState.RESOLVED, specs=("x",), size=size
    )


def sweep_of(tmp_path: Path, text: str, name: str = "explicit.txt") -> Path:
    """A sweep's directory with the lock of A's environment."""
    here = tmp_path / "2026-11-20T060000"
    lock = here / "environments" / A.environment.id / name
    lock.parent.mkdir(parents=True)
    lock.write_text(text)
    return here


# --------------------------------------------------------------------------- what is made ready


def test_by_default_jobs_get_the_environments_own_lock_and_nothing_is_written(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    here = sweep_of(tmp_path, f"@EXPLICIT\n{URL}#{'0' * 32}\n")
    assert supply.prepare([environment(A)], settings, Channels(tmp_path, "linux-64"), here) == (None, ())
    directory = here / "environments" / A.environment.id
    assert [path.name for path in directory.iterdir()] == ["explicit.txt"]
    assert supply.lock(here, A.environment, Source.CONDA, settings) == directory / "explicit.txt"
    assert supply.lock(here, A.environment, Source.CONTAINER, settings) is None
    assert supply.packages(here, A.environment, Source.CONDA, settings) is None


@pytest.mark.parametrize(
    ("source", "name", "text"),
    [
        (Source.CONDA, "explicit.txt", f"@EXPLICIT\n{URL}#{'0' * 32}\n"),
        (Source.PIP, "requirements.txt", "--index-url https://conda.example/forge\na==1.0 --hash=sha256:00\n"),
    ],
)
def test_with_mirrors_jobs_get_a_lock_of_their_own(tmp_path: Path, source: Source, name: str, text: str) -> None:
    settings = settings_of(
        tmp_path, '[downloads]\nmirrors = { "https://conda.example" = "http://near.example/mirror/" }'
    )
    here = sweep_of(tmp_path, text, name)
    assert supply.prepare([environment(A, source)], settings, Channels(tmp_path, "linux-64"), here) == (None, ())
    own = here / "environments" / A.environment.id / name
    theirs = supply.lock(here, A.environment, source, settings)
    assert own.read_text() == text
    assert theirs is not None and theirs.name == name
    assert theirs.read_text() == text.replace("https://conda.example", "http://near.example/mirror")


def test_an_address_that_no_lock_has_is_noted(tmp_path: Path) -> None:
    mirrors = '{ "https://conda.example" = "http://near.example", "https://conda.exmaple" = "http://near.example" }'
    settings = settings_of(tmp_path, f"[downloads]\nmirrors = {mirrors}")
    here = sweep_of(tmp_path, f"@EXPLICIT\n{URL}#{'0' * 32}\n")
    _, (note,) = supply.prepare([environment(A)], settings, Channels(tmp_path, "linux-64"), here)
    assert note.startswith("downloads.mirrors: https://conda.exmaple is in none of this plan's locks")
    nothing = environment(A, Source.CONTAINER)
    assert supply.prepare([nothing], settings, Channels(tmp_path, "linux-64"), here) == (None, ())


def test_packages_of_a_real_lock_are_linked_whole(tmp_path: Path) -> None:
    channel = build_channel(tmp_path / "channel", sys.executable)
    archives = sorted(path for path in (tmp_path / "channel").glob("*/*.tar.bz2") if "pytorch-2.5" in path.name)
    lines = [
        f"{channel}/{path.parent.name}/{path.name}#{hashlib.md5(path.read_bytes()).hexdigest()}" for path in archives
    ]
    here = sweep_of(tmp_path, "\n".join(["@EXPLICIT", *lines, ""]))
    settings = settings_of(tmp_path, f'[conda]\ncache = "{tmp_path}/cache"\n[downloads]\npackages = "transfer"')
    supplied, notes = supply.prepare([environment(A)], settings, Channels(tmp_path, "linux-64"), here)
    size = sum(path.stat().st_size for path in archives)
    assert (supplied, notes) == (Supply(size=size, fetched=size), ())
    linked = supply.packages(here, A.environment, Source.CONDA, settings)
    assert linked is not None
    assert {path.name: path.read_bytes() for path in linked.glob("*/*")} == {p.name: p.read_bytes() for p in archives}


def test_a_package_that_a_host_does_not_have_stops_the_plan_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "channel").mkdir()
    with counted(tmp_path / "channel") as host:
        here = sweep_of(tmp_path, f"@EXPLICIT\n{host.url}/linux-64/a-1.0-0.conda#{'0' * 32}\n")
        settings = settings_of(tmp_path, f'[conda]\ncache = "{tmp_path}/cache"\n[downloads]\npackages = "transfer"')
        with pytest.raises(ChannelError, match=r"(?s)cannot download a-1\.0-0\.conda: .*404.*downloads\.mirrors"):
            supply.prepare([environment(A)], settings, Channels(tmp_path, "linux-64"), here)


def test_wheels_do_not_travel_and_the_plan_says_so(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, f'[conda]\ncache = "{tmp_path}/cache"\n[downloads]\npackages = "transfer"')
    here = sweep_of(tmp_path, "a==1.0 --hash=sha256:00\n", "requirements.txt")
    found, notes = supply.prepare([environment(A, Source.PIP)], settings, Channels(tmp_path, "linux-64"), here)
    assert found == Supply()
    assert notes == ("wheels are fetched by the jobs: downloads.packages is for conda packages",)
    assert supply.packages(here, A.environment, Source.PIP, settings) is None


# --------------------------------------------------------------------------- common files


def condor_submit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ad: str) -> None:
    """A condor_submit whose dry run makes this ad."""
    script = tmp_path / "bin" / "condor_submit"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ncat >/dev/null\ncat <<'END'\n{ad}\nEND\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent), prepend=":")
    monkeypatch.setenv("CONDOR_CONFIG", "/dev/null")


def test_common_files_are_refused_where_condor_submit_does_not_know_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, '[downloads]\npackages = "common"')
    condor_submit(tmp_path, monkeypatch, 'Cmd="/bin/true"')
    with pytest.raises(SettingsError, match=r'downloads\.packages = "common" needs HTCondor 25\.14.*"transfer"'):
        supply.check(settings)


def test_common_files_are_taken_where_condor_submit_knows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    condor_submit(tmp_path, monkeypatch, 'Cmd="/bin/true"\nCommonInputFiles="/packages"')
    supply.check(settings_of(tmp_path, '[downloads]\npackages = "common"'))


def test_nothing_is_asked_of_condor_submit_for_the_other_ways(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    supply.check(settings_of(tmp_path, '[downloads]\npackages = "transfer"'))


# --------------------------------------------------------------------------- submit files


def submit_files(tmp_path: Path, text: str) -> tuple[Path, list[dict[str, str]]]:
    """The commands of the submit files of A and B, with these settings."""
    settings = settings_of(tmp_path, text)
    here = tmp_path / "2026-11-20T060000"
    render.write_tuples(plan_of(A, B, here=here), settings, here, MICROMAMBA)
    return here, [commands((here / "tuples" / t.id / "job.sub").read_text()) for t in (A, B)]


def test_with_transfer_each_job_brings_its_environments_packages(tmp_path: Path) -> None:
    here, files = submit_files(tmp_path, '[downloads]\npackages = "transfer"')
    for tuple_, found in zip((A, B), files, strict=True):
        inputs = found["transfer_input_files"].split(", ")
        assert inputs[-1] == f"{here}/environments/{tuple_.environment.id}/job/packages"
        assert f"{here}/environments/{tuple_.environment.id}/explicit.txt" in inputs
        assert "my.commoninputcatalogs" not in found


def test_common_files_have_a_catalogue_for_each_environment(tmp_path: Path) -> None:
    here, files = submit_files(tmp_path, '[downloads]\npackages = "common"')
    for tuple_, found in zip((A, B), files, strict=True):
        assert "packages" not in found["transfer_input_files"]
        name = found["my.commoninputcatalogs"].strip('"')
        assert found[f"my._x_catalog_{name}"] == f'"{here}/environments/{tuple_.environment.id}/job/packages"'
    assert files[0]["my.commoninputcatalogs"] != files[1]["my.commoninputcatalogs"]


@pytest.mark.parametrize("name", ["transfer_common_input", "+CommonInputFiles", "My.CommonInputCatalogs"])
def test_a_site_cannot_set_what_the_sweep_transfers_in_common(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match="belongs to the sweep itself"):
        settings_of(tmp_path, f'[submit]\n"{name}" = "x"')


# --------------------------------------------------------------------------- what it costs


def test_the_estimate_counts_what_travels_once(tmp_path: Path) -> None:
    plan = plan_of(A, B)
    environments = {
        A.environment.id: environment(A, size=2_000_000_000),
        B.environment.id: environment(B, Source.PIP, size=500_000_000),
    }
    tuples = [each for each in plan.tuples if each.submitted]
    cost = estimate(
        tuples * 2, environments, (), DriverPolicy.MINOR, LoadSettings(), None, Supply(2_000_000_000, 300_000_000)
    )
    assert (cost.downloads, cost.transfers) == (2 * 500_000_000 + 300_000_000, 2 * 2_000_000_000)
    told = "\n".join(overview(plan.model_copy(update={"estimate": cost})))
    assert "1.3 GB downloaded, at most 4.0 GB of packages transferred by HTCondor" in told
