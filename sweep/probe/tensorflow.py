"""TensorFlow's calls for the probe, one function per rung; the driver calls them in a child process.

Everything of TensorFlow that is used, and nothing else is:

    tf.__version__, tf.test.is_built_with_cuda(), tf.sysconfig.get_build_info() (from 2.3 on; a mapping with
        cuda_version, cudnn_version, cuda_compute_capabilities; keys may be missing)
    tf.config.set_soft_device_placement(False), tf.config.list_physical_devices("GPU"),
        tf.config.experimental.get_device_details(gpu) (from 2.4 on; a mapping with device_name, compute_capability),
        tf.config.experimental.enable_tensor_float_32_execution(bool) (from 2.4 on)
    with tf.device("/GPU:0"):
        tf.float32, .float16, .bfloat16, tf.constant(nested lists, dtype=), tf.fill(shape, tensor), tf.cast(a, dtype),
        tf.matmul(a, b, transpose_a=), tf.reduce_sum(a), a * a + a, a - b, tf.nn.relu(a), tf.random.uniform(shape),
        tf.nn.conv2d(input NHWC, filters HWIO, strides=1, padding="VALID"),
        tf.function(function, jit_compile=True), or experimental_compile=True (before 2.5)
        with tf.GradientTape() as tape: tape.watch(tensor), tape.gradient(loss, tensor or list of them)
    tensor.device (ends in "GPU:0"), tensor.dtype.name, tensor.numpy().tolist()

This file is named like the package that it imports, so the driver loads it by its path and under another name.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable, Dict, List, Tuple

Facts = Dict[str, Any]
Matrix = List[List[float]]
Answer = Tuple[str, Any]

PLACE = "/GPU:0"
FORMATS = ("float32", "float16", "bfloat16", "tf32")
BENCHES = ("matmul", "conv", "train")
LACKS: Dict[str, str] = {}

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
    build: Facts = getattr(tf.sysconfig, "get_build_info", dict)()
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
    details = getattr(tf.config.experimental, "get_device_details", _nothing)(gpus[0])
    capability = details.get("compute_capability")
    return {
        "count": len(gpus),
        "device": details.get("device_name"),
        "capability": "%d.%d" % tuple(capability) if capability else None,
    }


def _nothing(gpu: Any) -> Facts:
    return {}


def _put(values: Any, dtype: str = "float32") -> Any:
    return tf.constant(values, dtype=getattr(tf, dtype))


def _fetch(tensor: Any) -> Answer:
    if not tensor.device.endswith(PLACE[1:]):
        raise WrongPlacement("the result lies on %s instead of %s" % (tensor.device, PLACE[1:]))
    dtype = tensor.dtype.name
    if dtype != "float32":
        tensor = tf.cast(tensor, tf.float32)
    return dtype, tensor.numpy().tolist()  # waits for the device


def _poison(elements: int, dtype: str = "float32") -> None:
    """Leave NaN in memory of the device of that size; the allocator hands it to the next who asks."""
    words = elements if dtype == "float32" else (elements + 1) // 2  # old versions cannot fill with halves
    tf.fill([words], _put(float("nan"))).numpy()


def _allow_tf32(allowed: bool) -> None:
    switch = getattr(tf.config.experimental, "enable_tensor_float_32_execution", None)
    if switch is not None:
        switch(allowed)


def copy(values: Matrix) -> Answer:
    """Nested lists to the device and back."""
    with tf.device(PLACE):
        return _fetch(_put(values))


def matmul(a: Matrix, b: Matrix, form: str) -> Answer:
    """The product of two matrices, through cuBLAS."""
    dtype = "float32" if form == "tf32" else form
    _allow_tf32(form == "tf32")
    try:
        with tf.device(PLACE):
            left, right = _put(a, dtype), _put(b, dtype)
            _poison(len(a) * len(b[0]), dtype)
            return _fetch(tf.matmul(left, right))
    finally:
        _allow_tf32(False)


def total(a: Matrix, form: str) -> Answer:
    """The sum of all elements, through a kernel of the framework's own."""
    dtype = "float32" if form == "tf32" else form
    with tf.device(PLACE):
        values = _put(a, dtype)
        _poison(1, dtype)
        return _fetch(tf.reduce_sum(values))


def cudnn() -> Facts:
    """Nothing: TensorFlow does not say which cuDNN it loaded; the convolution loads it."""
    return {}


def conv(image: Matrix, kernel: Matrix) -> Answer:
    """The valid cross-correlation of an image with a kernel, through cuDNN."""
    _allow_tf32(False)  # which cuDNN may use unless it is told not to
    with tf.device(PLACE):
        pixels = _put([[[[value] for value in row] for row in image]])
        filters = _put([[[[value]] for value in row] for row in kernel])
        _poison((len(image) - len(kernel) + 1) * (len(image[0]) - len(kernel[0]) + 1))
        dtype, answer = _fetch(tf.nn.conv2d(pixels, filters, strides=1, padding="VALID"))
    return dtype, [[channels[0] for channels in row] for row in answer[0]]


def gradient(x: Matrix, w: Matrix, t: Matrix, rate: float) -> Answer:
    """`w` after one step along the gradient of the sum of squares of `x w - t`."""
    with tf.device(PLACE):
        weights = _put(w)
        with tf.GradientTape() as tape:
            tape.watch(weights)
            errors = tf.matmul(_put(x), weights) - _put(t)
            loss = tf.reduce_sum(errors * errors)
        return _fetch(weights - tape.gradient(loss, weights) * rate)


def _square_plus(x: Any) -> Any:
    return x * x + x


def _compiled(function: Callable[[Any], Any]) -> Any:
    try:
        return tf.function(function, jit_compile=True)
    except TypeError:  # a version that has another word for it
        return tf.function(function, experimental_compile=True)


def jit(values: Matrix) -> Answer:
    """x * x + x by element, compiled by the framework's just-in-time compiler (XLA)."""
    with tf.device(PLACE):
        return _fetch(_compiled(_square_plus)(_put(values)))


def bench(what: str, size: int, place: str) -> Callable[[int], None]:
    """A function that does the work so many times and waits for it; see the driver's `speed`."""
    where = PLACE if place == "gpu" else "/CPU:0"
    with tf.device(where):
        step = _work(what, size)

    def run(count: int) -> None:
        with tf.device(where):
            for _ in range(count):
                answer = step()
            # A number that depends on the last answer, so that it waits for all of them but copies little.
            tf.reduce_sum(answer).numpy()

    return run


def _work(what: str, size: int) -> Callable[[], Any]:
    uniform = tf.random.uniform
    if what == "matmul":
        a, b = uniform([size, size]), uniform([size, size])
        return lambda: tf.matmul(a, b)
    if what == "conv":
        image, filters = uniform([size, 16, 16, size]), uniform([3, 3, size, size])
        return lambda: tf.nn.conv2d(image, filters, strides=1, padding="VALID")
    x, t = uniform([size, 128]), uniform([size, 16])
    layers = [uniform([128, 128]) * 0.01, uniform([128, 16]) * 0.01]

    def step(first: Any, second: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            errors = tf.matmul(tf.nn.relu(tf.matmul(x, first)), second) - t
            loss = tf.reduce_sum(errors * errors)
        slopes = tape.gradient(loss, [first, second])
        return first - slopes[0] * 1e-6, second - slopes[1] * 1e-6

    graph = tf.function(step)

    def train() -> Any:
        layers[:] = graph(*layers)
        return layers[1]

    return train
