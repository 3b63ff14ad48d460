"""torch.nn: the functional interface only."""

from . import functional

__all__ = ["functional"]
