"""torch.cuda: devices as the simulated driver has them."""

import warnings

from ._build import BUILD
from ._simgpu import INSUFFICIENT_DRIVER, NO_DEVICE, driver, sm

_TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version %d). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: "
    "https://pytorch.org to install a PyTorch version that has been compiled with your version of the CUDA driver."
)
_NO_DRIVER = (
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver from "
    "http://www.nvidia.com/Download/index.aspx"
)

_started = []


def _problem():
    gpu = driver()
    if gpu is None:
        return _NO_DRIVER
    code = BUILD.start(gpu)
    if code == INSUFFICIENT_DRIVER:
        return _TOO_OLD % gpu.runtime
    return "No CUDA GPUs are available" if code == NO_DEVICE else None


def is_available():
    """Whether a device can be used; a reason against it becomes a warning."""
    if not BUILD.cuda:
        return False
    problem = _problem()
    if problem and "No CUDA GPUs" not in problem:
        warnings.warn("CUDA initialization: " + problem, stacklevel=2)
    return problem is None


def init():
    """Start the runtime.

    Raises:
        AssertionError: a build without CUDA.
        RuntimeError: no driver, one that is too old, or no device.
    """
    if _started:
        return
    if not BUILD.cuda:
        raise AssertionError("Torch not compiled with CUDA enabled")
    problem = _problem()
    if problem:
        raise RuntimeError(problem)
    _started.append(True)
    for device in driver().devices:
        _warn_of_capability(device)


def _warn_of_capability(device):
    supported = [arch for arch in BUILD.archs if arch[0] == device.capability[0]]
    if not any(arch <= device.capability for arch in supported):
        warnings.warn(
            f"\n{device.name} with CUDA capability {sm(device.capability)} is not compatible with the current "
            f"PyTorch installation.\nThe current PyTorch installation supports CUDA capabilities "
            f"{' '.join(BUILD.arch_names())}.\n",
            stacklevel=3,
        )


def device_count():
    """The number of visible devices, asked from NVML: a driver that is too old still counts."""
    gpu = driver() if BUILD.cuda else None
    return len(gpu.devices) if gpu else 0


def _device(index):
    init()
    devices = driver().devices
    if index >= len(devices):
        raise RuntimeError("CUDA error: invalid device ordinal")
    return devices[index]


def get_device_name(index=0):
    """The name; ends in "(simulated)"."""
    return _device(index).name


def get_device_capability(index=0):
    """(major, minor)."""
    return _device(index).capability


def get_arch_list():
    """What the build carries code for; empty where no device can be used."""
    return BUILD.arch_names() if is_available() else []


def synchronize(device=None):
    """Nothing is left to wait for."""
    init()
