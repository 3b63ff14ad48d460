"""Only CUDA builds have this package."""
