"""Facts about CUDA, drivers and builds that no channel and no pool tells: dated tables with their sources.

A site may correct a table: a file of the same name in a directory of its own replaces the built-in one. Tables say
what was known on their dates: None means unknown, never "no".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from sweep import places
from sweep.cuda import DriverPolicy, version_key
from sweep.errors import SettingsError
from sweep.facts.tables import (
    ArchList,
    Archs,
    DriverBranch,
    Drivers,
    PredictionRow,
    Predictions,
    System,
    Systems,
    Toolkit,
    Toolkits,
    Upstreams,
    branch_of,
)
from sweep.ranges import within
from sweep.tomlfile import Model, did_you_mean, read_toml, validated

_TABLES = ("toolkits.toml", "drivers.toml", "archs.toml", "systems.toml", "upstream.toml", "predictions.toml")


@dataclass(frozen=True)
class Facts:
    """The tables, and the questions that they answer. Runtimes are CUDA versions such as `12.4`."""

    toolkits: Toolkits
    drivers: Drivers
    arch_lists: Archs
    systems: Systems
    upstreams: Upstreams
    predictions: Predictions

    @cached_property
    def _systems(self) -> dict[str, System]:
        return {name: row for row in self.systems.system for name in row.names}

    @cached_property
    def _targets(self) -> dict[str, Toolkit]:
        return {capability: row for row in self.toolkits.toolkit for capability in row.capabilities}

    # ----------------------------------------------------------------------- toolkits

    def dropped_by(self, runtime: str, capability: str) -> Toolkit | None:
        """The row that says that the toolkit of a runtime compiles for a capability no longer."""
        row = self._targets.get(capability)
        return row if row is not None and row.dropped(runtime) else None

    # ----------------------------------------------------------------------- drivers

    def minimum_driver(self, runtime: str, policy: DriverPolicy) -> str | None:
        """The oldest driver release that may run a runtime under the policy; None where no row says."""
        exact = next((row.driver for row in self.toolkits.strict if row.runtime == runtime), None)
        if policy is DriverPolicy.STRICT:
            return exact
        major = version_key(runtime)[0]
        compatible = next((row.driver for row in self.toolkits.minor if row.major == major), None)
        return min(filter(None, (exact, compatible)), key=version_key, default=None)

    def newest_runtime(self, driver: str) -> str | None:
        """The newest runtime that a driver supports, by its release or its branch (`590`); None where no row says."""
        parts = version_key(driver)
        supported = [row.runtime for row in self.toolkits.strict if version_key(row.driver)[: len(parts)] <= parts]
        return max(supported, key=version_key, default=None)

    def driver_drops(self, driver: str, capability: str) -> DriverBranch | None:
        """The row that says that a driver release ignores GPUs of a capability."""
        branch = branch_of(driver)
        if branch is None:
            return None
        return next((row for row in self.drivers.branch if row.drops(branch, capability)), None)

    # ----------------------------------------------------------------------- builds

    def archs(self, framework: str, version: str, compiled: str, built: datetime | None) -> ArchList | None:
        """What a build carries code for; None where no row says, or several do because its day is unknown.

        `version` is the build's own or its series, `compiled` the CUDA that it was compiled with.
        """
        day = built.date() if built else None
        rows = [row for row in self.arch_lists.archs if row.describes(framework, version, compiled) and row.made(day)]
        return rows[0] if len(rows) == 1 else None

    def upstream(self, framework: str, version: str) -> tuple[str, ...] | None:
        """The oldest runtimes, one for each CUDA major version, that conda-forge's builds of a version or series
        run with; None for a version that no row knows.
        """
        rows = [
            row
            for row in self.upstreams.upstream
            if row.framework == framework and any(within(known, version) for known in row.versions)
        ]
        if not rows:
            return None
        oldest: dict[int, str] = {}
        for runtime in sorted({runtime for row in rows for runtime in row.cuda}, key=version_key):
            oldest.setdefault(version_key(runtime)[0], runtime)
        return tuple(oldest.values())

    # ----------------------------------------------------------------------- systems and predictions

    def system(self, name: str) -> System | None:
        """What an operating system has at least, by HTCondor's OpSysAndVer."""
        return self._systems.get(name)

    @property
    def rows(self) -> tuple[PredictionRow, ...]:
        """The predict rules that are data, in order."""
        return self.predictions.prediction

    @property
    def packages(self) -> frozenset[str]:
        """The packages whose versions in a solution the predict rules ask for."""
        return frozenset(row.package for row in self.rows if row.package)


def load_facts(directory: Path | None = None) -> Facts:
    """The built-in tables, or in their place those of the same name in a directory of the site's own.

    Raises:
        SettingsError: the directory cannot be read, a file in it is no table of facts, or a table is wrong.
    """
    own = _own_tables(directory) if directory else {}

    def table(name: str, model: type[Model]) -> Model:
        path = own.get(name, places.PACKAGE / "facts" / name)
        return validated(model, read_toml(path, "it is part of the package; install it again"), path)

    return Facts(
        toolkits=table("toolkits.toml", Toolkits),
        drivers=table("drivers.toml", Drivers),
        arch_lists=table("archs.toml", Archs),
        systems=table("systems.toml", Systems),
        upstreams=table("upstream.toml", Upstreams),
        predictions=table("predictions.toml", Predictions),
    )


def _own_tables(directory: Path) -> dict[str, Path]:
    """The site's tables by name; a misspelled one would silently leave the built-in one in force."""
    if not directory.is_dir():
        raise SettingsError(f"{directory}: no such directory of fact tables; make it, or take it out of the settings")
    found = {path.name: path for path in sorted(directory.glob("*.toml"))}
    for name in found:
        if name not in _TABLES:
            raise SettingsError(f"{directory / name}: not a table of facts{did_you_mean(name, _TABLES, 'tables')}")
    return found
