"""Packages that reach the jobs without each of them asking the channel's host, in real sweeps."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Site, event_log, outcomes

from sweep.places import cache_dir
from sweep.sandbox.pool import SandboxPool

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from counted import Host, counted


@dataclass(frozen=True)
class Way:
    """What a sweep's [downloads] say, and its tuples: so many versions, each on GPUs of these capabilities."""

    downloads: dict[str, str]
    versions: list[str]
    capabilities: list[str]


WAYS = {
    # On two machines.
    "transfer": Way({"packages": "transfer"}, ["2.5"], ["7.0", "9.0"]),
    # Both capabilities are on one machine.
    "common": Way({"packages": "common"}, ["2.4", "2.5"], ["6.0", "8.9"]),
    "cache": Way({"cache": "kept"}, ["2.4", "2.5"], ["7.5"]),
}


@dataclass(frozen=True)
class Ended:
    """A sweep that has ended: its directory and outcomes, the channel's host, and the mirror that jobs ask."""

    here: Path
    tuples: dict[str, dict[str, Any]]
    host: Host
    mirror: Host

    def all(self, field: str) -> list[Any]:
        """A field of the outcomes, of each tuple."""
        return [each.get(field) for each in self.tuples.values()]


@pytest.fixture(scope="module")
def sweeps(pool: SandboxPool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """A sweep for each way, all at the same time."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name, way in WAYS.items():
            directory = tmp_path_factory.mktemp(name)
            host, mirror = (stack.enter_context(counted(cache_dir() / "channel")) for _ in range(2))
            downloads = {
                key: str(directory / "kept") if key == "cache" else value for key, value in way.downloads.items()
            }
            site = Site(
                pool,
                directory,
                conda={"channels": [host.url], "cache": str(directory / "cache")},
                gpus={"capabilities": way.capabilities},
                downloads=downloads,
                **{
                    "downloads.mirrors": {f'"{host.url}"': mirror.url},
                    "frameworks.pytorch": {"versions": way.versions},
                },
            )
            running[name] = site, site.start(), host, mirror
        ended = {}
        for name, (site, run, host, mirror) in running.items():
            assert site.end(run) == 0, site.account(run.here)
            ended[name] = Ended(run.here, outcomes(run.here), host, mirror)
        yield ended


def archives(host: Host) -> int:
    """The bytes of the packages that a host was asked for, each once."""
    found = {path.name: path.stat().st_size for path in (cache_dir() / "channel").glob("*/*.tar.bz2")}
    return sum(found[name] for name in host.packages)


@pytest.mark.parametrize("way", ["transfer", "common"])
def test_packages_that_travel_are_fetched_once_by_the_access_point(sweeps: dict[str, Ended], way: str) -> None:
    ended = sweeps[way]
    assert set(ended.all("verdict")) == {"works"}
    assert set(ended.mirror.packages.values()) == {1}
    assert not ended.host.packages
    assert set(ended.all("fetched_bytes")) == {0}
    assert json.loads((ended.here / "outcomes.json").read_text())["supplied"] == archives(ended.mirror)


def test_common_files_are_not_transferred_with_each_job(sweeps: dict[str, Ended]) -> None:
    spared = min(sweeps["transfer"].all("transferred_bytes")) - max(sweeps["common"].all("transferred_bytes"))
    assert spared == pytest.approx(archives(sweeps["transfer"].mirror), rel=0.2)
    ended = sweeps["common"]
    assert set(ended.all("machine")) == {"mixed.sim.example"}
    # Once for each of the two environments, although each has two jobs there.
    began = [e for e in event_log(ended.here) if e.kind == "COMMON_FILES" and "Started" in str(e.fields.values())]
    assert len(began) == 2


def test_a_cache_fetches_each_package_once_for_all_jobs_of_a_machine(sweeps: dict[str, Ended]) -> None:
    ended = sweeps["cache"]
    assert (ended.all("verdict"), set(ended.all("machine"))) == (["works"] * 2, {"turing.sim.example"})
    assert set(ended.mirror.packages.values()) == {1}
    assert not ended.host.packages
    assert sum(ended.all("fetched_bytes")) == archives(ended.mirror)
    locks = [path.read_text() for path in ended.here.glob("environments/*/explicit.txt")]
    assert len(locks) == 2 and all(ended.host.url in lock and ended.mirror.url not in lock for lock in locks)
