"""torch.backends: cuDNN only."""

from . import cudnn

__all__ = ["cudnn"]
