"""torch._dynamo: its exceptions only."""

from . import exc

__all__ = ["exc"]
