"""Exceptions of the compiler's default backend, since PyTorch 2.6."""

from .._dynamo.exc import BackendCompilerFailed, ShortenTraceback


class TritonMissing(ShortenTraceback):
    """Triton is not installed."""


class GPUTooOldForTriton(ShortenTraceback):
    """Triton does not support the device."""


class InductorError(BackendCompilerFailed):
    """Anything else that the backend raises."""
