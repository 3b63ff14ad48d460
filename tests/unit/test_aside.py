"""Work in another process: its value arrives, its failures do too, and a lost process costs nothing but time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from sweep.aside import Aside
from sweep.errors import ResultsError


def children() -> list[int]:
    return [int(p) for p in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


def test_the_value_of_another_process_arrives() -> None:
    with Aside(lambda: (os.getpid(), "x" * 1_000_000)) as work:  # far more than a pipe holds
        process, text = work.value()
    assert process != os.getpid()
    assert text == "x" * 1_000_000


def test_both_processes_work_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for the other: one after the other they would wait for ever."""

    def meet(own: str, other: str) -> bool:
        (tmp_path / own).touch()
        end = time.monotonic() + 60
        while not (tmp_path / other).exists() and time.monotonic() < end:
            time.sleep(0.01)
        return (tmp_path / other).exists()

    with Aside(lambda: meet("there", "here")) as work:
        assert meet("here", "there")
        assert work.value()


def test_what_the_work_raises_is_raised_where_its_value_is_asked_for(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ResultsError("no space left")

    with Aside(fail) as work, pytest.raises(ResultsError, match="no space left"):
        work.value()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "lost",
    [
        lambda: os.kill(os.getpid(), signal.SIGKILL),
        lambda: os._exit(1),
        lambda: (_ for _ in ()),  # a value that cannot be sent
    ],
)
def test_the_work_of_a_lost_process_is_done_here(lost) -> None:
    here = os.getpid()
    with Aside(lambda: os.getpid() if os.getpid() == here else lost()) as work:
        assert work.value() == here


def test_without_another_process_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "fork", refuse)
    with Aside(os.getpid) as work:
        assert work.value() == os.getpid()


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir())), children()
    with Aside((tmp_path / "written").touch):
        pass
    with pytest.raises(KeyError), Aside(lambda: "x" * 1_000_000):  # nobody reads it
        raise KeyError
    with Aside(os.getpid) as work:
        work.value()
    assert (len(list(Path("/proc/self/fd").iterdir())), children()) == before
    assert (tmp_path / "written").exists()
