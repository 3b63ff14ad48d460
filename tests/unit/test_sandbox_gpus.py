"""The simulated GPUs: their definitions, what the discovery prints, and what the stand-in driver knows."""

import json
import re
import subprocess
import sys
from pathlib import Path

import classad2
import pytest

from sweep.errors import SandboxError
from sweep.sandbox import gpu_discovery
from sweep.sandbox.gpu_discovery import discovery_text, gpus_of, runtime_number, simulated_driver
from sweep.sandbox.machines import plain, read_machines

SCRIPT = Path(gpu_discovery.__file__)
MACHINES = plain(read_machines())


def printed(machine: str) -> dict[str, str]:
    """The discovery's output as attribute -> expression."""
    lines = discovery_text(gpus_of(MACHINES[machine])).splitlines()
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def device_ads(machine: str) -> list[dict[str, object]]:
    """Each device's properties, common and own, read by HTCondor's own ClassAd parser."""
    text = printed(machine)
    ids = text["DetectedGPUs"].strip('"').split(", ")
    common = dict(classad2.ClassAd(text["Common"]))
    return [common | dict(classad2.ClassAd(text[identifier.replace("-", "_")])) for identifier in ids]


def test_the_sandbox_has_the_variety_that_a_sweep_has_to_cope_with():
    capabilities = {m["name"]: [d["capability"] for d in m["devices"]] for m in MACHINES.values()}
    assert {"3.5", "7.0", "7.5", "8.0", "9.0"} <= {c for each in capabilities.values() for c in each}
    assert len(set(capabilities["mixed"])) == 2
    assert capabilities["mystery"] == [None]
    assert MACHINES["mig"]["devices"][0]["mig"] is True
    assert len({m["runtime"] for m in MACHINES.values()}) >= 5


@pytest.mark.parametrize("machine", sorted(MACHINES))
def test_every_device_is_printed_as_a_classad_and_says_that_it_is_simulated(machine):
    ads = device_ads(machine)
    assert len(ads) == sum(model["count"] for model in MACHINES[machine]["devices"])
    for ad in ads:
        assert str(ad["DeviceName"]).endswith(" (simulated)")
        assert {"id", "DeviceUuid", "DevicePciBusId", "ECCEnabled", "GlobalMemoryMb"} <= set(ad)


def test_different_devices_in_one_machine_keep_their_own_properties():
    l40, p100 = device_ads("mixed")
    assert (l40["Capability"], l40["GlobalMemoryMb"]) == (8.9, 45495)
    assert (p100["Capability"], p100["GlobalMemoryMb"]) == (6.0, 16276)
    assert "Capability" not in printed("mixed")["Common"]
    for ad in (l40, p100):
        assert (ad["DriverVersion"], ad["MaxSupportedVersion"], ad["NvidiaDriver"]) == (12.4, 12040, "550.54.15")


def test_a_device_that_could_not_be_read_has_neither_capability_nor_driver():
    (ad,) = device_ads("mystery")
    assert not {"Capability", "DriverVersion", "MaxSupportedVersion", "NvidiaDriver"} & set(ad)


def test_a_machine_without_devices_prints_the_number_zero():
    assert discovery_text([]) == "DetectedGPUs=0\n"


def test_a_gpu_goes_by_eight_digits_and_a_mig_slice_by_its_whole_uuid():
    uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    for ad in device_ads("hopper"):
        assert re.fullmatch(uuid, str(ad["DeviceUuid"]))
        assert ad["id"] == f"GPU-{str(ad['DeviceUuid'])[:8]}"
    for ad in device_ads("mig"):
        assert re.fullmatch("MIG-" + uuid, str(ad["DeviceUuid"]))
        assert ad["id"] == ad["DeviceUuid"]


def test_ids_differ_between_devices_and_stay_the_same_between_runs():
    every = [gpu for machine in MACHINES.values() for gpu in gpus_of(machine)]
    again = [gpu for machine in MACHINES.values() for gpu in gpus_of(machine)]
    assert len({gpu.id for gpu in every}) == len({gpu.visible for gpu in every}) == len(every) == 16
    assert every == again


def test_the_driver_knows_every_readable_device_by_its_visible_name():
    driver = simulated_driver(MACHINES.values())
    assert len(driver) == 15  # all but the mystery machine's
    turing = gpus_of(MACHINES["turing"])[0]
    assert driver[turing.visible] == {
        "name": "NVIDIA GeForce RTX 2080 Ti (simulated)",
        "capability": "7.5",
        "runtime": 12020,
        "driver": "535.104.05",
        "memory_mb": 11012,
    }
    assert sum(key.startswith("MIG-") for key in driver) == 3


@pytest.mark.parametrize(("runtime", "number"), [("11.4", 11040), ("12.0", 12000), ("12.10", 12100), ("13.0", 13000)])
def test_runtime_numbers_are_those_of_the_cuda_api(runtime, number):
    assert runtime_number(runtime) == number


def test_the_script_runs_by_itself_as_the_startd_runs_it(tmp_path):
    (tmp_path / "machines.json").write_text(json.dumps(MACHINES))
    command = [sys.executable, "-I", "-S", SCRIPT, tmp_path / "machines.json"]
    run = subprocess.run([*command, "volta"], capture_output=True, text=True, check=True, env={})
    assert run.stdout == discovery_text(gpus_of(MACHINES["volta"]))
    unknown = subprocess.run([*command, "nowhere"], capture_output=True, text=True, env={})
    assert unknown.returncode == 1
    assert "nowhere" in unknown.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "machine"),
        ("[[machine]\n", "cannot be read"),
        ('[[machine]]\nname = "a b"\n', "machine.0.name"),
        ('[[machine]]\nname = "a"\nruntime = "12.4"\n', "neither"),
        ('[[machine]]\nname = "a"\n[[machine]]\nname = "a"\n', "two machines"),
        ('[[machine]]\nname = "a"\ndevices = [{name = "x", memory_mb = 0}]\n', "memory_mb"),
        ('[[machine]]\nname = "a"\ndevices = [{name = "x", memory_mb = 1, capability = "eight"}]\n', "capability"),
        ('[[machine]]\nname = "a"\ndevices = [{name = \'x"\', memory_mb = 1}]\n', "devices.0.name"),
        ('[[machine]]\nname = "a"\ngpus = 3\n', "gpus"),
    ],
)
def test_a_wrong_pool_file_is_refused_with_the_place_that_is_wrong(tmp_path, text, complaint):
    path = tmp_path / "pool.toml"
    path.write_text(text)
    with pytest.raises(SandboxError) as caught:
        read_machines(path)
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)
