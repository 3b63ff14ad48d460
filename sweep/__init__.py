"""Finds out which framework, CUDA runtime and GPU work together on an HTCondor pool."""

__version__ = "0.1.0"
