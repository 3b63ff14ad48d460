"""Looking at the processes of this machine while something runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self


class Watcher:
    """Calls `look` every so many seconds while the context lasts."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def look(self) -> None:
        """What a subclass does with `processes`."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self._interval):
            self.look()


def processes() -> Iterator[tuple[Path, list[str]]]:
    """Each process: its directory below /proc, and its command line."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            yield process, (process / "cmdline").read_text().split("\0")


def memory(process: Path, kind: str) -> int:
    """How much memory a process has, MiB: `VmRSS` now, `VmHWM` at its peak.

    Raises:
        OSError, IndexError: it has ended.
    """
    return int((process / "status").read_text().partition(f"{kind}:")[2].split()[0]) // 1024
