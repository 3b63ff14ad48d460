"""A sweep over the frameworks that a machine has, in a private HTCondor that finds the machine's own GPUs.

usage: python sweep_installed.py INSTALLED OUTCOMES

INSTALLED is the list of results that `run` made; OUTCOMES gets the sweep's outcomes.json.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from installed_channel import Installed, build
from jinja2 import Template

from sweep import places
from sweep.sandbox.machines import Machine
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import Prefix, ensure_condor

# What the sandbox sets up for simulated devices gives way to HTCondor's own.
_REAL = """
# --- the machine's own GPUs
here.GPU_INVENTORY = $(LIBEXEC)/condor_gpu_discovery -extra -properties
STARTER_JOB_ENVIRONMENT =
"""

SETTINGS = Template("""\
[sweep]
results = "{{ results }}"
{% for name in frameworks %}
[frameworks.{{ name }}]
versions = 1
{% endfor %}
[cuda]
runtimes = {{ runtimes }}

[conda]
channels = ["{{ channel }}"]
cache = "{{ cache }}"
installer = "rattler"
installer_python = "{{ python }}"

[limits]
queue = "10m"
install = "5m"
probe = "15m"
run = "25m"
deadline = "2h"

[resources]
cpus = 1
memory = "4GB"
disk = "2GB"

[pool]
condor_config = "{{ condor_config }}"
""")


class RealPool(SandboxPool):
    """The sandbox's pool with one machine, whose GPUs are the real ones."""

    def __init__(self, prefix: Prefix, directory: Path) -> None:
        machine = Machine(name="here", cpus=os.cpu_count() or 1)
        super().__init__(prefix, directory, [machine])

    def _write_configuration(self, port: int) -> None:
        super()._write_configuration(port)
        with self.config_file.open("a") as config:
            config.write(_REAL)


def run(pool: SandboxPool, found: Sequence[dict[str, Any]], directory: Path) -> str:
    """Run the sweep in a pool that is up; the text of its outcomes.json."""
    python, installed = of_one_python(found)
    version = subprocess.run(
        [python, "-c", "import platform; print(platform.python_version())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    settings = directory / "sweep.toml"
    settings.write_text(
        SETTINGS.render(
            results=directory / "results",
            frameworks=sorted({each.framework for each in installed}),
            runtimes=json.dumps(sorted({each.cuda for each in installed})),
            channel=build(directory / "installed", python, version, installed),
            cache=directory / "cache",
            python=sys.executable,
            condor_config=pool.config_file,
        )
    )
    command = [sys.executable, "-m", "sweep", "--settings", str(settings), "submit", "--wait"]
    subprocess.run(command, env={**os.environ, **pool.environment}, check=True)
    return (directory / "results" / "latest" / "outcomes.json").read_text()


def of_one_python(found: Sequence[dict[str, Any]]) -> tuple[str, list[Installed]]:
    """The first Python that has frameworks which say their CUDA runtime, and those frameworks.

    Raises:
        SystemExit: there is none.
    """
    of: dict[str, list[Installed]] = {}
    for each in found:
        facts = each["result"]["framework"] or {}
        if runtime := runtime_of(facts.get("cuda")):
            of.setdefault(each["python"], []).append(Installed(each["framework"], plain(facts["version"]), runtime))
    if not of:
        raise SystemExit("no framework says which CUDA runtime it is for: there is nothing to sweep over")
    return next(iter(of.items()))


def runtime_of(said: str | None) -> str | None:
    """A CUDA runtime as settings have it: 12.5 for 12.5.1; None for what is no version."""
    match = re.match(r"\d+\.\d+(?!\d)", said or "")
    return match.group() if match else None


def plain(version: str) -> str:
    """A version without what says how it was built: 2.15.0+cu132 is 2.15.0."""
    return version.partition("+")[0]


def main() -> None:
    found = json.loads(Path(sys.argv[1]).read_text())
    home = places.cache_dir() / "pools"
    home.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="gpu-", dir=home))
    with RealPool(ensure_condor(places.cache_dir(), print), directory / "pool") as pool:
        Path(sys.argv[2]).write_text(run(pool, found, directory))
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
