"""Files of a sweep: whole or not at all, and errors that name the file."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, Field

from sweep.errors import BadFileError, ResultsError
from sweep.files import read_model, write_atomic, write_model
from sweep.model import Frozen, GpuClass, Pool

# A real limit on the size of a file, so that the write fails half way as on a full disk.
FAILS_HALF_WAY = """
import resource, signal, sys
from pathlib import Path
from sweep.errors import ResultsError
from sweep.files import write_atomic
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_atomic(Path(sys.argv[1]), "n" * 100_000)
except ResultsError as error:
    print(error)
    sys.exit(error.exit_code)
"""

WRITES_ON_AND_ON = """
import sys
from pathlib import Path
from sweep.files import write_atomic
print("ready", flush=True)
for n in range(10**6):
    write_atomic(Path(sys.argv[1]), str(n % 10) * 3_000_000)
"""


class Thing(Frozen):
    name: str
    count: int = Field(ge=0)


def test_the_new_content_replaces_the_old_and_directories_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, "old")
    write_atomic(path, b"n\xc3\xa9w", mode=0o755)
    assert path.read_text(encoding="utf-8") == "néw"
    assert path.stat().st_mode & 0o777 == 0o755
    write_atomic(path, "text – ✓")
    assert path.read_bytes() == "text – ✓".encode()
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_write_that_fails_half_way_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", FAILS_HALF_WAY, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == ResultsError.exit_code, done.stderr
    assert done.stdout.strip() == f"cannot write {path}: File too large; check its permissions and free space"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_is_killed_leaves_one_whole_content_or_another(tmp_path):
    path = tmp_path / "file"
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", WRITES_ON_AND_ON, str(path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        seen = path.stat().st_mtime_ns if path.exists() else 0
        while not path.exists() or path.stat().st_mtime_ns == seen:
            assert child.poll() is None
        child.kill()
        child.communicate()
        content = path.read_text()
        assert content == content[0] * 3_000_000


def test_readers_see_the_old_content_or_the_new_one(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "0" * 100_000)
    over = threading.Event()
    seen = []

    def read():
        while not over.is_set():
            seen.append(path.read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(100):
        write_atomic(path, str(n % 10) * 100_000)
    over.set()
    reader.join()
    assert all(content == content[0] * 100_000 for content in seen)
    assert len({content[0] for content in seen}) > 1


@pytest.mark.parametrize("place", ["file/below", "file/further/below", "/proc/nothing", "directory"])
def test_what_cannot_be_written_is_an_error_that_says_so(tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "directory" / "full").mkdir(parents=True)
    path = tmp_path / place
    with pytest.raises(ResultsError, match=r"cannot write .*; check its permissions and free space") as raised:
        write_atomic(path, "x")
    assert str(path) in str(raised.value)
    assert "None" not in str(raised.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["directory", "file"]


def test_a_model_survives_the_way_to_disk_and_back(tmp_path):
    path = tmp_path / "thing.json"
    write_model(path, Thing(name="ü\n", count=2))
    assert read_model(path, Thing, "x") == Thing(name="ü\n", count=2)
    assert path.read_bytes().endswith(b"}\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file: Invalid JSON"),
        (b'{"name": "x"', "the file: Invalid JSON"),
        (b"\xff", "the file: Invalid JSON"),
        (b'{"name": "x"}', "count: Field required"),
        (b'{"name": "x", "count": -1}', "count: Input should be greater"),
        (b'{"name": "x", "count": 1, "more": 1}', "more: Extra inputs"),
        (b"[" * 100_000, "the file: "),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(tmp_path, content, said):
    path = tmp_path / "thing.json"
    path.write_bytes(content)
    with pytest.raises(BadFileError) as raised:
        read_model(path, Thing, "sweep plan")
    assert str(raised.value).startswith(f"{path}: {said}")
    assert "another version of the sweeper" in str(raised.value)


def test_a_missing_file_is_an_error_that_says_who_writes_it(tmp_path):
    with pytest.raises(BadFileError, match=r"thing\.json: No such file or directory; `sweep plan` writes it"):
        read_model(tmp_path / "thing.json", Thing, "sweep plan")
    with pytest.raises(BadFileError, match="Is a directory"):
        read_model(tmp_path, Thing, "sweep plan")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(ResultsError, match="Permission denied"):
        write_atomic(tmp_path / "file", "x")
    tmp_path.chmod(0o755)


def models() -> list[type[BaseModel]]:
    """Every model that may stand in a file of a sweep."""
    for module in ("schema", "model", "snapshot", "channelstate", "gate", "diff"):
        importlib.import_module(f"sweep.{module}")
    found, waiting = [], [Frozen]
    while waiting:
        model = waiting.pop()
        found.append(model)
        waiting += model.__subclasses__()
    return found


@pytest.mark.parametrize("model", models(), ids=lambda m: m.__name__)
def test_what_may_be_none_may_be_missing_because_files_leave_it_out(model: type[BaseModel]) -> None:
    fields = model.model_fields.items()
    assert not [name for name, f in fields if f.is_required() and type(None) in get_args(f.annotation)]


def test_a_pool_whose_machines_do_not_tell_their_driver_is_read_back(tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, 6, tzinfo=UTC)
    gpu = GpuClass(
        capability="8.0",
        device="A100",
        memory_mb=1,
        runtime="12.4",
        driver=None,
        mig=False,
        devices=1,
        machines=("a",),
    )
    pool = Pool(taken=now, collector="", slots=1, classes=(gpu,))
    write_model(tmp_path / "pool.json", pool)
    assert read_model(tmp_path / "pool.json", Pool, "a test") == pool
