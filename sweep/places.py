"""Where the package finds its own files, in a checkout and installed."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _resource(name: str) -> Path:
    installed = PACKAGE / "_data" / name
    return installed if installed.is_dir() else PACKAGE.parent / name


def templates() -> Path:
    """The directory of the Jinja2 templates."""
    return _resource("templates")


def dags() -> Path:
    """The directory of the parent DAG."""
    return _resource("dags")


def frameworks() -> Path:
    """The directory of the built-in framework files."""
    return PACKAGE / "frameworks"


def probes() -> Path:
    """The directory of what runs on execute nodes."""
    return PACKAGE / "probe"


def user_cache() -> Path:
    """Where downloads that outlive a sweep are kept: $SWEEP_CACHE, or the user's own cache directory."""
    if chosen := os.environ.get("SWEEP_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "compatibility-sweeper"
