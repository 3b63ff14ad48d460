"""Logs that are packed: none is lost, and what verdicts are drawn from stays."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from sweepdir import TUPLE, Sweep, one, result

from sweep import steps
from sweep.config import load
from sweep.errors import ResultsError
from sweep.files import write_model
from sweep.packing import pack
from sweep.places import PACKED

BROKEN = {"rung": "kernel", "message": "no kernel image is available"}
LOGS = {"job.out": b"out\n", "job.err": b"\xff\x00err\n", "payload.out": b""}


def with_logs(sweep: Sweep) -> Path:
    """The directory of the sweep's only tuple, with logs in it."""
    (directory,) = (sweep.here / "tuples").iterdir()
    for name, content in LOGS.items():
        (directory / name).write_bytes(content)
    return directory


def packed(sweep: Sweep) -> dict[str, bytes]:
    with zipfile.ZipFile(sweep.here / PACKED) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_logs_of_a_tuple_that_works_go_into_one_file_and_its_verdict_stays(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", result())
    directory = with_logs(sweep)
    before = sweep.classify()
    assert pack(sweep.here, before.tuples) == len(LOGS)
    assert packed(sweep) == {f"{directory.name}/{name}": content for name, content in LOGS.items()}
    assert not {path.name for path in directory.iterdir()} & set(LOGS)
    assert sweep.classify() == before


def test_a_tuple_that_failed_keeps_its_logs_at_hand(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", result(broken=BROKEN))
    directory = with_logs(sweep)
    assert pack(sweep.here, sweep.classify().tuples) == 0
    assert set(LOGS) <= {path.name for path in directory.iterdir()}
    assert not (sweep.here / PACKED).exists()


def test_packing_again_keeps_what_is_packed_and_takes_the_newer_of_two(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", result())
    directory = with_logs(sweep)
    outcomes = sweep.classify().tuples
    pack(sweep.here, outcomes)
    (directory / "job.out").write_text("newer\n")
    assert pack(sweep.here, outcomes) == 1
    assert packed(sweep) == {f"{directory.name}/{n}": c for n, c in (LOGS | {"job.out": b"newer\n"}).items()}
    assert pack(sweep.here, outcomes) == 0


def test_what_a_payload_is_judged_by_stays_and_one_that_failed_keeps_its_output(tmp_path: Path) -> None:
    for name, code in (("passed", 0), ("failed", 1)):
        sweep = one(tmp_path / name, "exit-0", result())
        directory = with_logs(sweep)
        ended = {"ended": "exited", "exit_code": code, "seconds": 1.0}
        (directory / "payload.json").write_text(json.dumps({"schema": "sweep.payload/1", "tuple": TUPLE} | ended))
        (directory / "payload.xml").write_text('<testsuites><testsuite tests="2" failures="1"/></testsuites>')
        before = sweep.classify()
        assert before.tuples[0].payload is not None
        pack(sweep.here, before.tuples)
        assert sweep.classify() == before
        assert (directory / "payload.out").exists() is (name == "failed")


def test_a_damaged_archive_is_an_error_and_no_traceback(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", result())
    directory = with_logs(sweep)
    with zipfile.ZipFile(sweep.here / PACKED, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("earlier/job.out", "x" * 1000)
    data = bytearray((sweep.here / PACKED).read_bytes())
    data[48:52] = b"\xff\xff\xff\xff"  # inside the compressed text
    (sweep.here / PACKED).write_bytes(data)
    with pytest.raises(ResultsError, match="cannot be packed"):
        pack(sweep.here, sweep.classify().tuples)
    assert {path.name for path in directory.iterdir()} >= set(LOGS)
    assert not list(sweep.here.glob("tuples/*.new"))


def test_a_link_is_neither_followed_nor_removed(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", result())
    (directory,) = (sweep.here / "tuples").iterdir()
    (tmp_path / "secret").write_text("secret")
    (directory / "job.out").symlink_to(tmp_path / "secret")
    assert pack(sweep.here, sweep.classify().tuples) == 0
    assert (directory / "job.out").is_symlink()


def test_an_archive_that_cannot_be_read_leaves_everything_as_it_is(tmp_path: Path) -> None:
    sweep = one(tmp_path, "exit-0", result())
    directory = with_logs(sweep)
    (sweep.here / PACKED).write_bytes(b"not a zip")
    with pytest.raises(ResultsError, match=r"cannot be packed into .*logs\.zip, and stay"):
        pack(sweep.here, sweep.classify().tuples)
    assert {name: (directory / name).read_bytes() for name in LOGS} == LOGS
    assert (sweep.here / PACKED).read_bytes() == b"not a zip"
    assert not list(sweep.here.glob("tuples/*.new"))


@pytest.mark.parametrize("asked", [True, False])
def test_a_sweep_packs_at_its_end_if_its_settings_say_so(tmp_path: Path, asked: bool) -> None:
    sweep = one(tmp_path, "exit-0", result())
    with_logs(sweep)
    (tmp_path / "sweep.toml").write_text(f"[sweep]\npack_logs = {str(asked).lower()}\n[frameworks.pytorch]\n")
    write_model(sweep.here / "settings.json", load(tmp_path / "sweep.toml"))
    steps.report_step(sweep.here)
    assert not (sweep.here / PACKED).exists()
    steps.close_step(sweep.here, 0)
    assert (sweep.here / PACKED).exists() is asked
