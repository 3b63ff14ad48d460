"""outcomes.json: the truth of a sweep; and pool-end.json, the pool as the sweep left it."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field

from sweep.cuda import DriverPolicy
from sweep.model import (
    Capability,
    Cause,
    Frozen,
    Inside,
    Name,
    Pool,
    Rung,
    Shown,
    Source,
    Verdict,
)
from sweep.schema.plan import ChannelSnapshot, Prediction
from sweep.schema.records import Amount, EachOnce, OfTuple
from sweep.schema.result import Measure


class Evidence(Frozen):
    """Where a verdict comes from: a file inside the sweep's directory, its line, the deciding words."""

    file: Inside
    line: int | None = None
    excerpt: Shown = ""


class Known(Frozen):
    """A known issue: its id, where it is written about, and what it is in one sentence."""

    id: Shown
    link: Shown
    text: Shown


class JUnitCounts(Frozen):
    """Tests of a JUnit file. A test has failed, or has ended in an error, or was skipped, or else has passed."""

    tests: int
    failures: int
    errors: int
    skipped: int


class Payload(Frozen):
    """How the project's own command ended in a tuple's environment; it does not change the tuple's verdict.

    `passed` is exit code 0 in time; an exit code below 0 is the signal that ended it. `tests` are those of its JUnit
    file, if it wrote one.
    """

    passed: bool
    ended: Literal["exited", "timeout", "interrupted"]
    exit_code: int | None = None
    seconds: Amount
    note: Shown | None = None
    tests: JUnitCounts | None = None


class Outcome(OfTuple):
    """What became of one tuple. Durations are seconds; `gpu_seconds` counts every attempt, from where the transfer of
    its input began; that took `transfer_seconds` of it. `install_seconds` and `probe_seconds` (with the measures of
    speed) are those of the last attempt.

    `transferred_bytes` is what HTCondor transferred to its jobs, all attempts counted, without common files.
    `fetched_bytes` is what its last attempt had to fetch from channels: as the job counted it where packages come
    along or are kept, else the size of its packages.

    `speed` is there where the tuple works: what the workload came to on its device and on the node's processor.

    `surprise` is set when the cause is another one than `prediction` said. Machine, device, driver, UUID and times
    (UTC) are those of the deciding attempt; `compared` says by what its result was found to be of that device.
    `known` is the known issue that foresees a failure of this tuple; `expected` that it came as foreseen.
    """

    verdict: Verdict
    cause: Cause
    reason: Shown
    rule: Shown | None = None
    evidence: Evidence
    submitted: bool
    prediction: Prediction | None = None
    audit: bool = False
    surprise: bool = False
    rung: Rung | None = None
    build: Shown | None = None
    lock_sha256: Shown | None = None
    machine: Shown | None = None
    device: Shown | None = None
    driver: Shown | None = None
    uuid: Shown | None = None
    compared: Shown | None = None
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
    known: Known | None = None
    expected: bool = False
    attempts: int = 0
    queue_seconds: Amount | None = None
    run_seconds: Amount | None = None
    speed: tuple[Measure, ...] = ()
    gpu_seconds: Amount = 0.0
    transfer_seconds: Amount | None = None
    install_seconds: Amount | None = None
    probe_seconds: Amount | None = None
    transferred_bytes: int | None = None
    fetched_bytes: int | None = None
    source: Source = Source.CONDA
    payload: Payload | None = None


class Outlier(Frozen):
    """A machine that fails where its peers succeed.

    `failures` counts its attempts that failed although others succeeded with the same environment or tuple;
    `successes` what it did itself; `peers` the machines that succeeded, `peer_successes` how often. `example` is one
    of the tuples, `reason` what was said of it.
    """

    machine: Shown
    failures: int
    successes: int
    peers: int
    peer_successes: int
    example: Shown
    reason: Shown


class FunnelRow(Frozen):
    """One line of the funnel: a stage, or a rule that took tuples out, and how many."""

    stage: Shown
    count: int
    detail: Shown = ""


class Digests(Frozen):
    """SHA-256 of what verdicts rest on beside locks and machines, so that two sweeps can tell what changed.

    `planning` is that of the rules of planning as they were used, `causes` that of the cause rules, `probes` by
    framework that of its probe with the driver that runs it. None and missing mean unknown.
    """

    planning: Shown | None = None
    causes: Shown | None = None
    probes: dict[Name, Shown] = Field(default={})


class Outcomes(Frozen):
    """outcomes.json: the truth of a sweep; every table and page is derived from it.

    `state` says how the sweep ended. `gpu_hours` is what the jobs held, all attempts counted, `budget` what they
    might hold, `budgets` what those of a capability might. `channels` are the channels as the plan saw them, `noted`
    by environment the versions of its packages that matter to GPUs most. `supplied` is what the access point fetched
    from channels for the jobs, bytes.
    """

    schema_: Literal["sweep.outcomes/1"] = Field(default="sweep.outcomes/1", alias="schema")
    sweep: Shown
    created: AwareDatetime
    state: Literal["complete", "deadline", "over-budget", "unfinished"]
    simulated: bool
    driver_policy: DriverPolicy
    pool: Pool
    funnel: tuple[FunnelRow, ...]
    gpu_hours: Amount
    channels: tuple[ChannelSnapshot, ...] = ()
    digests: Digests = Digests()
    noted: dict[Shown, dict[Shown, Shown]] = Field(default={})
    budget: Amount | None = None
    budgets: dict[Capability, Amount] = Field(default={})
    supplied: int = 0
    notes: tuple[Shown, ...] = ()
    outliers: tuple[Outlier, ...] = ()
    tuples: EachOnce[Outcome]

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SlotAnswer(Frozen):
    """How many slots could take a tuple's job when empty, and how many were free; the clause, if none ever could."""

    possible: int
    free: int
    rule: Shown | None = None
    clause: Shown = ""


class PoolEnd(Frozen):
    """pool-end.json: the pool as it was when the sweep ended, and what it could do for tuples that no slot took.

    `problem` says why the pool could not be looked at; then there is nothing else.
    """

    schema_: Literal["sweep.pool-end/1"] = Field(default="sweep.pool-end/1", alias="schema")
    taken: AwareDatetime
    problem: Shown | None = None
    pool: Pool | None = None
    tuples: dict[str, SlotAnswer] = Field(default={})

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Spent(Frozen):
    """spent.json: the moment (UTC) at which a budget in GPU-hours was gone; spent-C.json that of a capability."""

    schema_: Literal["sweep.spent/1"] = Field(default="sweep.spent/1", alias="schema")
    taken: AwareDatetime
    budget: Amount
    spent: Amount
    capability: Capability | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
