"""tf.config: devices."""

from .._device import registered
from . import experimental

__all__ = ["PhysicalDevice", "experimental", "list_physical_devices", "set_soft_device_placement"]


class PhysicalDevice:
    """A device by name."""

    def __init__(self, name, device_type):
        self.name = name
        self.device_type = device_type


def list_physical_devices(device_type):
    """The GPUs (or the one CPU) that TensorFlow uses."""
    if device_type == "CPU":
        return [PhysicalDevice("/physical_device:CPU:0", "CPU")]
    return [PhysicalDevice(f"/physical_device:GPU:{i}", "GPU") for i in range(len(registered()))]


def set_soft_device_placement(enabled):
    """The stand-in never places an operation elsewhere."""
    if enabled:
        raise NotImplementedError("the stand-in has no soft placement")
