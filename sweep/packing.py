"""The logs of tuples that work, packed into one file: nobody reads them, and a large sweep has thousands.

What verdicts are drawn from stays where it is, result.json and payload.json, so that a sweep can be classified again.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import ResultsError
from sweep.model import Cause
from sweep.payload import JUNIT, OUTPUT
from sweep.places import PACKED
from sweep.schema import Outcome

_LOGS = ("job.out", "job.err", OUTPUT, JUNIT)


def pack(here: Path, outcomes: Sequence[Outcome]) -> int:
    """Move the logs of the tuples that passed every rung into tuples/logs.zip; how many files went.

    They are removed only when all of them can be read from the archive. An interrupted packing loses nothing, and
    the next one goes on.

    Raises:
        ResultsError: the sweep's directory cannot be read or written.
    """
    tuples = here / "tuples"
    works = (tuples / o.id for o in outcomes if o.cause is Cause.ALL_RUNGS and o.submitted)
    # Only what is a regular file: nothing that a link leads to is read or removed.
    logs = [path for each in works for name in _LOGS if (path := each / name).is_file() and not path.is_symlink()]
    if not logs:
        return 0
    archive, partial = here / PACKED, (here / PACKED).with_suffix(".new")
    try:
        contents = {str(path.relative_to(tuples)): path.read_bytes() for path in logs}
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new:
            if archive.is_file():
                with zipfile.ZipFile(archive) as old:
                    for name in set(old.namelist()) - set(contents):
                        new.writestr(name, old.read(name))
            for name, content in contents.items():
                new.writestr(name, content)
        with zipfile.ZipFile(partial) as written:
            if any(written.read(name) != content for name, content in contents.items()):
                raise ResultsError(f"{partial} does not hold what was written; the logs stay where they are")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(archive)
        for path in logs:
            path.unlink(missing_ok=True)
    except (OSError, zipfile.BadZipFile) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ResultsError(f"the logs of {here} cannot be packed into {archive}: {error}") from error
    return len(logs)
