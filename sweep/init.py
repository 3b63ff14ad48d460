"""`sweep init`: a settings file to begin with, filled in from the pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sweep import condor, pool, render
from sweep.cuda import in_order
from sweep.errors import PoolError, SettingsError
from sweep.files import write_atomic
from sweep.framework import known_frameworks


def write_settings(path: Path, *, force: bool, say: Callable[[str], None]) -> None:
    """Write a commented sweep.toml.

    Raises:
        SettingsError: there is a file already, and `force` is not set.
        ResultsError: the file cannot be written.
    """
    if path.exists() and not force:
        raise SettingsError(f"{path} is there already; edit it, or overwrite it with --force")
    try:
        snapshot = pool.inventory(condor.gpu_slot_ads(), condor.collector_name())
    except PoolError as error:
        say(f"{error}\nwriting settings that name no GPU; they take the pool's GPUs when a sweep is planned")
        snapshot = None
    classes = snapshot.classes if snapshot else ()
    text = render.settings_template(
        frameworks=known_frameworks(),
        classes=classes,
        collector=snapshot.collector if snapshot else None,
        runtimes=in_order(c.runtime for c in classes),
    )
    write_atomic(path, text)
    say(f"wrote {path}; `sweep plan` shows what a sweep with it would do")
