"""One error class per thing that can go wrong, each with its own exit code and a remedy in its text.

Exit codes are part of the interface: a cron job may act on them. 0 is success, 1 is "the sweep ran,
but something in it failed", 2 is wrong usage (click's own).
"""

from __future__ import annotations

from typing import ClassVar


class SweepError(Exception):
    """What went wrong, where, and what to do about it; shown as it stands, without a traceback."""

    exit_code: ClassVar[int] = 1


class SettingsError(SweepError):
    """A key, type or value in sweep.toml or a framework file is wrong."""

    exit_code = 3


class PoolError(SweepError):
    """The collector or the schedd does not answer, or HTCondor's commands are not found."""

    exit_code = 4


class EmptyPoolError(SweepError):
    """The pool answers, but has no GPU that the sweep could use."""

    exit_code = 5


class ChannelError(SweepError):
    """A conda channel cannot be reached or its metadata cannot be read."""

    exit_code = 6


class NothingToTestError(SweepError):
    """The settings and the channels leave no tuple at all; an empty sweep is never a success."""

    exit_code = 7


class ResultsError(SweepError):
    """The results directory cannot be written, or its path cannot be used in a DAG."""

    exit_code = 8


class AlreadyRunningError(SweepError):
    """Another sweep with the same results directory is in the queue."""

    exit_code = 9


class BadFileError(SweepError):
    """A file of a sweep is missing, damaged, or of a schema that this version does not read."""

    exit_code = 10


class SubmitError(SweepError):
    """HTCondor refused the sweep's DAG."""

    exit_code = 11


class RefusedError(SweepError):
    """A label on a pull request does not start a sweep."""

    exit_code = 13


class RegressionError(SweepError):
    """Something changed since the last sweep that was asked to be an error."""

    exit_code = 14


class SandboxError(SweepError):
    """The private HTCondor or its simulated pool could not be set up."""

    exit_code = 12
