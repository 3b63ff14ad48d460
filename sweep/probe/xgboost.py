"""XGBoost's calls for the probe, one function per rung; the driver calls them in a child process.

Everything of XGBoost that is used, and nothing else is:

    xgboost.__version__, xgboost.build_info() (a mapping with USE_CUDA and CUDA_VERSION, a list such as [12, 9])
    xgboost.DMatrix(features, label=, weight=) (numpy arrays), xgboost.train(parameters, matrix, rounds)
    booster.predict(matrix), booster.save_config() (JSON; learner.generic_param has `device`, before 2.0 `gpu_id`)
    numpy.random.rand, .array, .arange, .ones, .zeros, .tile, .unique, .float32; array.reshape, .repeat, .sum, .max,
        .astype, .tolist, .dtype
    libcuda.so.1: cuInit, cuDeviceGetCount, cuDeviceGetName, cuDeviceGetAttribute, cuGetErrorName

XGBoost grows trees and has no other arithmetic to offer, but a tree without regularisation is arithmetic: a leaf is
the weighted mean of its labels, summed up on the device. With one leaf per row of a matrix, and one tree per column
of the other, those means are a matrix product. Every other group's labels are raised by 4, so that no split is too
small to be made, and weights must be positive, so 2 is added to them; both are taken off the answer. XGBoost falls
back to the CPU with no more than a warning, so every booster is asked where it ran. It uses neither cuDNN nor a
compiler: the rungs `library` and `jit` train as well. This file is named like the package that it imports, so the
driver loads it by its path and under another name.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
from typing import Any, Callable, Dict, List, Tuple

Facts = Dict[str, Any]
Matrix = List[List[float]]
Answer = Tuple[str, Any]

PLACE = "cuda"
FORMATS = ("float32",)
BENCHES = ("boost",)
LACKS = {"gradient": "XGBoost's gradients are formulas of its own, not derived"}

xgboost: Any = None  # set by load()
numpy: Any = None

STEP = 4.0
SHIFT = 2.0
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class CpuBuild(Exception):  # noqa: N818 (the name is what the verdict's rules read)
    """The package was built without CUDA."""


class NoDevice(Exception):  # noqa: N818
    """The framework sees no GPU and does not say why."""


class WrongPlacement(Exception):  # noqa: N818
    """An operation ran elsewhere than on the GPU."""


def load() -> Facts:
    """Import the framework; what it says of itself."""
    global xgboost, numpy
    numpy = importlib.import_module("numpy")
    xgboost = importlib.import_module("xgboost")
    return {"version": xgboost.__version__}


def cuda_build() -> Facts:
    """The CUDA runtime that the build was made for."""
    build = xgboost.build_info()
    if not build.get("USE_CUDA"):
        raise CpuBuild("xgboost.build_info()['USE_CUDA'] is False: this XGBoost %s has no CUDA" % xgboost.__version__)
    version = build.get("CUDA_VERSION")
    return {"cuda": "%d.%d" % tuple(version[:2]) if version else None}


def _driver(library: Any, function: str, *arguments: Any) -> None:
    """Call the driver; an error is raised under the driver's own name for it."""
    code = getattr(library, function)(*arguments)
    if code:
        name = ctypes.c_char_p()
        library.cuGetErrorName(code, ctypes.byref(name))
        raise RuntimeError("%s failed: %s" % (function, (name.value or b"CUDA error %d" % code).decode()))


def device() -> Facts:
    """The device that the driver shows, and how many, since XGBoost does not tell; and that XGBoost trains on it."""
    library = ctypes.CDLL("libcuda.so.1")
    count, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(256)
    _driver(library, "cuInit", 0)
    _driver(library, "cuDeviceGetCount", ctypes.byref(count))
    if count.value == 0:
        raise NoDevice("cuDeviceGetCount says 0; CUDA_VISIBLE_DEVICES=%s" % os.environ.get("CUDA_VISIBLE_DEVICES"))
    _driver(library, "cuDeviceGetName", name, len(name), 0)
    _driver(library, "cuDeviceGetAttribute", ctypes.byref(major), MAJOR, 0)
    _driver(library, "cuDeviceGetAttribute", ctypes.byref(minor), MINOR, 0)
    total([[1.0, 0.5]], "float32")
    return {
        "count": count.value,
        "device": name.value.decode("utf-8", "replace"),
        "capability": "%d.%d" % (major.value, minor.value),
    }


