"""How long a sweep and its jobs may take, how much of the pool, what is not repeated, and who is told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sweep.fields import (
    PlainLine,
    PlainPath,
    Seconds,
    Switch,
    Table,
)
from sweep.model import Capability


class LimitSettings(Table):
    """How long things may take."""

    queue: Seconds = 24 * 3600
    run: Seconds = 2 * 3600
    install: Seconds = 3600
    probe: Seconds = 1800
    held: Seconds = 600
    deadline: Seconds = 3 * 86400
    retries: Annotated[int, Field(ge=0, le=10, strict=True)] = 2

    @model_validator(mode="after")
    def _fit(self) -> LimitSettings:
        if self.install + self.probe > self.run - self.slack:
            raise ValueError(
                f"install ({self.install} s) and probe ({self.probe} s) together must stay below run ({self.run} s) "
                f"by {self.slack} s, which the job may need to stop itself: what HTCondor removes loses its result"
            )
        if self.deadline < self.queue:
            raise ValueError(
                f"deadline ({self.deadline} s) is shorter than queue ({self.queue} s): lengthen it, or shorten queue"
            )
        return self

    @property
    def slack(self) -> int:
        """Seconds of a run that no step may plan with: a tenth, and six minutes at most.

        Ending an installation, a probe and a payload that hang can take that long (templates/job.sh.j2).
        """
        return min(self.run // 10, 360)


GpuHours = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LoadSettings(Table):
    """How much of the pool the sweep may take.

    `share` is the part of the devices that it may have at once, waiting jobs counted in; one job at least.
    `share_of` is what that is a part of: of each GPU class, so that no class gives more even if all jobs of a
    capability land on it, or of the capability as a whole. `jobs` is how many may be in the queue at once in all, one
    of each capability at least; with a share of 1 nothing is limited. Its default is what a schedd of HTCondor 25
    offers of one user's waiting jobs in a cycle (MAX_CONCURRENT_UPLOADS_PER_USER): more of them, if no slot is free
    for the first, hold up all the others. `idle` is how many jobs may wait at once; None leaves it to HTCondor.
    `priority` is HTCondor's job priority, which orders the jobs of one user. `gpu_hours` is a budget: when it is
    spent nothing more is started; `gpu_hours_of` are such budgets by capability. With `gate` one tuple of each
    environment goes first, and what it proves of the environment is not run again.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    share_of: Literal["gpu-class", "capability"] = "gpu-class"
    jobs: Annotated[int, Field(ge=1, strict=True)] = 20
    idle: Annotated[int, Field(ge=1, strict=True)] | None = None
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31, strict=True)] = -10
    gpu_hours: GpuHours | None = None
    gpu_hours_of: dict[Capability, GpuHours] = Field(default={})
    gate: Switch = True


class ReuseSettings(Table):
    """Whether verdicts of earlier sweeps are carried forward while nothing that they rest on has changed.

    `age` is how old they may be; None reuses nothing. `recheck` is the share that is tested all the same.
    """

    age: Seconds | None = None
    recheck: Annotated[float, Field(ge=0, le=1)] = 0.05


Address = Annotated[PlainLine, Field(pattern=r"^[^\s@,;<>]+@[^\s@,;<>]+$", max_length=200)]


class NotifySettings(Table):
    """Who is told when a sweep has ended, and when. Nobody by default.

    `when` is `changes` for a sweep in which something changed or failed, or `always`. Mail goes through `smtp`
    (`host:port`) or, without it, through the site's `sendmail`. `webhook_file` is a file that holds an address.
    """

    when: Literal["changes", "always"] = "changes"
    mail: list[Address] = Field(default=[])
    mail_from: Address | None = None
    smtp: Annotated[PlainLine, Field(pattern=r"^[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}$")] | None = None
    sendmail: PlainPath = Path("/usr/sbin/sendmail")
    webhook_file: PlainPath | None = None

    @model_validator(mode="after")
    def _a_server_wants_a_sender(self) -> NotifySettings:
        if self.smtp and not self.mail_from:
            raise ValueError("smtp needs mail_from: a mail server wants to know who sends; name an address")
        return self
