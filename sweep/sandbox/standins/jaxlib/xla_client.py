"""The backend: devices, buffers, and compiling for a device. Everything that JAX runs is compiled here."""

import sys

from . import _BUILD as BUILD
from ._simgpu import INSUFFICIENT_DRIVER, MESSAGES, NAMES, NO_DEVICE, arithmetic, dotted, driver
from ._simgpu.values import Values


class XlaRuntimeError(RuntimeError):
    """What XLA raises, by the name that users see."""


XlaRuntimeError.__module__ = "jaxlib.xla_extension" if BUILD.version < "0.6" else "jax.errors"
if BUILD.version >= "0.6":
    XlaRuntimeError.__name__ = XlaRuntimeError.__qualname__ = "JaxRuntimeError"

_HINT = " (you may need to uninstall the failing plugin package, or set JAX_PLATFORMS=cpu to skip this backend.)"


class Device:
    """A device of one platform."""

    def __init__(self, index, gpu=None):
        self.id = index
        self.platform = "gpu" if gpu else "cpu"
        self.device_kind = gpu.name if gpu else "cpu"
        if gpu:
            self.compute_capability = dotted(gpu.capability)

    def __repr__(self):
        return f"{'CudaDevice' if self.platform == 'gpu' else 'CpuDevice'}(id={self.id})"


def devices(platform):
    """The devices of `cpu` or `gpu`.

    Raises:
        RuntimeError: the platform has none, with the reason.
    """
    if platform == "cpu":
        return [Device(0)]
    if not BUILD.cuda:
        raise RuntimeError(
            "Unknown backend: 'gpu' requested, but no platforms that are instances of gpu are present. "
            "Platforms present are: cpu"
        )
    problem = _problem(driver())
    if problem:
        raise RuntimeError("Unable to initialize backend 'cuda': " + problem + _HINT)
    return [Device(index, gpu) for index, gpu in enumerate(driver().devices)]


def _problem(gpu):
    if gpu is None:
        return "Failed to load libcuda.so.1: cannot open shared object file: No such file or directory"
    for name, label in (("libcudart", "CUDA"), ("libcublas", "cuBLAS"), ("libcudnn", "cuDNN")):
        if any(missing.startswith(name) for missing in BUILD.missing()):
            return (
                "Unable to use CUDA because of the following issues with CUDA components:\n"
                f"Unable to load {label}. Is it installed?"
            )
    code = BUILD.start(gpu)
    if code == INSUFFICIENT_DRIVER:
        return (
            "jaxlib/cuda/versions_helpers.cc:98: operation gpuGetDeviceCount(&device_count) failed: " + MESSAGES[code]
        )
    if code == NO_DEVICE:
        return "FAILED_PRECONDITION: No visible GPU devices."
    return None


def compile_for(device):
    """Compile for a device.

    Raises:
        XlaRuntimeError: neither ptxas nor the driver can.
    """
    if device.platform != "gpu":
        return
    gpu = driver()
    toolkit = BUILD.runtime()
    if gpu.cuda < toolkit:
        sys.stderr.write(
            "W external/xla/xla/service/gpu/nvptx_compiler.cc:930] The NVIDIA driver's CUDA version is "
            f"{dotted(gpu.cuda)} which is older than the PTX compiler version {dotted(toolkit)}. Because the driver "
            "is older than the PTX compiler version, XLA is disabling parallel compilation, which may slow down "
            "compilation.\n"
        )
    code = BUILD.compiled(gpu, gpu.devices[device.id])
    if code:
        raise XlaRuntimeError(f"INTERNAL: Failed to load PTX text as a module: {NAMES[code]}: {MESSAGES[code]}")


def convolve(device):
    """Enter cuDNN."""
    if device.platform == "gpu":
        BUILD.convolve(driver().devices[device.id])


class Buffer(Values):
    """Values on a device."""

    @property
    def device(self):
        """Where it is."""
        return self._place

    @property
    def dtype(self):
        """The element type."""
        return self._dtype

    def _start(self, operation, *others):
        compile_for(self.device)
        return self.device

    def astype(self, dtype):
        """The same numbers in another element type."""
        return Buffer(self._flat, self.shape, self._start("convert"), dtype)

    def block_until_ready(self):
        """Nothing is left to wait for."""
        return self

    def delete(self):
        """Nothing is held."""

    def tolist(self):
        """Nested lists of floats."""
        return arithmetic.nest(self._flat, self.shape)
