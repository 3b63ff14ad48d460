"""The `sweep` command: options and output. The work is done elsewhere, and imported only where it is needed."""

from sweep.cli import planning, pullrequests, reading, running, steps
from sweep.cli.group import cli, main

__all__ = ["cli", "main", "planning", "pullrequests", "reading", "running", "steps"]
