"""What JAX takes from jaxlib; `cuda_versions` is there in CUDA builds only."""

from jaxlib import _BUILD

if _BUILD.cuda:
    from . import _cuda_versions as cuda_versions
else:
    cuda_versions = None

__all__ = ["cuda_versions"]
