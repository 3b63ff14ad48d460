"""What this build is."""

import sys
import time

from ._simgpu import Build

BUILD = Build(__file__)


def log(level, where, text):
    """A line on standard error as TensorFlow's C++ code writes it."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S.000000")
    sys.stderr.write(f"{stamp}: {level} {where}] {text}\n")
    sys.stderr.flush()
