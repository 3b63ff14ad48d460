"""jax.lax: the convolution."""

from jaxlib._simgpu import arithmetic
from jaxlib.xla_client import convolve


def conv_general_dilated(lhs, rhs, window_strides, padding):
    """Cross-correlation, NCHW and OIHW; one image, one channel, one filter, stride 1, no padding."""
    if lhs.shape[:2] != (1, 1) or rhs.shape[:2] != (1, 1) or window_strides != (1, 1) or padding != "VALID":
        raise NotImplementedError("the stand-in convolves one image of one channel with one filter")
    convolve(lhs.device)
    flat, shape = arithmetic.conv2d(lhs._flat, lhs.shape[2:], rhs._flat, rhs.shape[2:])
    return lhs._result(flat, (1, 1, *shape))
