"""A real pool of simulated GPUs for the tests of this directory; they need the user that `make test` enters."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sweep import places
from sweep.places import cache_dir
from sweep.sandbox import demo
from sweep.sandbox.channel import build_channel
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import Prefix, ensure_condor

# The demonstration takes minutes, mostly waiting: it comes first, while the other worker goes through the rest.
FIRST = "test_demo_truth.py"
# One queue limit for the whole of it: short enough to wait for, long enough for two busy cores.
DEMO_QUEUE_LIMIT = 200  # seconds
PATIENCE = 180  # seconds that a small sweep may take on a busy machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name != FIRST)


@pytest.fixture(scope="session")
def condor() -> Prefix:
    """The HTCondor that the pools of this session run."""
    if os.geteuid() == 0:
        pytest.exit(
            "HTCondor refuses root: run `make test`, or `python -m sweep.sandbox exec -- python -m pytest ...`",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    return ensure_condor(cache_dir(), print)


@pytest.fixture(scope="session")
def pool(condor: Prefix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxPool]:
    """One running pool for the whole session; commands and bindings of this process use it."""
    before = dict(os.environ)
    with SandboxPool(condor, tmp_path_factory.mktemp("pool")) as running:
        os.environ.update(running.environment)
        if "htcondor2" in sys.modules:  # it read the configuration when it was imported
            sys.modules["htcondor2"].reload_config()
        yield running
    os.environ.clear()
    os.environ.update(before)


# --------------------------------------------------------------------------- the demonstration


@dataclass
class Demonstration:
    """The demonstration's sweep, under way; `settled` waits for its end."""

    pool: SandboxPool
    results: Path
    command: subprocess.Popen[bytes]
    said: Path

    def settled(self) -> Path:
        """The directory of the finished sweep."""
        assert self.command.wait(600) == 0, self.said.read_text()
        return (self.results / "latest").resolve()


@pytest.fixture(scope="session")
def demonstration(condor: Prefix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demonstration]:
    """`make demo` in a pool of its own, running in the background."""
    directory = tmp_path_factory.mktemp("demonstration")
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(SandboxPool(condor, directory / "pool"))
        results = directory / "results"
        settings = demo.write_settings(own, directory, results, queue_limit=DEMO_QUEUE_LIMIT)
        stack.enter_context(demo.another_user(own))
        stack.enter_context(demo.administrator(own))
        said = directory / "said"
        command = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "sweep", "--settings", settings, "submit", "--wait"],
                stdout=stack.enter_context(said.open("wb")),
                stderr=subprocess.STDOUT,
                env={**os.environ, **own.environment},
            )
        )
        stack.callback(command.terminate)
        yield Demonstration(own, results, command, said)


# --------------------------------------------------------------------------- small sweeps


def wait_for(what: Callable[[], Any], seconds: float = 60, interval: float = 0.2) -> Any:
    """What `what` returns as soon as that is true; the test fails when it stays false."""
    end = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > end:
            pytest.fail(f"{what} was not true within {seconds:.0f} s")
        time.sleep(interval)
    return found


class Gate:
    """Holds the probes of the framework `gated` until it is opened; tests decide so what is still running.

    `gated` is a framework file as a user would write one: PyTorch, with a probe that waits before it begins.
    """

    FRAMEWORK = (
        'schema = 1\nname = "gated"\ntitle = "PyTorch behind a gate"\npackage = "pytorch"\nseries = 2\n'
        'cuda_package = "pytorch"\nspecs = ["pytorch {version}.*", "cuda-version {cuda}.*"]\nprobe = "gated.py"\n'
    )
    PROBE = """

_load_at_once = load
BENCHES = ()  # nothing waits at the gate a second time


def load():
    import re
    import time

    with open(os.environ["_CONDOR_JOB_AD"]) as ad:
        name = re.search('SweepTuple = "(.*)"', ad.read()).group(1)
    while not any(os.path.exists(os.path.join(GATE, opened)) for opened in (name, "all")):
        time.sleep(0.1)
    return _load_at_once()
"""

    def __init__(self, directory: Path) -> None:
        self.files = directory / "frameworks"
        self._gate = directory / "gate"
        self.files.mkdir()
        self._gate.mkdir()
        (self.files / "gated.toml").write_text(self.FRAMEWORK)
        probe = (places.probes() / "pytorch.py").read_text() + f"\n\nGATE = {str(self._gate)!r}\n" + self.PROBE
        (self.files / "gated.py").write_text(probe)

    def open(self, name: str = "all") -> None:
        """Let one tuple's probe begin, or all of them."""
        (self._gate / name).touch()

    def close(self) -> None:
        """Hold all that have not begun yet."""
        for name in self._gate.iterdir():
            name.unlink()


@dataclass(frozen=True)
class Run:
    """One sweep in the queue: its directory and the cluster of its parent DAG."""

    here: Path
    job: str


