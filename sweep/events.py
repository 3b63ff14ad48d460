"""The jobs' own event log -> what happened to each tuple. One pass; the log is appended across rescue runs.

DAGMan's own nodes log is never read: it is truncated by every rescue run and lacks half of the event types.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from sweep.attributes import device_capability, device_runtime, device_text, device_uuid
from sweep.eventlog import Read, Reader
from sweep.history import Attempt, History, Job, JobState, Turn
from sweep.ids import parts_of

__all__ = [
    "STATE_AFTER",
    "Attempt",
    "EventLog",
    "History",
    "Job",
    "JobState",
    "Tracker",
    "Turn",
    "read",
    "read_at_the_end",
]


# What each event type that HTCondor knows makes of a job's state; None leaves it as it is, on purpose.
STATE_AFTER: dict[str, JobState | None] = {
    "SUBMIT": JobState.IDLE,
    "EXECUTE": JobState.RUNNING,
    "JOB_EVICTED": JobState.IDLE,
    "JOB_TERMINATED": JobState.EXITED,  # or signalled, as the event says
    "SHADOW_EXCEPTION": JobState.IDLE,
    "JOB_ABORTED": JobState.REMOVED,
    "JOB_SUSPENDED": JobState.SUSPENDED,
    "JOB_UNSUSPENDED": JobState.RUNNING,
    "JOB_HELD": JobState.HELD,
    "JOB_RELEASED": JobState.IDLE,
    "JOB_DISCONNECTED": JobState.DISCONNECTED,
    "JOB_RECONNECTED": JobState.RUNNING,
    "JOB_RECONNECT_FAILED": JobState.IDLE,
    "DATAFLOW_JOB_SKIPPED": JobState.REMOVED,
    # Reports of a job that goes on as before. Whatever follows from an error has an event of its own.
    "EXECUTABLE_ERROR": None,
    "CHECKPOINTED": None,
    "IMAGE_SIZE": None,
    "GENERIC": None,
    "REMOTE_ERROR": None,
    "JOB_AD_INFORMATION": None,
    "ATTRIBUTE_UPDATE": None,
    "FILE_TRANSFER": None,
    "NONE": None,
    # Of a whole cluster, whose jobs have events of their own.
    "CLUSTER_SUBMIT": None,
    "CLUSTER_REMOVE": None,
    "FACTORY_PAUSED": None,
    "FACTORY_RESUMED": None,
    # Of files and space that jobs share.
    "RESERVE_SPACE": None,
    "RELEASE_SPACE": None,
    "FILE_COMPLETE": None,
    "FILE_USED": None,
    "FILE_REMOVED": None,
    "COMMON_FILES": None,
    # Of parallel and grid jobs, which a sweep has none of.
    "NODE_EXECUTE": None,
    "NODE_TERMINATED": None,
    "GLOBUS_SUBMIT": None,
    "GLOBUS_SUBMIT_FAILED": None,
    "GLOBUS_RESOURCE_UP": None,
    "GLOBUS_RESOURCE_DOWN": None,
    "GRID_RESOURCE_UP": None,
    "GRID_RESOURCE_DOWN": None,
    "GRID_SUBMIT": None,
    "JOB_STATUS_UNKNOWN": None,
    "JOB_STATUS_KNOWN": None,
    "JOB_STAGE_IN": None,
    "JOB_STAGE_OUT": None,
    # DAGMan's own.
    "POST_SCRIPT_TERMINATED": None,
    "PRESKIP": None,
    # Of an execute point's own log.
    "EP_STARTUP": None,
    "EP_READY": None,
    "EP_RECONFIG": None,
    "EP_SHUTDOWN": None,
    "EP_REQUEST_CLAIM": None,
    "EP_RELEASE_CLAIM": None,
    "EP_ACTIVATE_CLAIM": None,
    "EP_DEACTIVATE_CLAIM": None,
    "EP_VACATE_CLAIM": None,
    "EP_DRAIN": None,
    "EP_RESOURCE_BREAK": None,
    "EP_RESOURCE_MEND": None,
}

# HTCondor's hold codes for files that could not be transferred: output from the node, input to it.
TRANSFER_HOLDS = (12, 13)

# HTCondor's FileTransferEventType: input is queued, and begins; the slot is the job's from then on.
_INPUT_BEGINS = (1, 2)

# After a removal the schedd writes the last events a moment after DAGMan has gone on; seconds.
_PATIENCE = 20.0

# Clocks of one access point differ by seconds, and local time goes back an hour in autumn; more is a clock set back.
_CLOCK_TOLERANCE = 7200


@dataclass
class EventLog:
    """The histories by tuple id, the time of the log's last event, and what is wrong with the log in one line.

    `events` counts what could be read, whoever logged it.
    """

    histories: dict[str, History]
    newest: int
    problem: str | None = None
    events: int = 0


class Tracker:
    """Histories that grow with the log: `update` reads what is new, and nothing twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin()

    def _begin(self) -> None:
        self._reader = Reader(self.path)
        self._histories: dict[str, History] = {}
        self._jobs: dict[tuple[int, int], tuple[History, Job]] = {}
        self._seen: set[int] = set()
        self._count = self._newest = 0
        self._set_back: tuple[int, int] | None = None

    def update(self) -> EventLog:
        """The histories with all that the log has now. A log that was replaced is read from its beginning."""
        if self._reader.replaced():
            self._begin()
        for read in self._reader.new():
            try:
                self._take(read)
            except (KeyError, TypeError, ValueError):  # it has the frame of an event, and not what belongs into it
                self._reader.refuse(read.line)
        return EventLog(self._histories, self._newest, self._problem(), self._count)

    def _take(self, read: Read) -> None:
        event = read.event
        name, when = _name(event["EventTypeNumber"]), _time(event["EventTime"])
        changes = STATE_AFTER.get(name) is not None
        if not (changes and read.digest in self._seen):
            key = (int(event.cluster), int(event.proc))
            if name == "SUBMIT":
                self._submitted(key, when, read)
            elif key in self._jobs:
                self._advance(key, name, when, read)
        if changes:
            self._seen.add(read.digest)
        if when < self._newest - _CLOCK_TOLERANCE and self._set_back is None:
            self._set_back = read.line, self._newest - when
        self._count += 1
        self._newest = when

    def _submitted(self, key: tuple[int, int], when: int, read: Read) -> None:
        notes = read.event.get("StructuredNotes")
        tuple_id = str(notes.get("SweepTuple")) if notes is not None else ""
        try:
            parts_of(tuple_id)
        except ValueError:
            self._jobs.pop(key, None)
            return  # a job that somebody else logs here
        history = self._histories.setdefault(tuple_id, History(tuple_id))
        self._add(key, history, when).turns.append(Turn(read.line, when, "SUBMIT", ""))

    def _advance(self, key: tuple[int, int], name: str, when: int, read: Read) -> None:
        history, job = self._jobs[key]
        if job.state.over:
            if name != "EXECUTE":
                return
            # A schedd that died before it had noted the end of a job runs it again.
            job = self._add(key, history, when)
        _apply(job, name, when, read)

    def _add(self, key: tuple[int, int], history: History, when: int) -> Job:
        job = Job(cluster=key[0], proc=key[1], submitted=when)
        history.jobs.append(job)
        self._jobs[key] = history, job
        return job

    def _problem(self) -> str | None:
        reader = self._reader
        parts = []
        if reader.damaged_at is not None:
            read = f"{self._count} of its {reader.written} events could be read"
            parts.append(f"is damaged from line {reader.damaged_at} on: {read}")
        if reader.gave_up is not None:
            parts.append(f"is not read from line {reader.gave_up} on, since hardly any event can be")
        if reader.unfinished_at is not None:
            parts.append(f"ends within an event, which begins on line {reader.unfinished_at}")
        if self._set_back is not None:
            line, seconds = self._set_back
            parts.append(f"goes back by {seconds} s on line {line}: a clock was set, and durations may be wrong")
        return f"the event log {'; it '.join(parts)}" if parts else None


