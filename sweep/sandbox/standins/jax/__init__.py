"""Stand-in for JAX: the calls that the probe makes, handed to the stand-in for jaxlib. Simulated."""

import json
from pathlib import Path

from jaxlib import xla_client
from jaxlib._simgpu.values import slopes

from . import errors, lax, numpy, random

__version__ = json.loads(Path(__file__).with_name("_build.json").read_text())["version"]

__all__ = ["device_put", "devices", "errors", "grad", "jit", "lax", "numpy", "random"]


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
    return xla_client.Buffer(array._flat, array.shape, device, array.dtype)


def grad(function, argnums=0):
    """The function that computes the derivatives of a function by one of its arguments, or by several."""

    def derived(*arrays):
        own = [xla_client.Buffer(a._flat, a.shape, a.device, a.dtype) for a in arrays]
        wanted = [own[n] for n in (argnums if isinstance(argnums, tuple) else (argnums,))]
        for array in wanted:
            array._watched = True
        found = slopes(function(*own), wanted)
        answers = [xla_client.Buffer(s, w.shape, w.device, w.dtype) for s, w in zip(found, wanted)]
        return answers if isinstance(argnums, tuple) else answers[0]

    return derived


def jit(function):
    """The function, compiled as one for the device of its arguments."""

    def compiled(*arrays):
        for array in arrays:
            xla_client.compile_for(array.device)
        return function(*arrays)

    return compiled
