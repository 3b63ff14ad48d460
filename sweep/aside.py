"""Work that another process does while this one goes on; for the end of a sweep, which somebody waits for."""

from __future__ import annotations

import gc
import os
import pickle
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar, cast

Value = TypeVar("Value")


class Aside(Generic[Value]):
    """A context in which another process works out a value, of what this one knows as it enters.

    The work must be such that doing it again does no harm. Where the other process cannot be started, fails or is
    killed, it is done here when the value is asked for: what it raises is raised here, and a second core is all that
    is ever missing. The context ends no sooner than the other process does.
    """

    def __init__(self, work: Callable[[], Value]) -> None:
        self._work = work
        self._process: int | None = None
        self._answer = -1

    def __enter__(self) -> Aside[Value]:
        answer, theirs = os.pipe()
        try:
            process = os.fork()
        except OSError:  # no more processes for this user
            process = None
        if process == 0:
            os.close(answer)  # or nobody would ever notice that it is not read
            _worked(self._work, theirs)
        os.close(theirs)
        self._process, self._answer = process, answer
        return self

    def value(self) -> Value:
        """What the work comes to; to be asked for once.

        Raises:
            Exception: whatever the work raises.
        """
        if self._process is not None:
            with open(self._answer, "rb", closefd=False) as stream:
                answer = stream.read()
            _, status = os.waitpid(self._process, 0)
            self._process = None
            if status == 0:
                return cast(Value, pickle.loads(answer))  # noqa: S301 - our own process wrote it
        return self._work()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._answer)
        if self._process is not None:  # nobody asked for the value
            os.waitpid(self._process, 0)


def _worked(work: Callable[[], object], handle: int) -> None:
    """Work, write what it comes to, and end; nothing of what this process was about to do is done twice."""
    status = 1
    try:
        gc.disable()  # it ends soon
        with os.fdopen(handle, "wb") as stream:
            pickle.dump(work(), stream, pickle.HIGHEST_PROTOCOL)
        status = 0
    finally:
        os._exit(status)
