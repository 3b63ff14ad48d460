"""A simulated NVIDIA driver, and CUDA's rules for what runs on which device. Standard library only.

The stand-in frameworks ask here what their real counterparts would find out from the driver. The devices of the
machine come from the JSON file that SWEEP_SIMULATED_GPUS names; those of the job from CUDA_VISIBLE_DEVICES.

Rules and their sources:
    driver floor      a runtime needs a driver of its own CUDA major version or newer
                      (NVIDIA, CUDA Compatibility: minor version compatibility)
    machine code      runs on devices of the same major capability and an equal or higher minor one
                      (NVIDIA, CUDA C++ Programming Guide: binary compatibility)
    PTX               is compiled by the driver for any device of its capability or newer, but only if the
                      toolkit that wrote it is not newer than the driver (CUDA Compatibility: application
                      considerations; minor version compatibility does not cover it)
    ptxas             a toolkit's assembler knows the capabilities in _ASSEMBLER (CUDA release notes)
    cuDNN             from 9.11 on it crashes on devices below 7.5 (conda-forge/cudnn-feedstock issue 124)
"""

import json
import os
import signal
from pathlib import Path

OK = 0
NO_DEVICE = 100
INSUFFICIENT_DRIVER = 35
NO_KERNEL_IMAGE = 209
UNSUPPORTED_PTX = 222

MESSAGES = {
    NO_DEVICE: "no CUDA-capable device is detected",
    INSUFFICIENT_DRIVER: "CUDA driver version is insufficient for CUDA runtime version",
    NO_KERNEL_IMAGE: "no kernel image is available for execution on the device",
    UNSUPPORTED_PTX: "the provided PTX was compiled with an unsupported toolchain.",
}
NAMES = {
    NO_DEVICE: "CUDA_ERROR_NO_DEVICE",
    INSUFFICIENT_DRIVER: "CUDA_ERROR_INSUFFICIENT_DRIVER",
    NO_KERNEL_IMAGE: "CUDA_ERROR_NO_BINARY_FOR_GPU",
    UNSUPPORTED_PTX: "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
}

# First toolkit of a range -> the lowest and highest capability that its ptxas assembles for.
_ASSEMBLER = (
    ((13, 0), (7, 5), (12, 1)),
    ((12, 9), (5, 0), (12, 1)),
    ((12, 8), (5, 0), (12, 0)),
    ((12, 0), (5, 0), (9, 0)),
    ((11, 8), (3, 5), (9, 0)),
    ((11, 0), (3, 5), (8, 6)),
)

_CUDNN_WITHOUT_OLD_DEVICES = (9, 11)
_CUDNN_LOWEST_DEVICE = (7, 5)


def pair(text):
    """`12.4.1` -> (12, 4)."""
    parts = (str(text) + ".0").split(".")
    return int(parts[0]), int(parts[1])


def sm(capability, kind="sm"):
    """(8, 0) as `sm_80`, or `compute_80` for PTX."""
    return f"{kind}_{capability[0]}{capability[1]}"


def dotted(version):
    """(8, 0) as `8.0`."""
    return f"{version[0]}.{version[1]}"


class Device:
    """A device of the simulated machine."""

    def __init__(self, uuid, facts):
        name = facts["name"]
        self.uuid = uuid
        self.name = name if name.endswith("(simulated)") else name + " (simulated)"
        self.capability = pair(facts["capability"])
        self.memory_mb = int(facts["memory_mb"])
        self.runtime = int(facts["runtime"])
        self.release = facts.get("driver")


class Driver:
    """The machine's driver: the newest runtime it supports (12040 for 12.4) and the devices that are visible."""

    def __init__(self, devices, visible):
        # The file describes every machine of the sandbox; the job's own devices tell which one this is.
        here = visible or devices
        self.runtime = here[0].runtime if here else 0
        self.devices = visible

    @property
    def cuda(self):
        """The newest CUDA runtime that it supports, as (major, minor)."""
        return self.runtime // 1000, self.runtime % 1000 // 10


