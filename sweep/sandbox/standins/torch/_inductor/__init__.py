"""torch._inductor: its exceptions only."""

from . import exc

__all__ = ["exc"]
