"""torch.backends: cuDNN, and the switches of cuBLAS."""

from . import cuda, cudnn

__all__ = ["cuda", "cudnn"]
