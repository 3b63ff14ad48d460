"""Eager tensors."""

from . import _device
from ._build import BUILD
from ._simgpu import arithmetic
from ._simgpu.values import Values


class DType:
    """An element type."""

    def __init__(self, name):
        self.name = name


float32, float16, bfloat16 = DType("float32"), DType("float16"), DType("bfloat16")


class _Array:
    """What `.numpy()` gives: enough of an array to become lists."""

    def __init__(self, flat, shape):
        self._flat = flat
        self.shape = shape

    def tolist(self):
        return arithmetic.nest(self._flat, self.shape)


class Tensor(Values):
    """Values, shape and the GPU that holds them (None for the CPU)."""

    @property
    def device(self):
        """The full name of the device."""
        return _device.CPU if self._place is None else _device.GPU % self._place

    @property
    def dtype(self):
        """The element type."""
        return DType(self._dtype)

    def numpy(self):
        """The values in the host's memory."""
        return _Array(self._flat, self.shape)

    def _start(self, operation, *others):
        return launch(operation)


def launch(operation):
    """Start an operation's kernel where operations are placed now; the index of the GPU."""
    index = _device.current()
    if index is not None:
        gpu, device = _device.start(index)
        code = BUILD.kernel(gpu, device)
        if code:
            _device.fail(code, operation)
    return index


def constant(value, dtype=float32):
    """A tensor of nested lists; copying needs no kernel."""
    index = _device.current()
    if index is not None:
        _device.start(index)
    return Tensor(*arithmetic.flatten(value), index, dtype.name)


def fill(dims, value):
    """A tensor of one number."""
    return Tensor(*arithmetic.full(dims, value._flat[0]), launch("Fill"), value._dtype)


def cast(x, dtype):
    """The same numbers in another element type."""
    return Tensor(x._flat, x.shape, launch("Cast"), dtype.name)
