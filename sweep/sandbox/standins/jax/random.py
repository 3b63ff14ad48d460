"""jax.random: uniform numbers."""

from jaxlib._simgpu import arithmetic
from jaxlib.xla_client import Buffer

from .numpy import _default


def PRNGKey(seed):  # noqa: N802 - JAX's own name
    """The stand-in's numbers need none."""
    return seed


def uniform(key, shape):
    """Random numbers from 0 to 1, on the default device."""
    made = Buffer(*arithmetic.uniform(shape), _default())
    made._start("rng")
    return made