def driver():
    """The simulated driver, or None where there is none."""
    path = os.environ.get("SWEEP_SIMULATED_GPUS")
    if not path:
        return None
    devices = [Device(uuid, facts) for uuid, facts in json.loads(Path(path).read_text()).items()]
    return Driver(devices, _visible(devices, os.environ.get("CUDA_VISIBLE_DEVICES")))


def _visible(devices, wanted):
    """CUDA's own rule: indices or (short) UUIDs, in order; the list ends at the first that does not exist."""
    if wanted is None:
        return devices
    chosen = []
    for token in (t.strip() for t in wanted.split(",")):
        if token.isdigit():
            found = devices[int(token) : int(token) + 1]
        else:
            found = [d for d in devices if token and (d.uuid.startswith(token) or token.startswith(d.uuid))]
        if len(found) != 1 or found[0] in chosen:
            break
        chosen.append(found[0])
    return chosen


class Build:
    """What a stand-in package knows of its build, and the environment that it was installed into."""

    def __init__(self, package_file):
        package = Path(package_file).resolve().parent
        facts = json.loads((package / "_build.json").read_text())
        self.version = facts["version"]
        self.cuda = facts.get("cuda")
        self.archs = [pair(arch) for arch in facts.get("archs", ())]
        self.ptx = pair(facts["ptx"]) if "ptx" in facts else None
        self.libraries = facts.get("libraries", ())
        self.prefix = _prefix(package)

    def missing(self):
        """The shared libraries that the build loads and the environment does not have."""
        return [name for name in self.libraries if not (self.prefix / "lib" / name).exists()]

    def runtime(self):
        """The CUDA runtime of the environment, as (major, minor)."""
        return pair(self.installed("cuda-version") or self.installed("cudatoolkit") or self.cuda)

    def arch_names(self):
        """What the build carries code for: `sm_80`, ..., and `compute_90` for its PTX."""
        names = [sm(arch) for arch in self.archs]
        return [*names, sm(self.ptx, "compute")] if self.ptx else names

    def cudnn(self):
        """The version of the environment's cuDNN as (major, minor, patch), or None."""
        found = self.installed("cudnn")
        return tuple(int(part) for part in found.split(".")[:3]) if found else None

    def installed(self, name):
        """The version of a package of the environment, or None."""
        for record in (self.prefix / "conda-meta").glob(name + "-*.json"):
            found, version = record.stem.rsplit("-", 2)[:2]
            if found == name:
                return version
        return None

    def start(self, gpu):
        """What initialising the runtime comes to on a driver."""
        if gpu.cuda[0] < self.runtime()[0]:
            return INSUFFICIENT_DRIVER
        return OK if gpu.devices else NO_DEVICE

    def kernel(self, gpu, device):
        """What launching one of the build's own kernels comes to."""
        if any(a[0] == device.capability[0] and a[1] <= device.capability[1] for a in self.archs):
            return OK
        if self.ptx is None or self.ptx > device.capability:
            return NO_KERNEL_IMAGE
        return OK if pair(self.cuda) <= gpu.cuda else UNSUPPORTED_PTX

    def compiled(self, gpu, device):
        """What running code comes to that XLA compiles on the node: by ptxas, else by the driver from PTX."""
        toolkit = self.runtime()
        low, high = assembles(toolkit)
        if low <= device.capability <= high:
            return OK
        if device.capability < low:
            return NO_KERNEL_IMAGE
        return OK if toolkit <= gpu.cuda else UNSUPPORTED_PTX

    def convolve(self, device):
        """Enter cuDNN, which may not come back."""
        if self.cudnn() >= _CUDNN_WITHOUT_OLD_DEVICES and device.capability < _CUDNN_LOWEST_DEVICE:
            os.kill(os.getpid(), signal.SIGSEGV)


def assembles(toolkit):
    """The lowest and highest capability that a toolkit's ptxas knows."""
    for first, low, high in _ASSEMBLER:
        if toolkit >= first:
            return low, high
    return (3, 0), (7, 5)


def _prefix(package):
    for folder in package.parents:
        if (folder / "conda-meta").is_dir():
            return folder
    raise RuntimeError(f"{package}: a stand-in works in a conda environment only")
