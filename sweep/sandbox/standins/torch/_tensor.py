"""Tensors on the CPU or on a simulated device."""

from . import cuda
from ._build import BUILD, check
from ._simgpu import arithmetic, driver
from ._simgpu.values import Paused as no_grad  # noqa: N813 - PyTorch's own name
from ._simgpu.values import Values, leaves, slopes

float32, float16, bfloat16 = "torch.float32", "torch.float16", "torch.bfloat16"

__all__ = ["Tensor", "bfloat16", "device", "float16", "float32", "full", "mm", "no_grad", "rand", "tensor"]


class device:  # noqa: N801 - PyTorch's own name
    """`cpu` or `cuda:N`."""

    def __init__(self, name):
        self.type, _, index = str(name).partition(":")
        self.index = int(index or 0) if self.type == "cuda" else None

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"


class Tensor(Values):
    """Values, shape, type and place."""

    grad = None

    @property
    def device(self):
        """Where it is."""
        return self._place

    @property
    def dtype(self):
        """The element type."""
        return self._dtype

    def _start(self, operation, *others):
        for other in others:
            if str(self.device) != str(other.device):
                raise RuntimeError(
                    "Expected all tensors to be on the same device, but found at least two devices, "
                    f"{self.device} and {other.device}!"
                )
        if self.device.type == "cuda":
            gpu = driver()
            check(BUILD.kernel(gpu, gpu.devices[self.device.index]))
        return self.device

    def sum(self):
        """The sum of all elements."""
        return self._total()

    def relu(self):
        """0 instead of what is negative."""
        return self._rectified()

    def requires_grad_(self):
        """Derivatives by this tensor are wanted."""
        self._watched = True
        return self

    def backward(self):
        """Leave in each tensor that wants it the derivative of this number."""
        wanted = leaves(self)
        for leaf, slope in zip(wanted, slopes(self, wanted)):
            leaf.grad = Tensor(slope, leaf.shape, leaf.device, leaf.dtype)

    def __isub__(self, other):
        self._start("Sub", other)
        self._flat = (self - other)._flat
        return self

    def cpu(self):
        """A copy in the host's memory."""
        return Tensor(self._flat[:], self.shape, device("cpu"), self._dtype)

    def tolist(self):
        """Nested lists of floats."""
        return arithmetic.nest(self._flat, self.shape)

    def item(self):
        """The only element."""
        if len(self._flat) != 1:
            raise RuntimeError(f"a Tensor with {len(self._flat)} elements cannot be converted to Scalar")
        return self._flat[0]


def _on(place):
    place = place if isinstance(place, device) else device(place)
    if place.type == "cuda":
        cuda._device(place.index)
    return place


def tensor(data, dtype=float32, device="cpu"):
    """A tensor of nested lists."""
    place = _on(device)
    return Tensor(*arithmetic.flatten(data), place, dtype)


def full(shape, value, dtype=float32, device="cpu"):
    """A tensor of one number."""
    made = Tensor(*arithmetic.full(shape, value), _on(device), dtype)
    made._start("Fill")
    return made


def rand(*shape, device="cpu"):
    """A tensor of random numbers."""
    made = Tensor(*arithmetic.uniform(shape), _on(device))
    made._start("Rand")
    return made


def mm(a, b, out):
    """The product of two matrices, into a tensor that is there."""
    out._flat = (a @ b)._flat
    return out
