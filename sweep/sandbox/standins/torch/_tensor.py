"""Tensors of float32 on the CPU or on a simulated device."""

from . import cuda
from ._build import BUILD, check
from ._simgpu import arithmetic, driver

float32 = "torch.float32"


class device:  # noqa: N801 - PyTorch's own name
    """`cpu` or `cuda:N`."""

    def __init__(self, name):
        self.type, _, index = str(name).partition(":")
        self.index = int(index or 0) if self.type == "cuda" else None

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"


class Tensor:
    """Values, shape and place."""

    def __init__(self, flat, shape, place):
        self._flat = flat
        self.shape = shape
        self.device = place

    def _launch(self):
        """Start a kernel where the tensor is."""
        if self.device.type == "cuda":
            gpu = driver()
            check(BUILD.kernel(gpu, gpu.devices[self.device.index]))

    def _on(self, other):
        if str(self.device) != str(other.device):
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least two devices, "
                f"{self.device} and {other.device}!"
            )
        self._launch()

    def __matmul__(self, other):
        self._on(other)
        return Tensor(*arithmetic.matmul(self._flat, self.shape, other._flat, other.shape), place=self.device)

    def __add__(self, other):
        self._on(other)
        return Tensor(arithmetic.add(self._flat, other._flat), self.shape, self.device)

    def __mul__(self, other):
        self._on(other)
        return Tensor(arithmetic.multiply(self._flat, other._flat), self.shape, self.device)

    def sum(self):
        """The sum of all elements."""
        self._launch()
        return Tensor(arithmetic.total(self._flat), (), self.device)

    def cpu(self):
        """A copy in the host's memory."""
        return Tensor(self._flat[:], self.shape, device("cpu"))

    def tolist(self):
        """Nested lists of floats."""
        return arithmetic.nest(self._flat, self.shape)

    def item(self):
        """The only element."""
        if len(self._flat) != 1:
            raise RuntimeError(f"a Tensor with {len(self._flat)} elements cannot be converted to Scalar")
        return self._flat[0]


def tensor(data, dtype=float32, device="cpu"):
    """A tensor of nested lists."""
    if dtype != float32:
        raise NotImplementedError("the stand-in has float32 only")
    place = device if isinstance(device, _Device) else _Device(device)
    if place.type == "cuda":
        cuda._device(place.index)
    flat, shape = arithmetic.flatten(data)
    return Tensor(flat, shape, place)


_Device = device
