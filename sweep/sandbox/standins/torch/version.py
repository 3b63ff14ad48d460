"""Versions of the build."""

from ._build import BUILD

__version__ = BUILD.version
cuda = BUILD.cuda
