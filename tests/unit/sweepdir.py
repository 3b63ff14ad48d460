"""Helpers of the classification tests: a sweep's directory, with recorded event logs and results of the real kind."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweep.files import write_model
from sweep.model import Cause, GpuClass, Pool, PoolProblem, Rung, VersionTuple
from sweep.schema import EnvironmentState, Outcome, Outcomes, Plan, PlannedEnvironment, PlannedTuple
from sweep.verdict import classify

LOGS = Path(__file__).parent / "data" / "events"
TUPLE = "pytorch-2.5-cuda12.4-sm80"
FAR = datetime(2035, 1, 1, tzinfo=UTC)  # a deadline that no recorded event comes near to

POOL = Pool(
    taken=datetime(2026, 11, 20, 6, 0, tzinfo=UTC),
    collector="127.0.0.1:9618",
    slots=2,
    classes=(
        GpuClass(
            capability="8.0",
            device="NVIDIA A100-SXM4-80GB (simulated)",
            memory_mb=81153,
            runtime="12.4",
            driver="550.54.15",
            mig=False,
            devices=2,
            machines=("ampere.sim.example",),
        ),
    ),
    problems=(PoolProblem(slot="slot1@mystery.sim.example", machine="mystery.sim.example", problem="no Capability"),),
)


def settled(tuple_id: str, cause: Cause, rule: str = "a-rule", reason: str = "because") -> PlannedTuple:
    """A tuple that planning settled without a job."""
    return PlannedTuple(**_fields(tuple_id), submitted=False, cause=cause, rule=rule, reason=reason)


def submitted(tuple_id: str) -> PlannedTuple:
    """A tuple that gets a job."""
    return PlannedTuple(**_fields(tuple_id), submitted=True)


def _fields(tuple_id: str) -> dict[str, str]:
    return {"id": tuple_id, **VersionTuple.parse(tuple_id).model_dump()}


def lock_of(environment: str) -> str:
    """The digest of an environment's lock."""
    return hashlib.sha256(environment.encode()).hexdigest()


def event_log(*jobs: tuple[str, str]) -> str:
    """Recorded logs one after the other, each (name of the recording, tuple id), with clusters of their own.

    The slots are of the tuples' capabilities, whatever the recorded ones were.
    """
    parts = []
    for number, (name, tuple_id) in enumerate(jobs, 1):
        text = (LOGS / f"{name}.log").read_text()
        text = re.sub(r'SweepTuple = "[^"]*"', f'SweepTuple = "{tuple_id}"', text)
        text = re.sub(r"\bCapability = [0-9.]+", f"Capability = {VersionTuple.parse(tuple_id).capability}", text)
        parts.append(
            re.sub(r"(?m)^(\d{3}) \((\d{3})\.", lambda m, n=number: f"{m[1]} ({int(m[2]) + 100 * n:03d}.", text)
        )
    return "".join(parts)


def result(tuple_id: str = TUPLE, broken: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """What the probe leaves behind; `broken` is the rung that did not pass, those after it are skipped."""
    rungs: list[dict[str, Any]] = []
    for rung in Rung:
        record: dict[str, Any] = {"rung": rung.value, "outcome": "passed", "seconds": 0.5}
        if broken is not None and rung.value == broken["rung"]:
            record |= {"outcome": "failed"} | dict(broken)
        elif rungs and rungs[-1]["outcome"] != "passed":
            record |= {"outcome": "skipped"}
        rungs.append(record)
    capability = VersionTuple.parse(tuple_id).capability
    steps = [{"name": name, "ok": True, "seconds": 1.0} for name in ("node", "install", "probe")]
    whole = {
        "schema": "sweep.result/1",
        "tuple": tuple_id,
        "state": "done",
        "started": 1795184544.5,
        "ended": 1795184549.0,
        "node": {"machine": "ampere.sim.example", "devices": [{"uuid": "GPU-1", "capability": capability}]},
        "steps": steps,
        "rungs": rungs,
        "framework": {"version": "2.5.1", "cuda": "12.4", "capability": capability},
        "stderr": "",
    }
    return whole | changes


class Sweep:
    """A sweep's directory, as the steps before classification leave it."""

    def __init__(self, directory: Path, name: str = "2026-11-20T060000") -> None:
        self.here = directory / name
        self.here.mkdir(parents=True)

    def plan(self, tuples: Iterable[PlannedTuple], **changes: Any) -> Plan:
        """Write plan.json; every environment of a submitted tuple is resolved."""
        tuples = tuple(tuples)
        environments = {VersionTuple.parse(t.id).environment: t for t in tuples if t.submitted}
        plan = Plan(
            **{
                "sweep": self.here.name,
                "created": datetime(2026, 11, 20, 6, 0, tzinfo=UTC),
                "deadline": FAR,
                "queue_limit": 86400,
                "run_limit": 7200,
                "driver_policy": "minor",
                "simulated": True,
                "pool": POOL,
                "channels": (),
                "environments": tuple(
                    PlannedEnvironment(
                        id=key.id,
                        **key.model_dump(),
                        state=EnvironmentState.RESOLVED,
                        specs=("pytorch 2.5.*",),
                        build="cuda124_py312_0",
                        lock_sha256=lock_of(key.id),
                    )
                    for key in environments
                ),
                "tuples": tuples,
            }
            | changes
        )
        write_model(self.here / "plan.json", plan)
        return plan

    def log(self, *jobs: tuple[str, str]) -> None:
        """Write events.log from recordings."""
        (self.here / "events.log").write_text(event_log(*jobs))

    def result(self, tuple_id: str, content: Mapping[str, Any] | bytes) -> Path:
        """Write a tuple's result.json."""
        path = self.here / "tuples" / tuple_id / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content, indent=1).encode())
        return path

    def classify(self) -> Outcomes:
        """Classify, and check on the way that a second time gives the very same file."""
        path = self.here / "outcomes.json"
        write_model(self.here / "outcomes.json", classify(self.here))
        first = path.read_bytes()
        write_model(self.here / "outcomes.json", classify(self.here))
        assert path.read_bytes() == first
        return Outcomes.model_validate_json(first)

    def only(self) -> Outcome:
        """The outcome of a sweep that has one tuple."""
        (outcome,) = self.classify().tuples
        return outcome


def one(directory: Path, recording: str, content: Mapping[str, Any] | bytes | None = None, **changes: Any) -> Sweep:
    """A sweep of one submitted tuple, whose job went as in a recording and left a result."""
    sweep = Sweep(directory)
    sweep.plan([submitted(TUPLE)], **changes)
    sweep.log((recording, TUPLE))
    if content is not None:
        sweep.result(TUPLE, content)
    return sweep
