"""Where things lie: the package's own files, in a checkout and installed; and the files of a sweep, by name."""

from __future__ import annotations

import os
import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent

# What lies in a sweep's directory; README has the rest.
SETTINGS = "settings.json"
PARENT_DAG = "sweep.dag"
PLAN = "plan.json"
TUPLES_DAG = "tuples.dag"
EVENTS = "events.log"
OUTCOMES = "outcomes.json"
POOL_END = "pool-end.json"
SPENT = "spent.json"
PACKED = "tuples/logs.zip"  # the logs of tuples that work
TABLES = "compatibility.md"  # the one of the tables that is looked for
PAGE = "compatibility.html"
CHANGES = "changes.json"  # what changed since the sweep before

# What lies beside the sweeps, in their results directory.
FEED = "feed.atom"


_SWEEP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{6}")


def planned(here: Path) -> bool:
    """Whether a sweep has its whole plan. It is never made anew: rescue DAGs refer to it."""
    return (here / PLAN).is_file() and (here / TUPLES_DAG).is_file()


def sweeps_of(results: Path) -> list[Path]:
    """The directories of sweeps below a results directory, the newest first: their names are times."""
    found = results.iterdir() if results.is_dir() else ()
    return sorted((path for path in found if _SWEEP.fullmatch(path.name) and not path.is_symlink()), reverse=True)


def spent_of(capability: str | None) -> str:
    """The file that says that a budget is gone: that of a capability, or of the whole sweep."""
    return f"spent-{capability}.json" if capability else SPENT


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


def checkout() -> Path | None:
    """The checkout that this package is run from, or None for an installed package."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() else None


def cache_dir() -> Path:
    """Where downloads and whatever can be made again are kept: absolute, not created here.

    `SWEEP_CACHE` decides when it is set; else a checkout keeps its cache inside itself, and an installed
    package uses the home directory.
    """
    if chosen := os.environ.get("SWEEP_CACHE"):
        return Path(chosen).expanduser().absolute()
    root = checkout()
    return root / ".cache" if root else Path.home() / ".cache" / "compatibility-sweeper"
