"""What runs on the execute node: one driver, one small file of framework calls per framework.

The files are shipped as they are and run by the environment's own Python, so they use the standard
library only, parse on Python 3.8, and import nothing of `sweep`. The installer for nodes that have
py-rattler is here as well.
"""
