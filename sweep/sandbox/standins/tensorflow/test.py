"""tf.test: what the build was made with."""

from ._build import BUILD


def is_built_with_cuda():
    """Whether this is a CUDA build."""
    return bool(BUILD.cuda)
