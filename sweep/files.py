"""Writing and reading the files of a sweep: whole or not at all, and with errors that name the file."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from sweep.errors import BadFileError, ResultsError
from sweep.model import visible

Model = TypeVar("Model", bound=BaseModel)

SIZE_LIMIT = 500_000_000  # bytes; the plan of a hundred thousand tuples has a tenth of that


@contextlib.contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file; the lock goes with the process that holds it, however that ends.

    Raises:
        BlockingIOError: somebody else holds it, and we are not to wait.
        ResultsError: the lock file cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror}; choose another sweep.results") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def write_atomic(path: Path, content: str | bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one and nothing between.

    Without `durable` that holds for readers only, and the caller sees to it that the disk has the file in time.

    Raises:
        ResultsError: the directory cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                if durable:
                    stream.flush()
                    os.fsync(stream.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror}; check its permissions and free space") from error


def write_model(path: Path, model: BaseModel) -> None:
    """Write a model as indented JSON.

    Raises:
        ResultsError: the directory cannot be written.
    """
    write_atomic(path, model.model_dump_json(indent=1, by_alias=True, exclude_none=True) + "\n")


def read_whole(path: Path) -> bytes:
    """The bytes of a regular file; a pipe in its place is not waited for, and a huge file not read.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than `SIZE_LIMIT`.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if status.st_size > SIZE_LIMIT:
        raise OSError(errno.EFBIG, f"{status.st_size} bytes, more than {SIZE_LIMIT}", str(path))
    return path.read_bytes()


def read_model(path: Path, model: type[Model], made_by: str) -> Model:
    """Read a JSON file of a sweep; `made_by` is the command that writes it, for the message.

    Raises:
        BadFileError: the file is missing, damaged, or of another schema version.
    """
    try:
        text = read_whole(path)
    except OSError as error:
        raise BadFileError(f"{path}: {error.strerror}; `{made_by}` writes it") from error
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise BadFileError(f"{path}: {_complaint(error, made_by)}") from error


def read_if_usable(path: Path, model: type[Model]) -> Model | None:
    """The same where a file that is missing, damaged or of another schema is as good as none."""
    try:
        return read_model(path, model, "sweep")
    except BadFileError:
        return None


def _complaint(error: ValidationError, made_by: str) -> str:
    """What is wrong with a file, and what to do. Of a file with another schema nothing else is worth saying."""
    problems = error.errors()
    schema = next((p for p in problems if p["loc"] == ("schema",) and p["type"] == "literal_error"), None)
    if schema is not None:
        found = visible(repr(schema["input"])[:60])
        return (
            f"its schema is {found}, and this sweeper reads {schema['ctx']['expected']}: it was written by another "
            "version of the sweeper; use that one for this sweep, or start another sweep (what is derived, "
            f"`{made_by}` writes anew)"
        )
    where = ".".join(map(str, problems[0]["loc"])) or "the file"
    return f"{where}: {problems[0]['msg']}; the file is damaged or was written by another version of the sweeper"
