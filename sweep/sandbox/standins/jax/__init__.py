"""Stand-in for JAX: the calls that the probe makes, handed to the stand-in for jaxlib. Simulated."""

import json
from pathlib import Path

from jaxlib import xla_client

from . import errors, lax, numpy

__version__ = json.loads(Path(__file__).with_name("_build.json").read_text())["version"]

__all__ = ["device_put", "devices", "errors", "jit", "lax", "numpy"]


def devices(backend=None):
    """The devices of a platform; of the GPU, or else the CPU, where none is named."""
    if backend is not None:
        return xla_client.devices("gpu" if backend == "cuda" else backend)
    try:
        return xla_client.devices("gpu")
    except RuntimeError:
        return xla_client.devices("cpu")


def device_put(array, device):
    """The array on another device."""
    return xla_client.Buffer(array._flat, array.shape, device)


def jit(function):
    """The function, compiled as one for the device of its arguments."""

    def compiled(*arrays):
        for array in arrays:
            xla_client.compile_for(array.device)
        return function(*arrays)

    return compiled
