"""Environments of every source in one sweep, and the project's own command: real jobs, and a real framework's wheels.

CuPy comes from the package index that pip is configured with on this machine (some 140 MB). There is no GPU here and
no container engine, so CuPy must end as it truly does without a driver, and the container must find no slot.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Site, outcomes

from sweep.sandbox.pool import SandboxPool

CUPY = "cupy-13.6-cuda12.9-sm75"
PYTORCH = "pytorch-2.8-cuda12.9-sm75"
JAX = "jax-0.6-cuda12.9-sm75"
TESTS = """
import os
from pathlib import Path

import torch

assert os.environ["SWEEP_TUPLE"] == "pytorch-2.8-cuda12.9-sm75"
assert Path("data/words").read_text() == "some words"
print("torch", torch.__version__)
case = '<testcase name="{}">{}</testcase>'
cases = [case.format("fine", ""), case.format("known", "<skipped/>"), case.format("wrong", "<failure/>")]
Path("out").mkdir()
Path("out/junit.xml").write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
raise SystemExit(1)
"""


@pytest.fixture(scope="module")
def here(pool: SandboxPool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished sweep of three frameworks, each from another source."""
    directory = tmp_path_factory.mktemp("sources")
    (directory / "own.py").write_text(TESTS)
    (directory / "data").mkdir()
    (directory / "data/words").write_text("some words")
    image = f"docker://a.example/jax@sha256:{'5' * 64}"
    tables: dict[str, dict[str, Any]] = {
        "frameworks.pytorch": {"versions": ["2.8"]},
        "frameworks.cupy": {
            "source": "pip",
            "versions": ["13.6"],
            "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        },
        "pip": {"python": str(Path(sys.executable).resolve())},
        "payload": {"command": ["python", "own.py"], "files": ["own.py", "data"], "junit": "out/junit.xml"},
        "limits": {"run": "1200s", "deadline": "1800s"},
    }
    site = Site(pool, directory, **tables)
    # TOML's inline tables are not JSON's.
    images = f'images = [{{ version = "0.6", cuda = "12.9", image = "{image}" }}]\n'
    text = site.settings.read_text()
    site.settings.write_text(f'{text}\n[frameworks.jax]\nsource = "container"\nversions = ["0.6"]\n{images}')
    run = site.start()
    assert site.end(run) == 0, site.account(run.here)
    return run.here


def test_real_wheels_end_as_they_truly_do_without_a_gpu(here: Path) -> None:
    found = outcomes(here)[CUPY]
    assert (found["verdict"], found["source"]) == ("gpu-failure", "pip")
    assert found["cause"] in ("no-device", "driver-too-old", "library-missing"), found["reason"]
    assert found["build"] == "cupy-cuda12x 13.6.0"
    result = json.loads((here / "tuples" / CUPY / "result.json").read_text())
    assert {step["name"]: step["ok"] for step in result["steps"]}["install"] is True
    assert [rung["outcome"] for rung in result["rungs"][:2]] == ["passed", "passed"], result["rungs"]
    assert result["framework"]["version"] == "13.6.0"
    lock = (here / "environments/cupy-13.6-cuda12.9/requirements.txt").read_text()
    assert "--hash=sha256:" in lock
    plan = json.loads((here / "plan.json").read_text())
    (environment,) = (e for e in plan["environments"] if e["framework"] == "cupy")
    assert environment["lock_sha256"] == found["lock_sha256"]
    assert environment["runtime"].startswith("12.9.")
    print(found["cause"], "|", found["reason"])


def test_the_payload_runs_where_a_kernel_ran_and_changes_no_verdict(here: Path) -> None:
    found = outcomes(here)
    assert found[PYTORCH]["cause"] == "all-rungs"
    payload = found[PYTORCH]["payload"]
    assert (payload["passed"], payload["ended"], payload["exit_code"]) == (False, "exited", 1)
    assert payload["tests"] == {"tests": 3, "failures": 1, "errors": 0, "skipped": 1}
    assert (here / "tuples" / PYTORCH / "payload.out").read_text().startswith("torch 2.8")
    assert found[CUPY].get("payload") is None
    assert (here / "tuples" / CUPY / "payload.out").read_bytes() == b""


def test_a_pool_without_an_engine_has_no_slot_for_a_container(here: Path) -> None:
    found = outcomes(here)[JAX]
    assert (found["cause"], found["rule"], found["source"]) == ("no-such-slot", "no-container-support", "container")
    assert "TARGET.HasContainer" in found["reason"]
    assert "(TARGET.HasDockerURL)" in found["reason"]


def test_the_tables_say_where_environments_come_from_and_how_the_payload_ended(here: Path) -> None:
    with (here / "compatibility.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert {id_: row["source"] for id_, row in rows.items()}[CUPY] == "pip"
    assert (rows[PYTORCH]["payload_passed"], rows[PYTORCH]["payload_failures"]) == ("False", "1")
    assert rows[CUPY]["payload_passed"] == ""
    text = (here / "compatibility.md").read_text()
    assert "## cupy\n\nEnvironments: wheels of a package index.\n" in text
    assert "## jax\n\nEnvironments: container images.\n" in text
    assert f"- `{PYTORCH}`: failed with exit code 1 after " in text
