"""Stand-in for Triton: says its version and which toolkit's ptxas it carries. Simulated."""

from ._simgpu import Build, assembles, pair

_build = Build(__file__)

__version__ = _build.version


def _assembles(capability):
    """Whether the bundled ptxas knows a capability."""
    low, high = assembles(pair(_build.cuda))
    return low <= capability <= high
