"""tf.config.experimental: what is known of a device."""

from .._device import registered


def get_device_details(device):
    """Name, which ends in "(simulated)", and capability."""
    found = registered()[int(device.name.rpartition(":")[2])]
    return {"device_name": found.name, "compute_capability": found.capability}


def enable_tensor_float_32_execution(enabled):
    """The stand-in has float32 in either case."""
