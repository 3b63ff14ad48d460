"""Measures what pruning, the stage gate and reuse save, against the full product of versions, runtimes and GPUs.

Four runs over one space, on a private HTCondor with simulated GPUs (savings_pool.toml) and a channel of stand-ins
(many_builds):

    (a) the full product: a GPU job for every candidate (full_product)
    (b) pruning only: a sweep without the stage gate
    (c) pruning and gate: a sweep with the defaults
    (d) reuse: the quarter after (c), in which a tenth of the channel's builds were made again

Prints jobs, GPU-seconds and wall time of each, and the most devices that each held at once. Exits 1 and names the
tuples when (b), (c) or (d) contradict (a); environments that changed for (d) are compared with a sweep that tests all
of them. Every run has the same number of jobs at once, so that its GPU-seconds can be compared with the others'.

Takes the better part of an hour: python -m sweep.sandbox exec -- python tests/bench/bench_savings.py [--versions N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import full_product
import savings
from many_builds import RUNTIMES, channel_data, versions

from sweep.files import read_model
from sweep.model import EnvironmentKey
from sweep.places import OUTCOMES, PLAN, cache_dir
from sweep.sandbox.channel import build_channel
from sweep.sandbox.machines import read_machines
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import ensure_condor
from sweep.schema import Outcome, Outcomes, Plan
from sweep.sweeps import newest

SHARE = 0.5
# Jobs at once for each core, in every run alike: the devices are simulated, the processors are not.
JOBS_PER_CORE = 4
LIMIT = "bench"
PATIENCE = 90  # seconds without any event, after which the full product's queue limit is over
PYTHON = str(Path(sys.executable).absolute())


@dataclass
class Site:
    """A pool with a channel, and the settings of the runs; costs come together here."""

    pool: SandboxPool
    home: Path
    count: int
    costs: list[savings.Cost] = field(default_factory=list)

    def enter_quarter(self, number: int) -> None:
        """Build the channel as it is in a quarter, at the same address."""
        data = self.home / "channel.toml"
        data.write_text(channel_data(self.count, number))
        build_channel(self.home / "channel", PYTHON, data)

    def settings(self, name: str, results: str, **changes: Mapping[str, Any]) -> Path:
        """The sweep.toml of a run; `changes` are tables that come over the common ones."""
        tables: dict[str, dict[str, Any]] = {
            "sweep": {"results": str(self.home / results)},
            "cuda": {"runtimes": RUNTIMES, "driver_policy": "minor"},
            "conda": {
                "channels": [(self.home / "channel").as_uri()], "cache": str(self.home / "cache"),
                "installer": "rattler", "installer_python": PYTHON,
            },
            # Nobody waits in vain here but the full product, which sees to the end of that itself.
            "limits": {"queue": "20h", "deadline": "24h"},
            "load": {"share": SHARE},
            "resources": {"memory": "500MB", "disk": "200MB"},
            "submit": {"concurrency_limits": LIMIT},
            "pool": {"condor_config": str(self.pool.config_file)},
            "frameworks.pytorch": {"versions": versions(self.count), "python": "3.12"},
        }  # fmt: skip
        for table, change in changes.items():
            tables.setdefault(table, {}).update(change)
        path = self.home / f"{name}.toml"
        path.write_text(
            "".join(
                f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
                for table, values in tables.items()
            )
        )
        return path

    def sweep(self, settings: Path, *words: object) -> str:
        """Run a `sweep` command; what it printed."""
        command = [PYTHON, "-m", "sweep", "--settings", str(settings), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def timed(self, name: str, action: Callable[[], Path]) -> Path:
        """Do a run and note its cost; its directory."""
        began = time.monotonic()
        here = action()
        self.costs.append(savings.cost(name, here, time.monotonic() - began, os.getloadavg()[1]))
        print(f"{name}: {self.costs[-1].jobs} jobs in {self.costs[-1].wall:.0f} s", flush=True)
        return here

    def run(self, name: str, settings: Path) -> Path:
        """A whole sweep, to its end."""

        def whole() -> Path:
            self.sweep(settings, "submit", "--wait")
            return newest(settings.parent / settings.stem)

        return self.timed(name, whole)


def full(site: Site) -> Path:
    """Run (a)."""
    settings = site.settings(
        "full", "full", rules={"off": full_product.RULES_OFF}, load={"share": 1.0, "gate": False}
    )
    here = Path(site.sweep(settings, "new").strip()).parent
    site.sweep(settings, "plan", here)
    full_product.run(full_product.write_dag(here, plan_of(here)), PATIENCE)
    return here


def plan_of(here: Path) -> Plan:
    """The plan of a run."""
    return read_model(here / PLAN, Plan, "sweep plan")


def outcomes_of(here: Path) -> tuple[Outcome, ...]:
    """The outcomes of a run."""
    return read_model(here / OUTCOMES, Outcomes, "sweep report").tuples


def changed(before: Path, after: Path) -> set[EnvironmentKey]:
    """The environments whose lock is not what it was."""
    locks = {o.environment: o.lock_sha256 for o in outcomes_of(before)}
    return {o.environment for o in outcomes_of(after) if o.lock_sha256 != locks[o.environment]}


def main() -> int:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--versions", type=int, default=32, help="of PyTorch; 64 candidates each")
    count = parser.parse_args().versions
    home = cache_dir() / "bench" / "savings"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    machines = read_machines(Path(__file__).with_name("savings_pool.toml"))
    with SandboxPool(ensure_condor(cache_dir(), print), home / "pool", machines) as pool:
        os.environ.update(pool.environment)
        limit_jobs(pool)
        return measured(Site(pool, home, count))


def limit_jobs(pool: SandboxPool) -> None:
    """Let no more jobs run at once than the machine can bear, whatever the devices could take."""
    with pool.config_file.open("a") as config:
        config.write(f"\n{LIMIT}_LIMIT = {JOBS_PER_CORE * (os.cpu_count() or 1)}\n")
        # Otherwise twenty jobs of (a) that no slot ever takes hold up all others: see the setting load.jobs.
        config.write("SCHEDD_ENABLE_PER_USER_MATCH_LIMITS = false\n")
    subprocess.run(["condor_reconfig"], check=True, stdout=subprocess.DEVNULL)


def measured(site: Site) -> int:
    """Do the runs and print what they cost; 1 if tuples contradict each other, else 0."""
    site.enter_quarter(1)
    whole = site.timed("(a) full product", lambda: full(site))
    said = full_product.settled(whole, plan_of(whole))
    pruned = site.run("(b) pruning only", site.settings("pruned", "pruned", load={"gate": False}))
    gated = site.run("(c) with gate", site.settings("quarters", "quarters"))
    site.enter_quarter(2)
    reused = site.run("(d) with reuse", site.settings("quarters", "quarters", reuse={"age": "180d"}))
    made_again = changed(gated, reused)
    print(savings.shown(site.costs), end="\n\n")

    candidates = plan_of(whole).tuples
    print(f"(a) settles {len(said)} of {len(candidates)} candidates, {sum(not s.ran for s in said.values())} of them")
    print("because no slot ever took the job")
    bad = compared("(b)", said, pruned) + compared("(c)", said, gated) + compared("(d)", said, reused, made_again)
    bad += compared_afresh(site, reused, made_again)
    for name, here in (("(a)", whole), ("(b)", pruned), ("(c)", gated), ("(d)", reused)):
        print_held(name, here)
    for line in bad:
        print(f"DISAGREES {line}")
    return 1 if bad else 0


def compared(
    name: str, said: Mapping[str, full_product.Settled], here: Path, skip: Collection[EnvironmentKey] = ()
) -> list[str]:
    """Print how a run agrees with the full product; the tuples on which it does not."""
    found = savings.agreement(said, outcomes_of(here), skip)
    print(
        f"{name} agrees with (a) on {found.same} tuples, has another reason for {found.another_reason} that no slot "
        f"took, and disagrees on {len(found.differ)}"
    )
    return [f"{name} {line}" for line in found.differ]


def compared_afresh(site: Site, reused: Path, made_again: Collection[EnvironmentKey]) -> list[str]:
    """Test all tuples of the environments that changed; those of which the quarter with reuse says otherwise."""
    only = [f"{environment.id}-*" for environment in made_again]
    here = site.run("changed afresh", site.settings("fresh", "fresh", load={"gate": False}, space={"only": only}))
    fresh = {outcome.id: outcome for outcome in outcomes_of(here)}
    found = savings.contradictions(fresh, outcomes_of(reused))
    locks = len({o.environment for o in outcomes_of(reused) if o.lock_sha256})
    print(f"{len(made_again)} of {locks} locks changed for (d); of their {len(fresh)} tuples {len(found)} disagree")
    return [f"(d) {line}" for line in found]


def print_held(name: str, here: Path) -> None:
    """Print the most devices that a run held at once of each GPU class."""
    found = savings.held(here, plan_of(here).pool.classes, SHARE)
    over = sum(h.most > h.share for h in found)
    most = ", ".join(f"{h.gpu.capability} {h.most}/{h.gpu.devices}" for h in found)
    print(f"{name} held at most {most}; more than the share of {SHARE} in {over} of {len(found)} classes")


if __name__ == "__main__":
    sys.exit(main())
