"""torch.backends.cudnn: which cuDNN is loaded."""

from .._build import BUILD


def is_available():
    """Whether the build was made with cuDNN."""
    return bool(BUILD.cuda)


def version():
    """9.13.1 as 91301, 8.9.7 as 8907; None without cuDNN."""
    if not is_available():
        return None
    major, minor, patch = BUILD.cudnn()
    return major * (10000 if major >= 9 else 1000) + minor * 100 + patch
