"""Packs the driver's parts into the one file that travels with every job."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

from sweep import causes
from sweep.causes import CauseRule, CrashRule
from sweep.model import Cause
from sweep.probe.driver.blame import RULES

DRIVER = "driver.pyz"
PACKAGE = "sweep_driver"  # its name inside the archive: no package of a framework's environment is called that

_MAIN = f"import sys\nfrom {PACKAGE}.main import main\nsys.exit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip archive knows


def driver_archive() -> bytes:
    """The driver as a zip archive that Python runs; the same parts give the same bytes.

    Stored, not compressed, so that neither the bytes depend on a version of zlib, nor the node's Python needs one.
    """
    parts = {"__main__.py": _MAIN.encode()}
    for path in (Path(__file__).parent / "driver").glob("*.py"):
        parts[f"{PACKAGE}/{path.name}"] = path.read_bytes()
    parts[f"{PACKAGE}/{RULES}"] = _blame()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted(parts.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()


def _blame() -> bytes:
    """The cause rules of rungs, for the driver to see which failures are its machine's doing."""
    rules = causes.rules()
    told = {
        "aborts": rules.aborts,
        "rule": [{**_row(rule), "texts": rule.texts, "pattern": rule.pattern} for rule in rules.rule],
        "crash": [{**_row(rule), "signals": rule.signals} for rule in rules.crash],
    }
    return json.dumps(told).encode()


def _row(rule: CauseRule | CrashRule) -> dict[str, object]:
    return {"id": rule.id, "rungs": rule.rungs, "machine": rule.cause is Cause.INFRASTRUCTURE}
