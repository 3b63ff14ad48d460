"""The sandbox's pool: what it advertises, what its jobs see, and that nothing of it stays behind."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweep.errors import SandboxError
from sweep.sandbox import daemons
from sweep.sandbox import pool as pool_module
from sweep.sandbox.gpu_discovery import gpus_of
from sweep.sandbox.machines import plain, read_machines
from sweep.sandbox.pool import DOMAIN, SandboxPool
from sweep.sandbox.prefix import Prefix, ensure_condor

MACHINES = {machine.name: machine for machine in read_machines()}


def slots(pool: SandboxPool) -> dict[str, dict[str, object]]:
    import htcondor2

    ads = htcondor2.Collector().query(htcondor2.AdType.Startd, constraint='SlotType == "Partitionable"')
    return {ad["Machine"].removesuffix(f".{DOMAIN}"): ad for ad in ads}


def devices(ad: dict[str, object]) -> list[dict[str, object]]:
    """The nested ads of a slot's devices."""
    ids = str(ad["DetectedGPUs"]).split(", ")
    return [dict(ad["GPUs_" + re.sub(r"\W", "_", each)]) for each in ids]


def wait_for(what: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def processes_of(directory: Path) -> list[str]:
    """The running processes that use the configuration of the pool in this directory."""
    mark = f"CONDOR_CONFIG={directory}/condor_config\0".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes():
                found.append((path.parent / "cmdline").read_text())
    return found


def run_job(directory: Path, *lines: str) -> dict[str, str]:
    """Runs `env` as a job and returns the environment that it saw."""
    description = [
        "executable = /usr/bin/env",
        "transfer_executable = false",
        "should_transfer_files = yes",
        "request_memory = 100MB",
        "request_disk = 10MB",
        f"output = {directory}/job.out",
        f"log = {directory}/job.log",
        *lines,
        "queue",
    ]
    (directory / "job.sub").write_text("\n".join(description))
    subprocess.run(["condor_submit", directory / "job.sub"], check=True, capture_output=True)
    waited = subprocess.run(["condor_wait", "-wait", "60", directory / "job.log"], capture_output=True, text=True)
    assert waited.returncode == 0, (directory / "job.log").read_text()
    pairs = (line.partition("=") for line in (directory / "job.out").read_text().splitlines())
    return {key: value for key, _, value in pairs}


def test_every_machine_advertises_its_devices_as_nested_ads(pool):
    seen = slots(pool)
    assert set(seen) == set(MACHINES)
    for name, machine in plain(read_machines()).items():
        assert seen[name]["TotalSlotCpus"] == machine["cpus"]
        assert seen[name]["TotalSlotMemory"] == machine["memory_mb"]
        expected = gpus_of(machine)
        found = devices(seen[name])
        assert [ad["Id"] for ad in found] == [gpu.id for gpu in expected]
        for ad, gpu in zip(found, expected, strict=True):
            assert ad["DeviceName"] == gpu.properties["DeviceName"].strip('"')
            assert ad["GlobalMemoryMb"] == int(gpu.properties["GlobalMemoryMb"])
            if gpu.seen:
                assert ad["Capability"] == float(gpu.seen["capability"])
                assert ad["MaxSupportedVersion"] == gpu.seen["runtime"]
                assert ad["NvidiaDriver"] == gpu.seen["driver"]


def test_the_mystery_machine_has_a_device_without_capability_and_driver(pool):
    (ad,) = devices(slots(pool)["mystery"])
    assert ad["DeviceName"] == "NVIDIA Graphics Device (simulated)"
    assert not {"Capability", "DriverVersion", "MaxSupportedVersion", "NvidiaDriver"} & set(ad)


def test_a_job_for_one_capability_sees_one_device_that_the_simulated_driver_knows(pool, tmp_path):
    seen = run_job(tmp_path, "request_gpus = 1", "require_gpus = Capability == 7.5")
    driver = json.loads(Path(seen["SWEEP_SIMULATED_GPUS"]).read_text())
    assert driver[seen["CUDA_VISIBLE_DEVICES"]]["capability"] == "7.5"


def test_a_job_for_a_slice_sees_a_mig_device_that_the_simulated_driver_knows(pool, tmp_path):
    seen = run_job(tmp_path, "request_gpus = 1", "require_gpus = Capability == 8.0 && GlobalMemoryMb < 10000")
    driver = json.loads(Path(seen["SWEEP_SIMULATED_GPUS"]).read_text())
    assert seen["CUDA_VISIBLE_DEVICES"].startswith("MIG-")
    assert driver[seen["CUDA_VISIBLE_DEVICES"]]["memory_mb"] == 9728


def test_a_job_without_gpus_sees_none(pool, tmp_path):
    assert run_job(tmp_path)["CUDA_VISIBLE_DEVICES"] == "10000"


def test_a_stopped_pool_leaves_no_process_not_even_of_stubborn_jobs(condor, tmp_path):
    where = tmp_path / ("a-long-path-" * 12) / "pool"
    job = (
        "executable = /bin/sh\ntransfer_executable = false\nrequest_memory = 100MB\nrequest_disk = 10MB\n"
        """arguments = "-c 'trap : TERM; setsid sleep 1000 & while :; do sleep 1; done'"\n"""
        f"log = {tmp_path}/job.log\nqueue 2\n"
    )
    (tmp_path / "job.sub").write_text(job)
    with SandboxPool(condor, where, [MACHINES["turing"]]) as pool:
        environment = {**os.environ, **pool.environment}
        subprocess.run(["condor_submit", tmp_path / "job.sub"], check=True, env=environment, capture_output=True)
        master = int((where / "master.pid").read_text())

        def job_processes() -> int:
            commands = [Path(f"/proc/{pid}/cmdline") for pid in daemons.descendants(master)]
            return sum(b"sleep\x001000" in path.read_bytes() for path in commands if path.exists())

        assert wait_for(lambda: job_processes() == 2, 30)
        sockets = (where / "sockets").readlink()
        assert len(processes_of(where)) >= 6
    assert list(daemons.descendants(master)) == []
    assert processes_of(where) == []
    assert not sockets.exists()
    # The same directory serves again, whatever the last pool left in it.
    with SandboxPool(condor, where, [MACHINES["turing"]]) as pool:
        queue = subprocess.run(
            ["condor_q", "-af", "ClusterId"], env={**os.environ, **pool.environment}, capture_output=True
        )
        assert (queue.returncode, queue.stdout) == (0, b"")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_pool_ends_with_the_process_that_started_it(condor, tmp_path, number):
    script = (
        # A shell's background jobs are started with SIGINT ignored.
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from pathlib import Path; from sweep.sandbox.pool import SandboxPool\n"
        "from sweep.sandbox.prefix import Prefix; from sweep.sandbox.machines import read_machines\n"
        f"condor = {condor!r}\n".replace("PosixPath", "Path")
        + f"with SandboxPool(condor, Path({str(tmp_path / 'pool')!r}), "
        "read_machines()[:1]): print('up', flush=True); time.sleep(100)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    master = int((tmp_path / "pool" / "master.pid").read_text())
    child.send_signal(number)
    child.communicate(timeout=30)
    assert wait_for(lambda: not list(daemons.descendants(master)), 15)
    # What was killed left its lock and its directories, and they hinder nobody.
    with SandboxPool(condor, tmp_path / "pool", [MACHINES["mig"]]):
        pass


def test_the_command_line_gives_a_command_a_pool_and_takes_its_status(condor, tmp_path):
    command = [sys.executable, "-m", "sweep.sandbox", "exec", "--pool", "--", "sh", "-c"]
    said = 'echo "$CONDOR_CONFIG"; condor_status -af Machine | wc -l; exit 7'
    run = subprocess.run([*command, said], capture_output=True, text=True)
    assert run.returncode == 7, run.stderr
    config, machines = run.stdout.split()
    assert int(machines) == len(MACHINES)
    assert not Path(config).parent.exists()


def test_an_ended_command_line_ends_its_command_and_its_pool(condor, tmp_path):
    told = tmp_path / "told"
    script = f'cat "$(dirname "$CONDOR_CONFIG")/master.pid" > {told}.new; mv {told}.new {told}; exec sleep 1000'
    child = subprocess.Popen([sys.executable, "-m", "sweep.sandbox", "exec", "--pool", "--", "sh", "-c", script])
    assert wait_for(told.exists, 60)
    child.terminate()
    assert child.wait(30) == 128 + signal.SIGTERM
    assert list(daemons.descendants(int(told.read_text()))) == []


def test_two_pools_live_side_by_side_but_not_in_one_directory(pool, condor, tmp_path):
    with SandboxPool(condor, tmp_path / "pool", [MACHINES["volta"]]) as other:
        environment = {**os.environ, **other.environment}
        seen = subprocess.run(["condor_status", "-af", "Machine"], env=environment, capture_output=True, text=True)
        assert seen.stdout.split() == [f"volta.{DOMAIN}"]
        assert set(slots(pool)) == set(MACHINES)
        with pytest.raises(SandboxError, match="another pool"), SandboxPool(condor, tmp_path / "pool"):
            pass


def test_a_directory_with_other_things_in_it_is_left_alone(condor, tmp_path):
    (tmp_path / "log").mkdir()
    with pytest.raises(SandboxError, match="not a pool's directory"), SandboxPool(condor, tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["log"]


def test_a_pool_that_cannot_start_says_why_and_leaves_no_process(condor, tmp_path):
    (tmp_path / "empty").mkdir()
    broken = dataclasses.replace(condor, libexec=tmp_path / "empty")
    with pytest.raises(SandboxError, match="condor_shared_port") as caught, SandboxPool(broken, tmp_path / "pool"):
        pass
    assert str(tmp_path / "pool" / "log") in str(caught.value)
    assert processes_of(tmp_path / "pool") == []
    nothing = dataclasses.replace(condor, sbin=tmp_path / "empty")
    with pytest.raises(SandboxError, match="cannot be run"), SandboxPool(nothing, tmp_path / "pool"):
        pass


def test_an_installed_htcondor_is_used_and_nothing_is_fetched(condor: Prefix, tmp_path, monkeypatch):
    path = os.pathsep.join([str(condor.bin), str(condor.sbin), os.environ["PATH"]])
    monkeypatch.setenv("PATH", path)
    monkeypatch.delenv("CONDOR_CONFIG", raising=False)
    found = ensure_condor(tmp_path / "cache", print)
    assert found.installed
    assert not (tmp_path / "cache").exists()
    assert found.version == condor.version
    with SandboxPool(found, tmp_path / "pool", [MACHINES["kepler"]]):
        pass


def test_a_port_that_someone_else_took_is_given_up_for_another(condor, tmp_path, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = [taken.getsockname()[1]]
        free_port = pool_module._free_port
        monkeypatch.setattr(pool_module, "_free_port", lambda: ports.pop() if ports else free_port())
        with SandboxPool(condor, tmp_path / "pool", [MACHINES["kepler"]]):
            assert not ports
