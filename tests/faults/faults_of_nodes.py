"""Execute nodes and packages are broken, and environments lie."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import disks
import processes
from cases import Case, NotHitError
from kinds import IN_A_JOB, fault

from sweep.places import cache_dir
from sweep.sandbox.channel import build_channel

# --------------------------------------------------------------------------- the node


@fault(alone=True, needs_disk=True)
def execute_disk_full(case: Case) -> None:
    """One machine's disk, which its peer makes good, or both machines' of a class."""
    kind = case.chance.choice(["volta", "turing", "ampere"])
    count = case.chance.choice([1, 2])
    case.stage = f"{count} of {kind}"
    for number in range(count):
        disk = case.over.enter_context(disks.disk())
        execute = case.pool.directory / "execute" / f"{kind}{number}"
        execute.rmdir()
        execute.symlink_to(disk.path)
        disk.fill(case.chance.choice([0, 100_000, 300_000]))
    case.start(limits={"queue": "20s"})
    if count == 2:
        capability = {"volta": "sm70", "turing": "sm75", "ampere": "sm80"}[kind]
        case.excused = {
            name: {"infrastructure", "transfer-failed", "held", "evicted", "waited-out", "no-result"}
            for name in case.truth
            if name.endswith(capability)
        }


@fault()
def job_killed(case: Case) -> None:
    """The wrapper on the node, as by the kernel for memory."""
    case.start()
    case.wrapper_of(case.reach(*IN_A_JOB)).kill()


@fault()
def probe_killed(case: Case) -> None:
    """The probe or its child; nobody can tell that from the kernel's killing it for memory."""
    case.start()
    victim = case.reach("probing")
    found = [p for p in processes.jobs(case.pool, case.here).get(victim, []) if "driver.pyz" in " ".join(p.command)]
    if not found:
        raise NotHitError
    case.chance.choice(found).kill(case.chance.choice([signal.SIGKILL, signal.SIGTERM]))
    case.excused[victim] = {"infrastructure"}


@fault()
def installer_killed(case: Case) -> None:
    case.start()
    victim = case.reach("installing")
    found = case.process_of(victim, "install_rattler.py")
    if found is None:
        raise NotHitError
    found.kill(case.chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))


# --------------------------------------------------------------------------- packages
def _package(case: Case, harm: Callable[[Path], None]) -> None:
    """Do harm to one of the locked packages between planning and installing, in a channel of the case's own."""
    channel = Path(
        build_channel(cache_dir() / "channel", str(Path(sys.executable).absolute())).removeprefix("file://")
    )
    own = case.directory / "channel"
    subprocess.run(["cp", "-r", channel, own], check=True)
    case.start(conda={"channels": [own.as_uri()]})
    case.until((case.here / "plan.json").is_file, interval=0.01)
    locks = {lock.parent.name: lock.read_text() for lock in (case.here / "environments").glob("*/explicit.txt")}
    found = re.findall(rf"{re.escape(own.as_uri())}/\S+\.tar\.bz2", locks[case.chance.choice(sorted(locks))])
    url = case.chance.choice(found)
    harm(Path(url.removeprefix("file://")))
    case.stage = Path(url).name
    for environment, lock in locks.items():
        for name in case.truth:
            if url in lock and name.startswith(f"{environment}-"):
                case.truth[name] = "install-failed"
    if case.clusters():
        raise NotHitError  # a job may have been faster


@fault()
def package_missing(case: Case) -> None:
    _package(case, Path.unlink)


@fault()
def package_corrupt(case: Case) -> None:
    def spoil(path: Path) -> None:
        data = bytearray(path.read_bytes())
        how = case.chance.choice(["cut", "bytes", "empty"])
        if how == "bytes":
            at = case.chance.randrange(len(data))
            data[at] ^= 0xFF
        path.write_bytes(b"" if how == "empty" else data[: len(data) // 2] if how == "cut" else bytes(data))

    _package(case, spoil)


# --------------------------------------------------------------------------- results
# An honest installer, after which the environment's Python of one tuple, on one node, is not.
_INSTALLER = """#!/bin/sh
{python} "$@" || exit
grep -q 'SweepTuple = "{victim}"' "$_CONDOR_JOB_AD" && mkdir {once} 2>/dev/null || exit 0
mv "$3/bin/python" "$3/bin/python.honest"
cp {hostile} "$3/bin/python"
"""
_HOSTILE = """#!/bin/sh
"$0.honest" "$@"
{python} -c 'import os, re
path = "result.json"
data = open(path, "rb").read()
{spoil}
'
exit 0
"""


def _result(case: Case, spoil: str, *causes: str) -> None:
    """Have a hostile environment spoil the result of one tuple, by a line of Python."""
    victim = case.chance.choice(sorted(case.truth))
    hostile = case.directory / "hostile"
    hostile.write_text(_HOSTILE.format(python=sys.executable, spoil=spoil))
    installer = case.directory / "installer"
    installer.write_text(
        _INSTALLER.format(python=sys.executable, victim=victim, once=case.directory / "once", hostile=hostile)
    )
    for script in (hostile, installer):
        script.chmod(0o755)
    case.stage = victim
    case.start(conda={"installer_python": str(installer)})
    case.excused[victim] = set(causes or ("no-result", "infrastructure"))
    case.finish()
    if not (case.directory / "once").exists():
        raise NotHitError


@fault()
def result_truncated(case: Case) -> None:
    _result(case, f'open(path, "wb").write(data[:int(len(data) * {case.chance.random():.3f})])')


@fault()
def result_huge(case: Case) -> None:
    _result(case, 'open(path, "wb").write(data.rstrip()[:-1] + b", " + b" " * 3000000 + b"\\"x\\": 1}")')


@fault()
def result_binary(case: Case) -> None:
    _result(case, f'open(path, "wb").write(data[:{case.chance.choice([0, 300])}] + os.urandom(4096))')


@fault()
def result_of_another_tuple(case: Case) -> None:
    _result(case, 'open(path, "wb").write(re.sub(rb"(cuda12.9-sm)\\d+", rb"\\g<1>90", data))')


@fault()
def result_from_another_gpu(case: Case) -> None:
    """It says what it would on the right one, but names a GPU of another capability: no proof of anything."""
    _result(case, r'open(path, "wb").write(re.sub(rb"(\"capability\": )\"[0-9.]+\"", rb"\g<1>\"9.0\"", data))')


@fault()
def result_not_a_file(case: Case) -> None:
    harm = case.chance.choice(['os.symlink("/etc/passwd", path)', "os.mkdir(path)", "pass"])
    _result(case, f"os.unlink(path)\n{harm}", "no-result", "infrastructure", "transfer-failed")
