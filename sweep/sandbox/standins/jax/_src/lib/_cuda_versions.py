"""Versions of the CUDA libraries, as numbers."""

from jaxlib import _BUILD


def cuda_runtime_build_version():
    """12.9 as 12090."""
    major, minor = (int(part) for part in _BUILD.cuda.split("."))
    return major * 1000 + minor * 10


def cudnn_get_version():
    """9.13.1 as 91301."""
    major, minor, patch = _BUILD.cudnn()
    return major * 10000 + minor * 100 + patch
