"""The logs of tuples that work, packed into one file: nobody reads them, and a large sweep has thousands.

What verdicts are drawn from stays where it is, result.json and payload.json, so that a sweep can be classified again.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from sweep.errors import ResultsError
from sweep.model import Cause
from sweep.payload import OUTPUT
from sweep.places import PACKED
from sweep.schema import Outcome

_LOGS = ("job.out", "job.err", OUTPUT)
# What a damaged archive makes zipfile raise.
_DAMAGED = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)


def pack(here: Path, outcomes: Sequence[Outcome]) -> int:
    """Move the logs of the tuples that passed every rung into tuples/logs.zip; how many files went.

    Those of a tuple whose payload failed stay. They are removed only when all of them can be read from the archive;
    an interrupted packing loses nothing, and the next one goes on.

    Raises:
        ResultsError: the sweep's directory cannot be read or written, or the archive that is there is damaged.
    """
    tuples = here / "tuples"
    works = (tuples / o.id for o in outcomes if o.submitted and _works(o))
    # Only what is a regular file: nothing that a link leads to is read or removed.
    logs = [path for each in works for name in _LOGS if (path := each / name).is_file() and not path.is_symlink()]
    if not logs:
        return 0
    archive, partial = here / PACKED, (here / PACKED).with_suffix(".new")
    names = {str(path.relative_to(tuples)): path for path in logs}
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as new:
            if archive.is_file():
                with zipfile.ZipFile(archive) as old:
                    for name in sorted(set(old.namelist()) - set(names)):
                        new.writestr(name, old.read(name))
            for name, path in names.items():
                new.write(path, name)
        with zipfile.ZipFile(partial) as written:
            if written.testzip() is not None or not set(names) <= set(written.namelist()):
                raise zipfile.BadZipFile("it does not hold what was written")
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(archive)
        for path in logs:
            path.unlink(missing_ok=True)
    except (OSError, *_DAMAGED) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ResultsError(f"the logs of {here} cannot be packed into {archive}, and stay: {error}") from error
    return len(logs)


def _works(outcome: Outcome) -> bool:
    return outcome.cause is Cause.ALL_RUNGS and (outcome.payload is None or outcome.payload.passed)
