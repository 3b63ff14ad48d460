"""Points unpacked ELF files at the loader and the libraries that were unpacked with them."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sweep.errors import SandboxError

_PT_DYNAMIC = 2
_PT_INTERP = 3

# patchelf rewrites whole files, so that a few at once keep both cores busy and one call's output readable.
_BATCH = 12
_WORKERS = 2


def segments(path: Path) -> frozenset[int]:
    """The program header types of a 64-bit little-endian ELF file; empty for any other file.

    The layout is that of the ELF-64 object file format: `e_phoff` at byte 32, `e_phentsize` and `e_phnum` at 54.
    """
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return frozenset()
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
    return frozenset(struct.unpack_from("<I", table, at)[0] for at in range(0, len(table) - 3, size))


def relocate(usr: Path, patchelf: Path, interpreter: Path, rpath: Sequence[Path]) -> None:
    """Gives every dynamic ELF file below `usr` a run path, and every program a loader.

    The loader and libc itself stay as they are: they do not survive it. Static files have nothing to change.

    Args:
        usr: tree of unpacked files.
        patchelf: the tool's executable.
        interpreter: loader as it will be found when the programs run.
        rpath: library directories as they will be found then.

    Raises:
        SandboxError: patchelf refused a file.
    """
    programs: list[Path] = []
    libraries: list[Path] = []
    for path in _files(usr):
        kinds = segments(path)
        if _PT_DYNAMIC in kinds:
            (programs if _PT_INTERP in kinds else libraries).append(path)
    path_option = ["--set-rpath", ":".join(map(str, rpath))]
    calls = [
        *([patchelf, "--set-interpreter", interpreter, *path_option, *batch] for batch in _batches(programs)),
        *([patchelf, *path_option, *batch] for batch in _batches(libraries)),
    ]
    with ThreadPoolExecutor(_WORKERS) as workers:
        for run in workers.map(lambda call: subprocess.run(call, capture_output=True, text=True), calls):
            if run.returncode != 0:
                raise SandboxError(f"patchelf failed on the unpacked HTCondor: {run.stderr.strip()[-500:]}")


def _files(usr: Path) -> Iterator[Path]:
    for path in sorted(usr.rglob("*")):
        if path.is_symlink() or not path.is_file() or "gconv" in path.parts:
            continue
        if not path.name.startswith("ld-linux") and path.name != "libc.so.6":
            yield path


def _batches(paths: Sequence[Path]) -> Iterable[Sequence[Path]]:
    return (paths[at : at + _BATCH] for at in range(0, len(paths), _BATCH))
