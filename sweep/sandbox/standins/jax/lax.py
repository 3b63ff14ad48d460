"""jax.lax: the convolution."""

from jaxlib._simgpu import arithmetic
from jaxlib.xla_client import Buffer, compile_for, convolve


class Precision:
    """How exact a product is to be; the stand-in's is exact in any case."""

    HIGHEST = "highest"
    HIGH = "high"


def conv_general_dilated(lhs, rhs, window_strides, padding, precision=None):
    """Cross-correlation, NCHW and OIHW; stride 1, no padding."""
    if window_strides != (1, 1) or padding != "VALID":
        raise NotImplementedError("the stand-in convolves with stride 1 and without padding")
    convolve(lhs.device)
    compile_for(lhs.device)
    return Buffer(*arithmetic.conv(lhs._flat, lhs.shape, rhs._flat, rhs.shape), lhs.device)