def _means(groups: Any, labels: Any, weights: Any) -> Any:
    """The weighted mean of each column of labels within each group, for the groups 0, 1, 2, ... in order."""
    count = int(groups.max()) + 1
    parameters = {
        "objective": "reg:squarederror",
        "base_score": 0.0,
        "learning_rate": 1.0,
        "reg_lambda": 0.0,
        "min_child_weight": 0.0,
        "grow_policy": "lossguide",
        "max_depth": 0,
        "max_leaves": max(2, count),  # before 2.0 it must have a limit where the depth has none
    }
    parameters.update(_placed(PLACE))
    raised = (groups % 2 * STEP).reshape(-1, 1)
    train = xgboost.DMatrix(groups.reshape(-1, 1), label=labels + raised, weight=weights)
    booster = xgboost.train(parameters, train, 1)
    wanted = numpy.arange(count, dtype=numpy.float32).reshape(-1, 1)
    means = booster.predict(xgboost.DMatrix(wanted)).reshape(count, -1)
    _check_placement(booster)
    return means - wanted % 2 * STEP


def _placed(place: str) -> Facts:
    """The parameters that choose a device, `cuda` or `cpu`."""
    if int(xgboost.__version__.split(".")[0]) >= 2:
        return {"tree_method": "hist", "device": place}
    if place == "cpu":
        return {"tree_method": "hist"}
    return {"tree_method": "gpu_hist", "predictor": "gpu_predictor", "gpu_id": 0}


def _check_placement(booster: Any) -> None:
    place = json.loads(booster.save_config())["learner"]["generic_param"]
    where = str(place.get("device", place.get("gpu_id")))
    if PLACE != "cpu" and where in ("cpu", "-1", "None"):
        raise WrongPlacement("XGBoost trained on the CPU (%s); the reason is on standard error" % where)


def _products(a: Matrix, b: Matrix) -> Any:
    """The product of two matrices, as weighted means."""
    left, right = numpy.array(a, numpy.float32), numpy.array(b, numpy.float32)
    rows, inner = left.shape
    weights = left + SHIFT
    groups = numpy.arange(rows, dtype=numpy.float32).repeat(inner)
    means = _means(groups, numpy.tile(right, (rows, 1)), weights.reshape(-1))
    return means * weights.sum(1, keepdims=True) - SHIFT * right.sum(0)


def _answer(array: Any) -> Answer:
    return str(array.dtype), array.tolist()


def copy(values: Matrix) -> Answer:
    """Each value to the device as the only label of a group of its own, and back as that group's mean."""
    flat = numpy.array(values, numpy.float32).reshape(-1, len(values))
    groups = numpy.arange(len(flat), dtype=numpy.float32)
    return _answer(_means(groups, flat, numpy.ones(len(flat), numpy.float32)))


def matmul(a: Matrix, b: Matrix, form: str) -> Answer:
    """The product of two matrices."""
    return _answer(_products(a, b))


def total(a: Matrix, form: str) -> Answer:
    """The sum of all elements: their mean, times their number."""
    flat = numpy.array(a, numpy.float32).reshape(-1, 1)
    zeros = numpy.zeros(len(flat), numpy.float32)
    return _answer(_means(zeros, flat, numpy.ones(len(flat), numpy.float32))[0, 0] * numpy.float32(len(flat)))


def cudnn() -> Facts:
    """Nothing: XGBoost uses no cuDNN."""
    return {}


def conv(image: Matrix, kernel: Matrix) -> Answer:
    """The valid cross-correlation of an image with a kernel, as the product of its windows with the kernel."""
    height, width = len(kernel), len(kernel[0])
    rows, columns = len(image) - height + 1, len(image[0]) - width + 1
    windows = [
        [image[r + i][c + j] for i in range(height) for j in range(width)]
        for r in range(rows)
        for c in range(columns)
    ]
    return _answer(_products(windows, [[value] for row in kernel for value in row]).reshape(rows, columns))


def jit(values: Matrix) -> Answer:
    """x * x + x by element, learned: one leaf for each value that occurs."""
    flat = numpy.array(values, numpy.float32).reshape(-1)
    which = numpy.unique(flat, return_inverse=True)[1].reshape(-1)
    labels = (flat * flat + flat).reshape(-1, 1)
    means = _means(which.astype(numpy.float32), labels, numpy.ones(len(flat), numpy.float32))
    return _answer(means[which, 0].reshape(len(values), -1))


def bench(what: str, size: int, place: str) -> Callable[[int], None]:
    """A function that trains ten rounds so many times; training returns when it is done."""
    features = numpy.random.rand(size, 16).astype(numpy.float32)
    matrix = xgboost.DMatrix(features, label=features.sum(1))
    parameters = {"objective": "reg:squarederror", "max_depth": 6, **_placed(PLACE if place == "gpu" else "cpu")}

    def run(count: int) -> None:
        for _ in range(count):
            xgboost.train(parameters, matrix, 10)

    return run
