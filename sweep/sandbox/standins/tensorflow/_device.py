"""Registering the simulated devices, starting them at first use, and `with tf.device(...)`."""

import threading

from ._build import BUILD, log
from ._simgpu import INSUFFICIENT_DRIVER, MESSAGES, NAMES, NO_DEVICE, UNSUPPORTED_PTX, driver
from .errors import InternalError, InvalidArgumentError

CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
GPU = "/job:localhost/replica:0/task:0/device:GPU:%d"

_GPU_DEVICE = "tensorflow/core/common_runtime/gpu/gpu_device.cc:2343"
_CUDA_DRIVER = "external/local_xla/xla/stream_executor/cuda/cuda_driver.cc:152"
_LOADER = "external/local_tsl/tsl/platform/default/dso_loader.cc:59"
_OP_KERNEL = "tensorflow/core/framework/op_kernel.cc:1844"
_WRAPPERS = "tensorflow/compiler/mlir/tools/kernel_gen/tf_gpu_runtime_wrappers.cc:40"

_registered = []
_started = set()
_place = threading.local()


def registered():
    """The GPUs that TensorFlow uses; the reason against the others goes to standard error, once."""
    if not _registered:
        _registered.append(_register())
    return _registered[0]


def _register():
    if not BUILD.cuda:
        return []
    gpu = driver()
    if gpu is None:
        log(
            "I",
            "external/local_xla/xla/tsl/cuda/cudart_stub.cc:32",
            "Could not find cuda drivers on your machine, GPU will not be used.",
        )
        return []
    if not gpu.devices:
        text = "failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: %s: %s"
        log("E", _CUDA_DRIVER, text % (NAMES[NO_DEVICE], MESSAGES[NO_DEVICE]))
        return []
    missing = BUILD.missing()
    if missing:
        for name in missing:
            reason = f"{name}: cannot open shared object file: No such file or directory"
            log("W", _LOADER, f"Could not load dynamic library '{name}'; dlerror: {reason}")
        log(
            "W",
            _GPU_DEVICE,
            "Cannot dlopen some GPU libraries. Please make sure the missing libraries mentioned above are installed "
            "properly if you would like to use GPU. Follow the guide at https://www.tensorflow.org/install/gpu for "
            "how to download and setup the required libraries for your platform.\n"
            "Skipping registering GPU devices...",
        )
        return []
    return [device for device in gpu.devices if _supported(device)]


def _supported(device):
    lowest = min(BUILD.archs)
    if device.capability >= lowest:
        return True
    text = (
        "Ignoring visible gpu device (device: 0, name: %s, compute capability: %d.%d) with Cuda compute capability "
        "%d.%d. The minimum required Cuda capability is %d.%d."
    )
    log("I", _GPU_DEVICE, text % ((device.name,) + device.capability * 2 + lowest))
    return False


def start(index):
    """Make the device's context, as the first operation on it does.

    Raises:
        InternalError: the driver cannot serve the build's CUDA runtime.
        InvalidArgumentError: there is no such device.
    """
    found = registered()
    if index >= len(found):
        raise InvalidArgumentError(
            f"Could not satisfy device specification '{GPU % index}'. enable_soft_placement=0. Supported device "
            f"types [CPU]. All available devices [{CPU}]."
        )
    gpu = driver()
    if BUILD.start(gpu) == INSUFFICIENT_DRIVER:
        raise InternalError("cudaGetDevice() failed. Status: " + MESSAGES[INSUFFICIENT_DRIVER])
    device = found[index]
    if index not in _started:
        _started.add(index)
        if not any(a[0] == device.capability[0] and a[1] <= device.capability[1] for a in BUILD.archs):
            text = (
                "TensorFlow was not built with CUDA kernel binaries compatible with compute capability %d.%d. CUDA "
                "kernels will be jit-compiled from PTX, which could take 30 minutes or longer."
            )
            log("W", _GPU_DEVICE, text % device.capability)
        text = "Created device %s with %d MB memory:  -> device: %d, name: %s, compute capability: %d.%d"
        log("I", _GPU_DEVICE, text % ((GPU % index, device.memory_mb, index, device.name, *device.capability)))
    return gpu, device


def fail(code, operation):
    """Raise what an operation raises for an error code of CUDA."""
    if code == UNSUPPORTED_PTX:
        log("W", _WRAPPERS, f"'cuModuleLoadData(&module, data)' failed with '{NAMES[code]}'")
    log("W", _OP_KERNEL, f"OP_REQUIRES failed: INTERNAL: {MESSAGES[code]}")
    raise InternalError(
        f"{{{{function_node __wrapped__{operation}_device_{GPU % 0}}}}} {MESSAGES[code]} [Op:{operation}] name: "
    )


class device:  # noqa: N801 - TensorFlow's own name
    """`with tf.device("/GPU:0"):`"""

    def __init__(self, name):
        kind, _, index = name.strip("/").rpartition("device:")[2].partition(":")
        self._index = int(index or 0) if kind.upper() == "GPU" else None
        self._before = None

    def __enter__(self):
        self._before = current()
        _place.index = self._index

    def __exit__(self, *exception):
        _place.index = self._before


def current():
    """The index of the GPU that operations are placed on, or None for the CPU."""
    index = getattr(_place, "index", "default")
    if index == "default":
        return 0 if registered() else None
    return index
