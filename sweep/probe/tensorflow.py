"""TensorFlow's calls for the probe, one function per rung; `driver.py` calls them in a child process.

Everything of TensorFlow that is used, and nothing else is:

    tf.__version__, tf.test.is_built_with_cuda(), tf.sysconfig.get_build_info() (a mapping with
        cuda_version, cudnn_version, cuda_compute_capabilities; keys may be missing)
    tf.config.set_soft_device_placement(False), tf.config.list_physical_devices("GPU"),
        tf.config.experimental.get_device_details(gpu) (a mapping with device_name, compute_capability)
    with tf.device("/GPU:0"):
        tf.float32, tf.constant(nested lists, dtype=), tf.matmul(a, b), tf.reduce_sum(a), a * a + a,
        tf.nn.conv2d(input NHWC, filters HWIO, strides=1, padding="VALID"),
        tf.function(function, jit_compile=True)
    tensor.device (ends in "GPU:0"), tensor.numpy().tolist()

TF32 is left as it is: the driver's inputs are exact in it. This file is named like the package that it
imports, so the driver loads it by its path and under another name.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Dict, List

Facts = Dict[str, Any]
Matrix = List[List[float]]

tf: Any = None  # set by load()


class CpuBuild(Exception):  # noqa: N818 (the name is what the verdict's rules read)
    """The package was built without CUDA."""


class NoDevice(Exception):  # noqa: N818
    """The framework sees no GPU and does not say why."""


class WrongPlacement(Exception):  # noqa: N818
    """An operation ran elsewhere than on the GPU."""


def load() -> Facts:
    """Import the framework; what it says of itself."""
    global tf
    # By default it takes all of the device's memory at once, which says nothing about the versions.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    tf = importlib.import_module("tensorflow")
    return {"version": tf.__version__}


def cuda_build() -> Facts:
    """The CUDA runtime, cuDNN and architectures that the build was made for."""
    if not tf.test.is_built_with_cuda():
        raise CpuBuild("tf.test.is_built_with_cuda() is False: this TensorFlow %s has no CUDA" % tf.__version__)
    build = tf.sysconfig.get_build_info()
    return {
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "archs": list(build.get("cuda_compute_capabilities", ())),
    }


def device() -> Facts:
    """The device that the framework sees, and how many."""
    # Otherwise an operation without a usable GPU kernel would run on the CPU and pass.
    tf.config.set_soft_device_placement(False)
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        raise NoDevice(
            "tf.config.list_physical_devices('GPU') is empty; CUDA_VISIBLE_DEVICES=%s; "
            "the reason is on standard error" % visible
        )
    details = tf.config.experimental.get_device_details(gpus[0])
    capability = details.get("compute_capability")
    return {
        "count": len(gpus),
        "device": details.get("device_name"),
        "capability": "%d.%d" % tuple(capability) if capability else None,
    }


def _put(values: Any) -> Any:
    return tf.constant(values, dtype=tf.float32)


def _fetch(tensor: Any) -> Any:
    if not tensor.device.endswith("GPU:0"):
        raise WrongPlacement("the result lies on %s instead of GPU:0" % tensor.device)
    return tensor.numpy().tolist()  # waits for the device


def copy(values: Matrix) -> Any:
    """Nested lists to the device and back."""
    with tf.device("/GPU:0"):
        return _fetch(_put(values))


def matmul(a: Matrix, b: Matrix) -> Any:
    """The product of two matrices, through cuBLAS."""
    with tf.device("/GPU:0"):
        return _fetch(tf.matmul(_put(a), _put(b)))


def total(a: Matrix) -> Any:
    """The sum of all elements, through a kernel of the framework's own."""
    with tf.device("/GPU:0"):
        return _fetch(tf.reduce_sum(_put(a)))


def cudnn() -> Facts:
    """Nothing: TensorFlow does not say which cuDNN it loaded; the convolution loads it."""
    return {}


def conv(image: Matrix, kernel: Matrix) -> Any:
    """The valid cross-correlation of an image with a kernel, through cuDNN."""
    with tf.device("/GPU:0"):
        pixels = _put([[[[value] for value in row] for row in image]])
        filters = _put([[[[value]] for value in row] for row in kernel])
        answer = _fetch(tf.nn.conv2d(pixels, filters, strides=1, padding="VALID"))
    return [[channels[0] for channels in row] for row in answer[0]]


def _square_plus(x: Any) -> Any:
    return x * x + x


def jit(values: Matrix) -> Any:
    """x * x + x by element, compiled by the framework's just-in-time compiler (XLA)."""
    with tf.device("/GPU:0"):
        return _fetch(tf.function(_square_plus, jit_compile=True)(_put(values)))
