"""The version of the build."""

from ._simgpu import Build

__version__ = Build(__file__).version
