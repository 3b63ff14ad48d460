"""Where the job's packages come from: a machine's cache, what came with the job, a proxy; and damage in each."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from counted import Host, counted
from probe_standin import outcomes
from test_job_wrapper import Job, install_step

from sweep.model import Rung

EACH_ONCE = {"python-1.0-0.tar.bz2": 1, "pytorch-1.0-0.tar.bz2": 1}
WORKS = (0, ["passed"] * len(Rung))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """The channel's host."""
    (tmp_path / "channel").mkdir()
    with counted(tmp_path / "channel") as running:
        yield running


def a_job(tmp_path: Path, host: Host, name: str, installer: str = "rattler", **downloads: object) -> Job:
    """A job of that name, with a lock of packages that the host has."""
    root = tmp_path / name
    root.mkdir()
    (root / "channel").symlink_to(tmp_path / "channel", target_is_directory=True)
    job = Job(root)
    job.lines = [line.replace(job.channel.as_uri(), host.url) for line in job.lines]
    job.lock()
    if installer == "micromamba":
        micromamba(job, **downloads)
    else:
        job.render(installer, **downloads)
    return job


def micromamba(job: Job, **downloads: object) -> None:
    """What micromamba does with a lock, as far as it matters here, by the other installer.

    It keeps the archives that it has fetched in its packages directory, and is not content with a wrong digest.
    """
    script = job.scratch / "install_rattler.py"
    words = "s/^checksum: /SHA256 sum doesn't match expectation: /; s/^missing: /status: 404 /"
    job.micromamba(
        f'{sys.executable} {script} "$7" "$5" "$MAMBA_ROOT_PREFIX/own" "$CONDA_PKGS_DIRS" 2>tmp/said && exit 0\n'
        f'sed "{words}" tmp/said >&2; exit 1\n',
        **downloads,
    )


def ended(job: Job) -> tuple[int, list[str]]:
    code, result = job.run()
    return code, outcomes(result)


def said(job: Job) -> str:
    return (job.scratch.parent / "job.err").read_text()


def kept(cache: Path) -> list[Path]:
    """The archives in a cache."""
    return sorted(path for path in cache.glob("*/*/*") if path.is_file())


@pytest.fixture(params=["rattler", "micromamba"])
def installer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_what_one_job_has_fetched_the_next_one_does_not(tmp_path: Path, host: Host, installer: str) -> None:
    cache = tmp_path / "made-by" / "the-job"
    first = a_job(tmp_path, host, "first", installer, cache=str(cache))
    assert ended(first) == WORKS
    sizes = sum(path.stat().st_size for path in kept(cache))
    assert install_step(first.result()).fetched_bytes == sizes > 0
    second = a_job(tmp_path, host, "second", installer, cache=str(cache))
    assert ended(second) == WORKS
    assert install_step(second.result()).fetched_bytes == 0
    assert host.packages == EACH_ONCE
    assert {path.name for path in kept(cache)} == set(EACH_ONCE)
    assert first.left() == second.left() == {"result.json"}
    for path in kept(cache):
        assert hashlib.md5(path.read_bytes()).hexdigest() == path.parents[1].name
        assert path.stat().st_nlink == 1  # what a job does to its environment cannot reach it


def test_jobs_that_begin_together_fetch_each_package_once(tmp_path: Path, host: Host) -> None:
    if shutil.which("flock") is None:
        pytest.skip("there is no flock here, and jobs do not wait for each other without")
    jobs = [a_job(tmp_path, host, name, cache=str(tmp_path / "cache")) for name in ("a", "b", "c")]
    processes = [job.start(["sh"]) for job in jobs]
    assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert host.packages == EACH_ONCE


@pytest.mark.parametrize(
    ("installer", "damage"), [("rattler", "cut"), ("rattler", "other bytes"), ("micromamba", "empty")]
)
def test_a_damaged_package_of_the_cache_is_fetched_again_and_replaced(
    tmp_path: Path, host: Host, installer: str, damage: str
) -> None:
    cache = tmp_path / "cache"
    assert ended(a_job(tmp_path, host, "first", installer, cache=str(cache))) == WORKS
    (victim,) = (path for path in kept(cache) if path.name.startswith("pytorch"))
    whole = victim.read_bytes()
    bad = {"cut": whole[:-100], "other bytes": whole[:200] + b"xxxx" + whole[204:], "empty": b""}[damage]
    victim.write_bytes(bad)
    second = a_job(tmp_path, host, "second", installer, cache=str(cache))
    assert ended(second) == WORKS
    assert "once more without them" in said(second)
    assert victim.read_bytes() == whole
    assert host.packages == dict.fromkeys(EACH_ONCE, 2)
    assert install_step(second.result()).fetched_bytes == sum(path.stat().st_size for path in kept(cache))


