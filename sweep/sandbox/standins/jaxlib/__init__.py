"""Stand-in for jaxlib: the build and the backend under the stand-in for JAX. Simulated."""

from . import version
from ._simgpu import Build

_BUILD = Build(__file__)

__version__ = version.__version__
