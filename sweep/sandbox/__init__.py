"""A private HTCondor with simulated GPUs and a small local conda channel, for the demo and the tests.

HTCondor, its DAGMan and the probes are the real ones; only the GPUs and the frameworks are stand-ins.
"""
