"""What this build is, and how it reports what the driver says."""

from ._simgpu import MESSAGES, OK, Build, pair

BUILD = Build(__file__)
RELEASE = pair(BUILD.version)


class AcceleratorError(RuntimeError):
    """An error of the device; PyTorch has this class since 2.8."""


AcceleratorError.__module__ = "torch"


def check(code):
    """Raise what PyTorch raises for an error code of CUDA."""
    if code == OK:
        return
    lines = ["CUDA error: " + MESSAGES[code]]
    if RELEASE >= (2, 9):
        lines.append(
            "Search for the error in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html "
            "for more information."
        )
    lines += [
        "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below "
        "might be incorrect.",
        "For debugging consider passing CUDA_LAUNCH_BLOCKING=1",
        "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
        "",
    ]
    raise (AcceleratorError if RELEASE >= (2, 8) else RuntimeError)("\n".join(lines))
