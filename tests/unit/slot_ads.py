"""Slot ads and job ads as HTCondor 25.14 writes them, cut down to what the inventory and the matching read.

The slot ad was recorded from a partitionable slot of the sandbox's pool (`condor_status -l`), the job ad from a dry
run of `condor_submit` on a tuple's submit file; only names, numbers and times were replaced by parameters.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import htcondor2  # noqa: F401 - registers HTCondor's own ClassAd functions, which a parser must know beforehand
from classad2 import ClassAd, ExprTree

from sweep.attributes import nested_name
from sweep.cuda import driver_floor, encode_runtime
from sweep.model import GpuClass, VersionTuple
from sweep.render import dry_submit_file
from sweep.settings import Settings

A100 = {"Capability": 8.0, "DeviceName": "NVIDIA A100-SXM4-80GB", "GlobalMemoryMb": 81153}
P100 = {"Capability": 6.0, "DeviceName": "Tesla P100-PCIE-16GB", "GlobalMemoryMb": 16276}
L40 = {"Capability": 8.9, "DeviceName": "NVIDIA L40", "GlobalMemoryMb": 45495}
B200 = {"Capability": 10.0, "DeviceName": "NVIDIA B200", "GlobalMemoryMb": 182632}
MIG = {"Capability": 8.0, "DeviceName": "NVIDIA A100-SXM4-80GB MIG 1g.10gb", "GlobalMemoryMb": 9728}

_WITHIN = (
    "MY.Cpus > 0 && TARGET.RequestCpus <= MY.Cpus && MY.Memory > 0 && TARGET.RequestMemory <= MY.Memory && "
    'MY.Disk > 0 && (TARGET.RequestDisk - ifthenelse(MappingMethod ?: "" != "Copy",ifthenelse('
    "RequestedCatalogs =?= undefined || catalogs =?= undefined,0,sum(evalInEachContext("
    "member(CatalogID,RequestedCatalogIDs) ? CatalogSize : 0,catalogs))),0)) <= MY.Disk && "
    "(TARGET.RequestGPUs =?= undefined || MY.GPUs >= TARGET.RequestGPUs)"
)


def device(base: dict[str, Any], runtime: int | None = 12040, driver: str | None = "550.54.15") -> dict[str, Any]:
    """The nested ad of a device, without its ids."""
    found = {**base, "ECCEnabled": True, "DevicePciBusId": "0000:40:00.0"}
    if runtime is not None:
        found |= {"MaxSupportedVersion": runtime, "DriverVersion": runtime // 1000 + runtime % 100 / 100}
    if driver is not None:
        found["NvidiaDriver"] = driver
    return found


def slot(machine: str, devices: dict[str, dict[str, Any]], **others: Any) -> ClassAd:
    """The ad of an empty partitionable slot; `others` replace or add attributes, None removes one."""
    ad = ClassAd()
    plain: dict[str, Any] = {
        "MyType": "Machine", "Name": f"slot1@{machine}", "Machine": machine, "SlotType": "Partitionable",
        "PartitionableSlot": True, "State": "Unclaimed", "Activity": "Idle", "Arch": "X86_64", "OpSys": "LINUX",
        "CondorVersion": "$CondorVersion: 25.14.1 2026-10-16 PackageID: 25.14.1+dfsg-1 $",
        "HasFileTransfer": True, "MappingMethod": "Hardlink", "Start": True,
        "Cpus": 16, "TotalSlotCpus": 16, "TotalCpus": 16.0, "Memory": 64000, "TotalSlotMemory": 64000,
        "Disk": 83140540, "TotalSlotDisk": 83140540.0,
        "GPUs": len(devices), "TotalGPUs": len(devices), "TotalSlotGPUs": len(devices),
        "DetectedGPUs": ", ".join(devices), "AssignedGPUs": ",".join(devices),
    }  # fmt: skip
    for name, value in plain.items():
        ad[name] = value
    ad["Requirements"] = ExprTree("Start && WithinResourceLimits")
    ad["WithinResourceLimits"] = ExprTree(_WITHIN)
    ad["AvailableGPUs"] = references(*devices)
    for id_, facts in devices.items():
        ad[nested_name(id_)] = {"Id": id_, "DeviceUuid": id_.removeprefix("GPU-"), **facts}
    for name, value in others.items():
        if value is None:
            del ad[name]
        else:
            ad[name] = value
    return ad


def references(*devices: str) -> ExprTree:
    """A list of references to devices' nested ads, as AvailableGPUs has it."""
    return ExprTree("{ " + ",".join(nested_name(d) for d in devices) + " }")


def job(directory: Path, settings: Settings, capability: str, runtime: str, gpu: GpuClass | None = None) -> ClassAd:
    """The job ad that condor_submit makes of a tuple's submit file, as far as matching goes.

    `gpu` is the device model and driver that it is to run on, if that matters.
    """
    tuple_ = VersionTuple(
        framework="pytorch", version="2.5", cuda=runtime, capability=capability, gpu=gpu and gpu.label
    )
    text = dry_submit_file(tuple_, settings, directory, gpu)
    commands = dict(re.findall(r"^(\w+) *= (.*)$", text, flags=re.MULTILINE))
    floor = driver_floor(runtime, settings.cuda.driver_policy)
    assert commands["gpus_minimum_runtime"] == floor
    gpus = f"{commands['require_gpus']} && MaxSupportedVersion >= GPUsMinRuntime"
    ad = ClassAd()
    ad["GPUsMinRuntime"] = encode_runtime(floor)
    if memory := commands.get("gpus_minimum_memory"):
        ad["GPUsMinMemory"] = int(memory.removesuffix("MB"))
        gpus += " && GlobalMemoryMb >= GPUsMinMemory"
    ad["MyType"], ad["JobUniverse"], ad["NumJobCompletions"] = "Job", 5, 0
    ad["RequestCpus"] = int(commands["request_cpus"])
    ad["RequestMemory"] = int(commands["request_memory"].removesuffix("MB"))
    ad["RequestDisk"] = int(commands["request_disk"].removesuffix("MB")) * 1024
    ad["RequestGPUs"] = int(commands["request_gpus"])
    ad["RequireGPUs"] = ExprTree(gpus)
    ad["Requirements"] = ExprTree(
        f'({commands["requirements"]}) && (TARGET.OpSys == "LINUX") && '
        '(versionGE(split(TARGET.CondorVersion)[1],"25.12.0") || (TARGET.Disk >= RequestDisk)) && '
        "(TARGET.Memory >= RequestMemory) && (countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs) && "
        "(TARGET.HasFileTransfer)"
    )
    return ad
