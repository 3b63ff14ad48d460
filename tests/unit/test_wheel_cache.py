"""A cache of wheels that jobs share: asked first, done without where it is damaged or cannot be used."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from counted import Host, counted
from test_install_wheels import TORCH, Job, install_step

from sweep.probe import install_wheels

__all__ = ["TORCH"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """The index's host."""
    (tmp_path / "simple").mkdir()
    with counted(tmp_path / "simple") as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, host: Host) -> Job:
    made = Job(tmp_path, tmp_path / "simple", host.url)
    host.asked.clear()  # locking has fetched the wheels, too
    return made


def install(job: Job, shared: Path, installer: str = "uv", own: str = "pkgs") -> tuple[int, str]:
    """Install into a new environment with a cache that is shared, and an empty one of the job's own."""
    subprocess.run(["rm", "-rf", "env", own], cwd=job.scratch, check=True)
    words = ["install_wheels.py", "requirements.txt", "env", own, installer, str(shared)]
    done = subprocess.run([sys.executable, *words], cwd=job.scratch, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def works(job: Job) -> bool:
    done = subprocess.run(
        [job.scratch / "env/bin/python", "-c", "import helper; print(helper.version)"], capture_output=True, text=True
    )
    return done.stdout == "1.0\n"


def test_wheels_that_one_job_has_fetched_the_next_one_does_not(job: Job, host: Host, tmp_path: Path) -> None:
    """So far as a test can see it of uv: pip keeps what it has from https alone."""
    for _ in range(2):
        code, said = install(job, tmp_path / "shared")
        assert code == 0 and works(job), said
        assert "once more" not in said
    assert set(host.packages.values()) == {1}


def test_an_unpacked_wheel_that_was_altered_is_found_and_fetched_again(job: Job, host: Host, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    assert install(job, shared)[0] == 0
    (victim,) = shared.rglob("helper.py")
    victim.write_text("version = 'altered'\n")
    code, said = install(job, shared)
    assert code == 0 and works(job), said
    assert f"helper.py is not as it was packed: the cache in {shared}/uv is damaged and removed" in said
    assert host.packages["helper-1.0-py3-none-any.whl"] == 2
    assert list(shared.iterdir()) == []
    code, said = install(job, shared)
    assert code == 0 and works(job) and "once more" not in said
    assert (shared / "uv").is_dir()


def test_a_file_in_the_cache_that_no_wheel_has_does_not_run(job: Job, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    assert install(job, shared)[0] == 0
    (beside,) = shared.rglob("helper.py")
    (beside.parent / "planted.pth").write_text("import sys; sys.exit(9)\n")
    code, said = install(job, shared)
    assert code == 0 and works(job), said
    assert "planted.pth is not as it was packed" in said


@pytest.mark.parametrize(
    "record",
    [
        b"\xff\xfe\x80",
        b"\0" * 30,
        b"helper.py,sha257=00,1\n",
        b"helper.py,shake_128=00,1\n",
        b"a\0b,sha256=00,1\n",
        b"x" * 200_000,
        None,
    ],
)
def test_a_record_that_cannot_be_read_is_damage(tmp_path: Path, record: bytes | None) -> None:
    site = Path(install_wheels.site_packages(str(tmp_path)))
    info = site / "helper-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "helper.py").write_text("")
    if record is not None:
        (info / "RECORD").write_bytes(record)
    assert install_wheels.altered(str(tmp_path)) is not None


def test_what_a_job_does_to_its_environment_does_not_reach_the_cache(job: Job, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    install(job, shared)
    (installed,) = (job.scratch / "env").rglob("helper.py")
    installed.write_text("version = 'mine'\n")
    code, said = install(job, shared)
    assert code == 0 and works(job) and "once more" not in said


@pytest.mark.parametrize(
    ("installer", "obstacle"),
    [
        ("uv", "a file"),
        ("uv", "nothing may be made there"),
        ("uv", "damaged throughout"),
        ("pip", "nothing may be made there"),
    ],
)
def test_a_cache_that_cannot_be_used_is_done_without(job: Job, tmp_path: Path, installer: str, obstacle: str) -> None:
    shared = tmp_path / "shared"
    if obstacle == "a file":
        shared.write_text("")
    elif obstacle == "nothing may be made there":
        shared = Path("/proc/shared")
    else:
        assert install(job, shared, installer)[0] == 0
        for path in shared.rglob("*"):
            if path.is_file():
                path.write_bytes(b"x" * path.stat().st_size)
    code, said = install(job, shared, installer)
    assert code == 0 and works(job), said


def test_a_wheel_that_is_gone_is_missing_with_a_shared_cache_too(job: Job, tmp_path: Path) -> None:
    job.helper.unlink()
    code, said = install(job, tmp_path / "shared")
    assert (code, said.strip().splitlines()[-1].split(":")[0]) == (12, "missing")
    assert "once more without the cache" in said


def test_what_a_mirror_lacks_is_no_verdict(job: Job, tmp_path: Path) -> None:
    job.render(tmp_path, more='[downloads]\nmirrors = { "https://pypi.example" = "https://mirror.example" }\n')
    job.helper.unlink()
    code, result = job.run()
    assert (code, install_step(result).kind) == (75, "network")


def test_the_wrapper_names_the_shared_cache(job: Job, host: Host, tmp_path: Path) -> None:
    job.render(tmp_path, more=f'[downloads]\ncache = "{tmp_path}/shared"\n')
    code, result = job.run()
    assert code == 0, result
    assert (tmp_path / "shared" / "uv").is_dir()


def test_records_are_checked_as_far_as_they_say_a_digest(tmp_path: Path) -> None:
    site = Path(install_wheels.site_packages(str(tmp_path)))
    info = site / "a-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "a.py").write_text("")
    empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    (info / "RECORD").write_text(f'a.py,sha256={empty},0\n"b,c.pyc",,\na-1.0.dist-info/RECORD,,\n')
    assert install_wheels.altered(str(tmp_path)) is None
    other = site / "b-1.0.dist-info"
    other.mkdir()
    (other / "RECORD").write_text("a.py,sha256=00,0\nb-1.0.dist-info/RECORD,,\n")  # the same file, by another one
    assert install_wheels.altered(str(tmp_path)) is None
    (site / "a.py").write_text("x")
    assert install_wheels.altered(str(tmp_path)) == "a.py"
    (site / "a.py").unlink()
    assert install_wheels.altered(str(tmp_path)) == "a.py"
