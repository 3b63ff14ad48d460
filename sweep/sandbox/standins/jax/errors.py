"""jax.errors: what the backend raises."""

from jaxlib.xla_client import XlaRuntimeError as JaxRuntimeError

__all__ = ["JaxRuntimeError"]