class Site:
    """A user of a pool: settings and results directory of their own, and the commands in their environment.

    `changes` are tables of sweep.toml; they come over tables that make a sweep of one tuple in seconds.
    """

    def __init__(self, pool: SandboxPool, directory: Path, **changes: dict[str, Any]) -> None:
        self.pool, self.directory = pool, directory
        self.results = directory / "results"
        self.settings = directory / "sweep.toml"
        self.environment = {**os.environ, **pool.environment}
        python = str(Path(sys.executable).absolute())
        tables: dict[str, dict[str, Any]] = {
            "sweep": {"results": str(self.results)},
            "cuda": {"runtimes": ["12.9"], "driver_policy": "minor"},
            "gpus": {"capabilities": ["7.5"]},
            "conda": {
                "channels": [build_channel(cache_dir() / "channel", python)],
                "cache": str(cache_dir()),
                "installer": "rattler",
                "installer_python": python,
            },
            "limits": {
                "queue": "120s",
                "install": "120s",
                "probe": "240s",
                "run": "400s",
                "held": "20s",
                "deadline": "900s",
            },
            "load": {"share": 1.0, "gate": False},
            "resources": {"memory": "500MB", "disk": "200MB"},
            "pool": {"condor_config": str(pool.config_file)},
        }
        for name, change in changes.items():
            tables.setdefault(name, {}).update(change)
        if not any(name.startswith("frameworks.") for name in tables):
            tables["frameworks.pytorch"] = {"versions": ["2.8"]}
        lines = []
        for name, table in tables.items():
            if name.startswith("frameworks."):
                table = {"python": "3.12", **table}
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items()), ""]
        self.settings.write_text("\n".join(lines))

    def command(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command with the pool in its environment."""
        options = {"env": self.environment, "timeout": PATIENCE, "cwd": self.directory} | options
        return subprocess.run([str(w) for w in words], capture_output=True, text=True, **options)

    def sweep(self, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a `sweep` command with this site's settings."""
        return self.command(sys.executable, "-m", "sweep", "--settings", self.settings, *words, **options)

    def start(self, *words: object) -> Run:
        """`sweep submit` or `sweep try`: the sweep that is in the queue now."""
        return submitted(self.sweep(*(words or ("submit",))))

    def end(self, run: Run) -> int:
        """Wait until a sweep has ended; the exit code of its parent DAG."""
        log = run.here / "sweep.dag.dagman.log"
        done = self.command("condor_wait", "-wait", PATIENCE, log, run.job, timeout=PATIENCE + 20)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{self.account(run.here)}"
        return int(json.loads((run.here / "sweep.dag.metrics").read_text())["exitcode"])

    def account(self, here: Path) -> str:
        """What a sweep's own logs say, for the message of a failed test."""
        names = ("plan.log", "close.log", "summary.txt")
        return "\n".join(f"--- {n}\n{(here / n).read_text()}" for n in names if (here / n).is_file())


def submitted(done: subprocess.CompletedProcess[str]) -> Run:
    """The sweep that a command says it has submitted."""
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"is job (\d+); its directory is (\S+)", done.stdout)
    assert found is not None, done.stdout
    return Run(Path(found[2]), found[1])


def outcomes(here: Path) -> dict[str, dict[str, Any]]:
    """The outcomes of a sweep by tuple id."""
    return {each["id"]: each for each in json.loads((here / "outcomes.json").read_text())["tuples"]}


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def causes(here: Path) -> dict[str, str]:
    """The cause of every tuple."""
    return {name: each["cause"] for name, each in outcomes(here).items()}


@dataclass(frozen=True)
class Event:
    """One event of a sweep's event log, with the tuple that it is about."""

    tuple: str
    cluster: int
    kind: str
    fields: dict[str, Any]


def event_log(here: Path) -> list[Event]:
    """The jobs' event log, read with HTCondor's bindings and nothing of the sweep's."""
    import htcondor2

    path = here / "events.log"
    if not path.is_file():
        return []
    log = htcondor2.JobEventLog(str(path))
    names: dict[int, str] = {}
    found = []
    for event in log.events(stop_after=0):
        if event.type.name == "SUBMIT":
            names[event.cluster] = str(event["StructuredNotes"]["SweepTuple"])
        found.append(Event(names[event.cluster], event.cluster, event.type.name, dict(event)))
    log.close()
    return found


def seen(here: Path, kind: str) -> list[str]:
    """The tuples that an event of this kind happened to, in order."""
    return [event.tuple for event in event_log(here) if event.kind == kind]


def started_on(here: Path, tuple_id: str) -> list[str]:
    """Where a tuple's jobs started, in order."""
    return [
        str(event.fields["SlotName"]).rpartition("@")[2]
        for event in event_log(here)
        if event.kind == "EXECUTE" and event.tuple == tuple_id
    ]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate for this test's sweeps, closed."""
    return Gate(tmp_path)


@pytest.fixture
def gated_site(pool: SandboxPool, tmp_path: Path, gate: Gate) -> Callable[..., Site]:
    """Makes the test's site, whose framework is `gated`, by default in one version."""

    def make(*versions: str, **changes: dict[str, Any]) -> Site:
        tables = {"frameworks.gated": {"versions": list(versions or ("2.8",))}, **changes}
        tables["sweep"] = {"framework_files": str(gate.files), **changes.get("sweep", {})}
        return Site(pool, tmp_path, **tables)

    return make
