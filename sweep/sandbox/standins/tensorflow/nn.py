"""tf.nn: the convolution, and what cuts off negative numbers."""

from array import array

from . import _device
from ._build import BUILD
from ._simgpu import arithmetic
from ._tensor import Tensor, launch


def conv2d(input, filters, strides, padding):
    """Cross-correlation, NHWC and HWIO; stride 1, no padding."""
    if strides != 1 or padding != "VALID":
        raise NotImplementedError("the stand-in convolves with stride 1 and without padding")
    index = launch("Conv2D")
    if index is not None:
        BUILD.convolve(_device.start(index)[1])
    images = _permuted(input._flat, input.shape, (0, 3, 1, 2))
    weights = _permuted(filters._flat, filters.shape, (3, 2, 0, 1))
    return Tensor(*_permuted(*arithmetic.conv(*images, *weights), (0, 2, 3, 1)), index)


def relu(features):
    """0 instead of what is negative."""
    return features._rectified()


def _permuted(flat, shape, order):
    """An array of four dimensions with these in another order; flat, and its shape."""
    steps = [arithmetic.count(shape[axis + 1 :]) for axis in order]
    sizes = [shape[axis] for axis in order]
    places = [0]
    for size, step in zip(sizes, steps):
        places = [place + i * step for place in places for i in range(size)]
    return array("f", [flat[place] for place in places]), tuple(sizes)
