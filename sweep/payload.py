"""The project's own command: what is shipped with a sweep's jobs, and what came back from one of them.

What comes back was written by an execute node and by the project's own programs: it is bounded, and never executed.
"""

from __future__ import annotations

import io
import os
import shlex
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from pydantic import ValidationError

from sweep.errors import SettingsError
from sweep.files import write_atomic
from sweep.places import probes
from sweep.schema import JUnitCounts, Payload, PayloadRecord
from sweep.settings import PayloadSettings

RUNNER, COMMAND, FILES = "run_payload.py", "payload.sh", "payload.tar"
RETURNED = RESULT, OUTPUT, JUNIT = "payload.json", "payload.out", "payload.xml"

SIZE_LIMIT = 200_000_000  # bytes of files, which travel with every job
_RECORD_LIMIT = 100_000  # bytes
_JUNIT_LIMIT = 5 * 1024 * 1024  # bytes, as run_payload.py has it


# --------------------------------------------------------------------------- what is shipped


def prepare(settings: PayloadSettings, directory: Path) -> None:
    """Write what every job takes along, so that a later run of the sweep finds the same.

    Raises:
        SettingsError: a file is missing, cannot be read or is a link that leads out of what is packed, or all
            together are too large.
        ResultsError: the directory cannot be written.
    """
    write_atomic(directory / RUNNER, (probes() / RUNNER).read_bytes())
    write_atomic(directory / COMMAND, _script(settings.command))
    write_atomic(directory / FILES, _packed(settings.files))


def _script(command: list[str] | str) -> str:
    """The command as a shell script: a list of words runs just that program, a text is the shell's own."""
    return f"exec {shlex.join(command)}\n" if isinstance(command, list) else f"{command}\n"


def _packed(files: list[Path]) -> bytes:
    """The files and directories, each under its own last name, as a tar archive."""
    buffer = io.BytesIO()
    size = 0

    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        nonlocal size
        size += tarfile.BLOCKSIZE + entry.size
        if size > SIZE_LIMIT:  # before it is read
            raise SettingsError(
                f"payload.files: with {entry.name} they are more than {SIZE_LIMIT // 1_000_000} MB, which would "
                "travel with every job; leave out what is not needed, or have the command fetch it"
            )
        return _plain(entry)

    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in files:
            try:
                archive.add(os.path.realpath(path), arcname=path.name, filter=kept)
            except OSError as error:
                raise SettingsError(f"payload.files: {path} cannot be read: {error.strerror}") from error
    return buffer.getvalue()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Files, directories and links, of nobody in particular, without what Python and git leave lying about."""
    kind = entry.isfile() or entry.isdir() or entry.issym() or entry.islnk()
    if not kind or Path(entry.name).name in ("__pycache__", ".git"):
        return None
    if entry.issym() and _leads_out(entry):
        raise SettingsError(
            f"payload.files: {entry.name} is a link to {entry.linkname}, which is not packed with it; link to what "
            "is, by a relative path, or leave it out"
        )
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _leads_out(link: tarfile.TarInfo) -> bool:
    """Whether a symbolic link leads out of the directory that the archive is unpacked in."""
    target = os.path.normpath(Path(link.name).parent / link.linkname)
    return target.startswith("/") or target.split("/")[0] == ".."


# --------------------------------------------------------------------------- what came back


def read(directory: Path, tuple_id: str) -> Payload | None:
    """What became of the payload in a tuple's directory; None where it did not run, or left nothing usable."""
    record = _record(directory / RESULT)
    if record is None or record.tuple != tuple_id or record.ended == "skipped":
        return None
    passed = record.ended == "exited" and record.exit_code == 0
    return Payload(
        passed=passed,
        ended=record.ended,
        exit_code=record.exit_code,
        seconds=record.seconds,
        note=record.note or None,
        tests=count_tests(directory / JUNIT),
    )


def _record(path: Path) -> PayloadRecord | None:
    data = _bounded(path, _RECORD_LIMIT)
    try:
        return PayloadRecord.model_validate_json(data) if data else None
    except ValidationError:
        return None


def count_tests(path: Path) -> JUnitCounts | None:
    """The tests of a JUnit file, counted one by one; None where there is no such file or it is not one.

    A file that declares entities or a document type is refused: none of these has a use in JUnit's format.
    """
    from defusedxml import ElementTree  # needed only where there is a payload
    from defusedxml.common import DefusedXmlException

    data = _bounded(path, _JUNIT_LIMIT)
    if not data:
        return None
    try:
        root: Any = ElementTree.fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError):
        return None
    cases = list(_cases(root))
    kinds = [{child.tag.lower() for child in case} for case in cases]
    return JUnitCounts(
        tests=len(cases),
        failures=sum("failure" in kind for kind in kinds),
        errors=sum("error" in kind and "failure" not in kind for kind in kinds),
        skipped=sum("skipped" in kind and kind.isdisjoint({"failure", "error"}) for kind in kinds),
    )


def _cases(root: Element) -> Iterator[Element]:
    return (each for each in root.iter() if isinstance(each.tag, str) and each.tag.lower() == "testcase")


def _bounded(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most so many; nothing for all others."""
    try:
        status = path.lstat()
        usable = stat.S_ISREG(status.st_mode) and status.st_size <= limit
        return path.read_bytes() if usable else b""
    except OSError:
        return b""
