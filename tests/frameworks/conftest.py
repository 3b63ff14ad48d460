"""Each real framework is installed once, and climbs its ladder once, for all tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from installed import Python, python_with

from sweep import places
from sweep.probe.pack import DRIVER, driver_archive
from sweep.schema import Outcome, ProbeResult

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from sweepdir import Sweep, submitted

PROBE_OF = {"numba": "numba_cuda", "numba-bare": "numba_cuda"}


def probe_of(name: str) -> Path:
    """The probe file of a framework."""
    return places.probes() / f"{PROBE_OF.get(name, name)}.py"


@dataclass(frozen=True)
class Climbed:
    """What a framework's ladder came to: the result that the job would have left, and what the sweep makes of it."""

    result: ProbeResult
    outcome: Outcome


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver's one file."""
    path = tmp_path_factory.mktemp("driver") / DRIVER
    path.write_bytes(driver_archive())
    return path


@pytest.fixture(scope="session")
def climbed(tmp_path_factory: pytest.TempPathFactory, driver: Path) -> Callable[[str], Climbed]:
    """Climb with a framework, once; in a bare environment, as on a node, and classified as a sweep would."""

    @cache
    def climb(name: str) -> Climbed:
        python = python_with(name)
        directory = tmp_path_factory.mktemp(name)
        tuple_id = f"{PROBE_OF.get(name, name)}-1.0-cuda12.9-sm80"
        sweep = Sweep(directory)
        sweep.plan([submitted(tuple_id)])
        sweep.log(("exit-0", tuple_id))
        result = sweep.result(tuple_id, {})
        result.unlink()
        options = ["--result", result, "--tuple", tuple_id, "--probe", probe_of(name), "--capability", "8.0"]
        run_bare(python, [str(driver), *map(str, options)], directory)
        return Climbed(ProbeResult.model_validate_json(result.read_text()), sweep.only())

    return climb


@pytest.fixture(scope="session")
def on_cpu(tmp_path_factory: pytest.TempPathFactory, driver: Path) -> Callable[..., dict[str, Any]]:
    """Run the rungs that compute with a framework's CPU arrays, whole or with a damaged matrix product."""

    def run(name: str, place: str, formats: Iterable[str], *damage: str) -> dict[str, Any]:
        script = Path(__file__).with_name("climb_on_cpu.py")
        command = [str(script), str(driver), str(probe_of(name)), place, ",".join(formats), *damage]
        simulator = {"NUMBA_ENABLE_CUDASIM": "1"} if name.startswith("numba") else {}
        done = run_bare(python_with(name), command, tmp_path_factory.mktemp("cpu"), **simulator)
        return json.loads(done.splitlines()[-1])

    return run


def run_bare(python: Python, arguments: list[str], directory: Path, **more: str) -> str:
    """Run a Python as a job would, without home, caches and the caller's variables; what it wrote to stdout."""
    variables = {"PATH": os.defpath, "TMPDIR": str(directory), **python.variables, **more}
    done = subprocess.run(
        [python.path, "-s", "-B", *arguments],
        cwd=directory,
        env=variables,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