@pytest.mark.parametrize(
    "obstacle",
    [
        "a file in its place",
        "nothing may be made there",
        "its lock is a directory",
        "its lock is a pipe",
        "its lock is a link",
    ],
)
def test_a_cache_that_cannot_be_used_is_done_without(tmp_path: Path, host: Host, obstacle: str) -> None:
    cache = tmp_path / "cache"
    if obstacle == "a file in its place":
        cache.write_text("")
    elif obstacle == "nothing may be made there":
        cache = Path("/proc/cache")
    elif obstacle == "its lock is a directory":
        (cache / ".lock").mkdir(parents=True)
    elif obstacle == "its lock is a pipe":
        cache.mkdir()
        os.mkfifo(cache / ".lock")
    else:
        cache.mkdir()
        (cache / ".lock").symlink_to("/dev/zero")
    job = a_job(tmp_path, host, "job", cache=str(cache))
    assert ended(job) == WORKS
    assert "cannot be used on this machine" in said(job)
    assert host.packages == EACH_ONCE


def test_a_pipe_in_the_place_of_a_package_is_not_waited_for(tmp_path: Path, host: Host) -> None:
    cache = tmp_path / "cache"
    job = a_job(tmp_path, host, "job", cache=str(cache))
    victim = cache / job.lines[1].rpartition("#")[2] / "linux-64" / "pytorch-1.0-0.tar.bz2"
    victim.parent.mkdir(parents=True)
    os.mkfifo(victim)
    assert ended(job) == WORKS
    assert victim.is_file()


def test_a_cache_on_a_full_disk_is_said_and_harms_nothing(tmp_path: Path, host: Host) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", cache], check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    try:
        job = a_job(tmp_path, host, "job", cache=str(cache))
        assert ended(job) == WORKS
        assert "cannot be kept" in said(job)
        assert all(hashlib.md5(p.read_bytes()).hexdigest() == p.parents[1].name for p in kept(cache))
    finally:
        subprocess.run(["umount", cache], check=True)


def test_a_package_that_is_broken_in_the_channel_too_is_what_it_was(tmp_path: Path, host: Host) -> None:
    cache = tmp_path / "cache"
    assert ended(a_job(tmp_path, host, "first", cache=str(cache))) == WORKS
    job = a_job(tmp_path, host, "second", cache=str(cache))
    archive = tmp_path / "channel" / "linux-64" / "pytorch-1.0-0.tar.bz2"
    archive.write_bytes(archive.read_bytes()[:-100])
    (victim,) = (path for path in kept(cache) if path.name.startswith("pytorch"))
    victim.unlink()
    code, result = job.run()
    assert (code, install_step(result).kind) == (76, "checksum")
    assert not victim.exists()


def test_a_package_that_is_cut_on_its_way_is_asked_for_again(tmp_path: Path, host: Host) -> None:
    job = a_job(tmp_path, host, "job", cache=str(tmp_path / "cache"))
    host.cut["pytorch-1.0-0.tar.bz2"] = 2
    assert ended(job) == WORKS
    assert host.packages == {"python-1.0-0.tar.bz2": 1, "pytorch-1.0-0.tar.bz2": 3}


def test_what_was_fetched_whole_is_kept_though_another_package_is_bad(tmp_path: Path, host: Host) -> None:
    job = a_job(tmp_path, host, "job", cache=str(tmp_path / "cache"))
    archive = tmp_path / "channel" / "linux-64" / "pytorch-1.0-0.tar.bz2"
    archive.write_bytes(archive.read_bytes()[:-100])
    code, result = job.run()
    assert (code, install_step(result).kind) == (76, "checksum")
    (whole,) = kept(tmp_path / "cache")
    assert whole.name == "python-1.0-0.tar.bz2"
    assert install_step(result).fetched_bytes == whole.stat().st_size


# --------------------------------------------------------------------------- turns and time


def tool(job: Job, name: str, script: str) -> str:
    """Put a script in the place of a tool of the machine; the PATH with it. `$real` is the tool."""
    real = shutil.which(name)
    if real is None:
        pytest.skip(f"there is no {name} here")
    bin_ = job.scratch.parent / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / name).write_text(f"#!/bin/sh\nreal={real}\n{script}")
    (bin_ / name).chmod(0o755)
    return f"{bin_}:{os.environ['PATH']}"


