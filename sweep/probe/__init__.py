"""What runs on the execute node: one driver, packed into one file, and one small file of calls per framework.

The environment's own Python runs them, so they use the standard library only, parse on Python 3.8, and import
nothing of `sweep`. The installer for nodes that have py-rattler is here as well. `pack.py` stays on the access point.
"""