def read(path: Path) -> EventLog:
    """Read a job event log as far as it goes; a missing log is an empty one."""
    return Tracker(path).update()


def read_at_the_end(path: Path, *, troubled: bool) -> EventLog:
    """Read the log of a DAG that has ended.

    `troubled` says that its jobs may have been removed, and be ending still: then they are waited for, for a while.
    """
    tracker = Tracker(path)
    end = time.monotonic() + _PATIENCE
    while True:
        log = tracker.update()
        over = all(history.last.state.over for history in log.histories.values())
        if over or not troubled or time.monotonic() > end:
            return log
        time.sleep(0.5)


@cache
def _name(number: int) -> str:
    """The name of an event's type; an event's own `type` looks it up each time."""
    import htcondor2

    return str(htcondor2.JobEventType(number).name)


@lru_cache(maxsize=1024)  # of a busy pool, many events bear the same second
def _time(text: str) -> int:
    """Unix seconds. The bindings' own `timestamp` takes a log that was written in UTC for local time."""
    return int(datetime.fromisoformat(text).timestamp())


# --------------------------------------------------------------------------- one event of one job


def _apply(job: Job, name: str, when: int, read: Read) -> None:
    """Advance one job by one event."""
    words = _EFFECTS[name](job, when, read) if name in _EFFECTS else ""
    state = STATE_AFTER.get(name)
    if state is not None:
        job.state = JobState.SIGNALLED if job.signal is not None else state
        job.turns.append(Turn(read.line, when, name, words))


def _execute(job: Job, when: int, read: Read) -> str:
    claimed, job.receiving = job.receiving, None
    _close(job, when, "lost")  # a second start without an end between: the shadow died
    _matched(job, when)
    attempt = _attempt(read.event, when, read.line)
    attempt.claimed = claimed
    job.attempts.append(attempt)
    return attempt.slot or ""