def test_the_turn_of_a_job_ends_when_it_need_not_fetch_any_more(tmp_path: Path, host: Host) -> None:
    full, cache = tmp_path / "full", tmp_path / "cache"
    assert ended(a_job(tmp_path, host, "first", cache=str(full))) == WORKS
    job = a_job(tmp_path, host, "second", "micromamba", cache=str(cache))
    installer = (job.scratch / "micromamba").read_text()
    look = f"#!/bin/sh\nflock -n {cache}/.lock touch ../free\n"
    (job.scratch / "micromamba").write_text(installer.replace("#!/bin/sh\n", look))
    path = tool(job, "flock", 'touch ../waits\nexec "$real" "$@"\n')
    cache.mkdir()
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = job.start(["sh"], PATH=path)
        while not (tmp_path / "second" / "waits").exists():
            assert process.poll() is None
        shutil.copytree(full, cache, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock"))
    assert process.wait(120) == 0
    assert (tmp_path / "second" / "free").exists()
    assert host.packages == EACH_ONCE


def a_late_failure(tmp_path: Path, host: Host, seconds: int) -> tuple[int, str | None, list[int]]:
    """A job of 60 s at most to install, whose installer calls a package of the cache damaged after so many seconds.

    Its exit code, the kind of its failure, and the limits that the installer had.
    """
    cache = str(tmp_path / "cache")
    assert ended(a_job(tmp_path, host, "first", cache=cache)) == WORKS
    job = a_job(tmp_path, host, "second", "micromamba", cache=cache)
    job.micromamba('touch ../late\necho "SHA256 sum doesn\'t match expectation"; exit 1\n', cache=cache)
    path = tool(job, "timeout", 'echo "$3" >>../limits\nexec "$real" "$@"\n')
    tool(job, "date", f"late=0; [ ! -e ../late ] || late={seconds}\necho $(($($real +%s) + late))000\n")
    code, result = job.run(PATH=path)
    limits = (tmp_path / "second" / "limits").read_text().split()
    return code, install_step(result).kind, [int(limit) for limit in limits if int(limit) > 30]


def test_what_may_be_the_caches_fault_is_no_verdict_when_there_is_no_time_to_try_without(
    tmp_path: Path, host: Host
) -> None:
    code, kind, limits = a_late_failure(tmp_path, host, 40)
    assert (code, kind, len(limits)) == (75, "network", 1)


def test_a_second_try_has_what_the_first_one_left_of_the_time(tmp_path: Path, host: Host) -> None:
    code, kind, limits = a_late_failure(tmp_path, host, 20)
    assert (code, kind, len(limits)) == (76, "checksum", 2)
    assert limits[1] <= 40


def with_the_job(job: Job) -> Path:
    """Put the packages where HTCondor puts those that travel with a job."""
    folder = job.scratch / "packages" / "linux-64"
    folder.mkdir(parents=True)
    for archive in (job.channel / "linux-64").iterdir():
        shutil.copy(archive, folder)
        (folder / archive.name).chmod(0o444)
    return folder


def test_packages_that_come_with_the_job_are_not_fetched(tmp_path: Path, host: Host, installer: str) -> None:
    job = a_job(tmp_path, host, "job", installer, packages="common")
    with_the_job(job)
    assert ended(job) == WORKS
    assert install_step(job.result()).fetched_bytes == 0
    assert not host.asked
    assert job.left() == {"result.json"}


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_packages_that_are_damaged_on_their_way_are_no_verdict(
    tmp_path: Path, host: Host, installer: str, damage: str
) -> None:
    job = a_job(tmp_path, host, "job", installer, packages="transfer")
    victim = with_the_job(job) / "pytorch-1.0-0.tar.bz2"
    if damage == "cut":
        whole = victim.read_bytes()
        victim.unlink()
        victim.write_bytes(whole[:-100])
    else:
        victim.unlink()
        (tmp_path / "channel" / "linux-64" / victim.name).unlink()
    code, result = job.run()
    assert (code, install_step(result).kind) == (75, "network")


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_what_a_mirror_has_not_or_has_otherwise_is_no_verdict(
    tmp_path: Path, host: Host, installer: str, damage: str
) -> None:
    job = a_job(tmp_path, host, "job", installer, mirrors={"https://conda.example": host.url})
    archive = tmp_path / "channel" / "linux-64" / "pytorch-1.0-0.tar.bz2"
    whole = archive.read_bytes()
    archive.unlink()
    if damage == "cut":
        archive.write_bytes(whole[:-100])
    code, result = job.run()
    assert (code, install_step(result).kind) == (75, "network")


def test_the_installer_goes_by_the_proxy_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "channel").mkdir()
    with counted(tmp_path / "channel") as proxy:
        job = a_job(tmp_path, Host("http://channel.invalid"), "job", proxy=proxy.url)
        torch = tmp_path / "channel" / "linux-64" / "pytorch-1.0-0.tar.bz2"
        assert torch.is_file()
        assert ended(job) == WORKS
    assert dict(proxy.asked) == {f"http://channel.invalid/linux-64/{name}": 1 for name in EACH_ONCE}
    assert proxy.url not in (job.scratch / "result.json").read_text()
