"""torch.compile: what the default backend, inductor with triton, makes of a device."""

from ._build import RELEASE
from ._dynamo import exc as dynamo
from ._inductor import exc as inductor
from ._simgpu import driver
from ._tensor import Tensor

_TOO_OLD = (
    "Found %s which is too old to be supported by the triton GPU compiler, which is used as the backend. "
    "Triton only supports devices of CUDA Capability >= 7.0, but your device is of CUDA capability %d.%d"
)
_MISSING = (
    "Cannot find a working triton installation. Either the package is not installed or it is too old. "
    "More information on installing Triton can be found at: https://github.com/triton-lang/triton"
)
_ASSEMBLER = (
    "Internal Triton PTX codegen error\n`ptxas` stderr:\n"
    "ptxas fatal   : Value 'sm_%d%d' is not defined for option 'gpu-name'\n"
)


def compile(model):
    """The function, compiled at its first call for the device of its arguments."""

    def compiled(*tensors):
        for each in tensors:
            if isinstance(each, Tensor) and each.device.type == "cuda":
                _compile_for(driver().devices[each.device.index])
        return model(*tensors)

    return compiled


def _compile_for(device):
    if device.capability < (7, 0):
        _fail("GPUTooOldForTriton", _TOO_OLD % ((device.name, *device.capability)))
    try:
        import triton
    except ImportError:
        _fail("TritonMissing", _MISSING)
    if not triton._assembles(device.capability):
        _fail("InductorError", _ASSEMBLER % device.capability)


def _fail(name, message):
    # Classes of their own came with 2.6; before, every failure of a backend was wrapped in the same way.
    if RELEASE < (2, 6):
        raise dynamo.BackendCompilerFailed("backend='inductor' raised:\nRuntimeError: " + message)
    if name == "InductorError":
        message = "PTXASError: PTXAS error: " + message
    raise getattr(inductor, name)(message)