def _evicted(job: Job, when: int, read: Read) -> str:
    event = read.event
    requeued = bool(event.get("TerminatedAndRequeued"))
    code, signal = _program_end(event) if requeued else (None, None)
    why = str(event.get("Reason") or "no reason given")
    if _close(job, when, "requeued" if requeued else "evicted", why, _received(event)):
        job.attempts[-1].exit_code, job.attempts[-1].signal = code, signal
    if job.turns[-1].event != "JOB_RECONNECT_FAILED":  # which has said the same
        job.evictions.append(why)
    return why


def _lost(how: str) -> Callable[[Job, int, Read], str]:
    def lost(job: Job, when: int, read: Read) -> str:
        why = str(read.event.get("Message") or read.event.get("Reason") or how)
        _close(job, when, how, why, _received(read.event))
        job.evictions.append(why)
        return why

    return lost


def _held(job: Job, when: int, read: Read) -> str:
    event = read.event
    reason = str(event.get("HoldReason") or "")
    code, subcode = int(event.get("HoldReasonCode") or 0), int(event.get("HoldReasonSubCode") or 0)
    _close(job, when, "held", reason)
    job.holds.append((code, subcode, reason))
    if code in TRANSFER_HOLDS:
        job.transfer_failures.append(reason)
    return reason


def _removed(job: Job, when: int, read: Read) -> str:
    reason = str(read.event.get("Reason") or "")
    _close(job, when, "removed", reason)
    job.ended, job.removal = when, reason
    return reason


def _terminated(job: Job, when: int, read: Read) -> str:
    code, signal = _program_end(read.event)
    if _close(job, when, "terminated", received=_received(read.event)):
        job.attempts[-1].exit_code, job.attempts[-1].signal = code, signal
    job.ended, job.exit_code, job.signal = when, code, signal
    return f"exit {code}" if signal is None else f"signal {signal}"


def _disconnected(job: Job, when: int, read: Read) -> str:
    job.disconnects += 1
    return str(read.event.get("DisconnectReason") or "")


def _error(job: Job, when: int, read: Read) -> str:
    job.errors.append(str(read.event.get("ErrorMsg") or "").strip())
    return job.errors[-1]


def _transfer(job: Job, when: int, read: Read) -> str:
    _matched(job, when)
    if read.event.get("Type") in _INPUT_BEGINS and job.receiving is None:
        job.receiving = when
    return ""


def _attempt(event: Any, when: int, line: int) -> Attempt:
    """Where a job started, from the machine attributes that the event itself carries."""
    slot = event.get("SlotName")
    properties = event.get("ExecuteProps")
    if properties is None:
        properties = {}
    named = [properties[name] for name in properties if name.startswith("GPUs_")]
    devices = [device for device in named if hasattr(device, "get")]
    gpus = properties.get("GPUs")
    if not isinstance(gpus, int):
        gpus = max(1, len(devices))  # older startds do not say; each job of ours asks for one
    device = devices[0] if devices else {}
    name, driver = device_text(device)
    return Attempt(
        start=when,
        machine=str(slot).rpartition("@")[2] if slot else None,
        slot=str(slot) if slot else None,
        gpus=gpus,
        device=name,
        driver=driver,
        uuid=device_uuid(device),
        capability=device_capability(device),
        runtime=device_runtime(device),
        line=line,
    )


def _program_end(event: Any) -> tuple[int | None, int | None]:
    """Exit code or signal of a program that ended; an event that has neither is refused by its KeyError."""
    if event["TerminatedNormally"]:
        return int(event["ReturnValue"]), None
    return None, int(event["TerminatedBySignal"])


def _matched(job: Job, when: int) -> None:
    if job.matched is None:
        job.matched = when


def _received(event: Any) -> int | None:
    """The bytes of input that the job was sent in the attempt that the event ends; HTCondor omits common files."""
    told = event.get("ReceivedBytes")
    return int(told) if isinstance(told, int | float) and 0 <= told < 1e18 else None


def _close(job: Job, when: int, how: str, why: str = "", received: int | None = None) -> bool:
    """End the attempt that goes on, if one does; or the transfer before it."""
    if job.receiving is not None:
        job.lost_transfers += max(0, when - job.receiving)
        job.receiving = None
    if not job.attempts or job.attempts[-1].end is not None:
        return False
    last = job.attempts[-1]
    last.end, last.ended_by, last.why, last.received = when, how, why, received
    return True


_EFFECTS: dict[str, Callable[[Job, int, Read], str]] = {
    "EXECUTE": _execute,
    "JOB_EVICTED": _evicted,
    "SHADOW_EXCEPTION": _lost("shadow-exception"),
    "JOB_RECONNECT_FAILED": _lost("reconnect-failed"),
    "JOB_HELD": _held,
    "JOB_ABORTED": _removed,
    "DATAFLOW_JOB_SKIPPED": _removed,
    "JOB_TERMINATED": _terminated,
    "JOB_DISCONNECTED": _disconnected,
    "REMOTE_ERROR": _error,
    "FILE_TRANSFER": _transfer,
}
