"""What happened to a tuple: its jobs, and their attempts on machines. The event log tells it; `events` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands. A disconnected or suspended one still has its slot."""

    IDLE = "idle"
    RUNNING = "running"
    SUSPENDED = "suspended"
    DISCONNECTED = "disconnected"
    HELD = "held"
    EXITED = "exited"
    SIGNALLED = "signalled"
    REMOVED = "removed"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to the job."""
        return self in (JobState.EXITED, JobState.SIGNALLED, JobState.REMOVED)


@dataclass(slots=True)
class Attempt:
    """One start of a job on a machine. Times are Unix seconds; `line` is where the start stands in the log.

    The device is the one that the slot was given: `uuid` with `GPU-` or `MIG-` before it, compute `capability`
    ("8.0"), newest CUDA `runtime` that the `driver` supports ("12.4"); each None where the machine does not say.
    `ended_by` is what ended the attempt, `why` the words of that event; `exit_code` or `signal` is set when the
    program itself ended. `received` are the bytes of its input that HTCondor transferred, where that event says, and
    `claimed` is when that transfer began: from then on the device was nobody else's.
    """

    start: int
    machine: str | None
    slot: str | None
    gpus: int
    device: str | None
    driver: str | None
    uuid: str | None = None
    capability: str | None = None
    runtime: str | None = None
    line: int = 0
    end: int | None = None
    ended_by: str | None = None
    why: str = ""
    exit_code: int | None = None
    signal: int | None = None
    received: int | None = None
    claimed: int | None = None

    @property
    def transfer_seconds(self) -> int:
        """How long its input took to arrive, 0 where the log does not say."""
        return 0 if self.claimed is None else max(0, self.start - self.claimed)

    def seconds(self, now: int) -> int:
        """How long it ran; until `now` if it has not ended."""
        return max(0, (self.end if self.end is not None else now) - self.start)

    def gpu_seconds(self, now: int) -> float:
        """Seconds times devices that the attempt held; until `now` if it has not ended."""
        return (self.transfer_seconds + self.seconds(now)) * self.gpus


@dataclass(frozen=True, slots=True)
class Turn:
    """An event that changed a job's state: where it stands in the log, when it happened, what it was and said."""

    line: int
    time: int
    event: str
    words: str


@dataclass(slots=True)
class Job:
    """One job (cluster and proc) of a tuple, as the event log tells it. Holds are (code, subcode, reason).

    `matched` is when a slot first showed that it had the job; None says that none ever did. `evictions` are the
    words of whatever took a slot away, `transfer_failures` those about files that could not be moved, and `errors`
    what execute nodes complained of. `removal` is the reason of the removal. `receiving` is when the transfer of its
    input began, until it starts, and `lost_transfers` the seconds of those after which it did not start.
    """

    cluster: int
    submitted: int
    proc: int = 0
    state: JobState = JobState.IDLE
    matched: int | None = None
    receiving: int | None = None
    lost_transfers: int = 0
    attempts: list[Attempt] = field(default_factory=list)
    holds: list[tuple[int, int, str]] = field(default_factory=list)
    evictions: list[str] = field(default_factory=list)
    transfer_failures: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    disconnects: int = 0
    turns: list[Turn] = field(default_factory=list)
    ended: int | None = None
    exit_code: int | None = None
    signal: int | None = None
    removal: str = ""

    @property
    def line(self) -> int | None:
        """The line of the log on which the newest event begins that changed the job's state."""
        return self.turns[-1].line if self.turns else None

    @property
    def removed_by(self) -> str | None:
        """The user who removed the job; None if one of its own expressions did, or nobody."""
        found = re.search(r"\(by user ([^\s()]+)\)$", self.removal)
        return found[1] if found else None

    def transfer_seconds(self, now: int) -> int:
        """How long slots were held while input arrived, or did not; until `now` where it still does."""
        return sum(a.transfer_seconds for a in self.attempts) + self._without_a_start(now)

    def gpu_seconds(self, now: int) -> float:
        """Seconds times devices that it held, over all attempts and transfers."""
        return sum(a.gpu_seconds(now) for a in self.attempts) + self._without_a_start(now)

    def _without_a_start(self, now: int) -> int:
        """Seconds of transfers after which it did not start, or has not yet."""
        return self.lost_transfers + (0 if self.receiving is None else max(0, now - self.receiving))

    def queue_seconds(self, now: int) -> int:
        """How long it waited for its first start; until its end or `now` if there was none."""
        first = self.attempts[0].start if self.attempts else self.ended
        return max(0, (now if first is None else first) - self.submitted)


@dataclass(slots=True)
class History:
    """Every job of one tuple, oldest first: a rescue run or a retry of the node adds one."""

    tuple: str
    jobs: list[Job] = field(default_factory=list)

    @property
    def last(self) -> Job:
        """The newest job: where the tuple stands now."""
        return self.jobs[-1]

    @property
    def decisive(self) -> Job:
        """The newest job that reached a verdict, else the newest.

        A job that ends in the moment before its sweep is removed may be repeated by the rescue run; if that repeat
        comes to nothing, the first one's verdict still holds.
        """
        return next((job for job in reversed(self.jobs) if job.exit_code == 0), self.last)

    @property
    def attempts(self) -> list[Attempt]:
        """Every attempt of every job, those that a retry or a rescue run replaced among them."""
        return [attempt for job in self.jobs for attempt in job.attempts]
