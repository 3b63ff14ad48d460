"""JAX's private part."""
