"""tf.function: eager, but for what compiling with XLA comes to on the device."""

from . import _device
from ._build import BUILD, log
from ._simgpu import NAMES, OK
from .errors import InternalError

_COMPILER = "external/local_xla/xla/stream_executor/gpu/asm_compiler.cc:231"


def function(func, jit_compile=False):
    """The function itself; with `jit_compile`, compiled for the device at each call."""

    def traced(*tensors):
        if jit_compile and _device.current() is not None:
            gpu, device = _device.start(_device.current())
            _compile(gpu, device)
        return func(*tensors)

    return traced


def _compile(gpu, device):
    runtime = BUILD.runtime()
    if gpu.cuda < runtime:
        text = (
            "The NVIDIA driver's CUDA version is %d.%d which is older than the PTX compiler version %d.%d. Because "
            "the driver is older than the PTX compiler version, XLA is disabling parallel compilation, which may "
            "slow down compilation. You should update your NVIDIA driver or use the NVIDIA-provided CUDA forward "
            "compatibility packages."
        )
        log("W", "external/local_xla/xla/service/gpu/nvptx_compiler.cc:893", text % (gpu.cuda + runtime))
    code = BUILD.compiled(gpu, device)
    if code != OK:
        text = "Falling back to the CUDA driver for PTX compilation; ptxas does not support CC %d.%d"
        log("W", _COMPILER, text % device.capability)
        raise InternalError(f"Failed to load PTX text as a module: {NAMES[code]}")
