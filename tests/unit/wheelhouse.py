"""A package index on disk with tiny real wheels, as pip and uv read them."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CUDA12 = "nvidia-cuda-runtime-cu12"


def add_wheel(
    index: Path,
    name: str,
    version: str,
    requires: Sequence[str] = (),
    files: Mapping[str, str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Build a wheel, put it into an index (PEP 503), and return its path."""
    stem = f"{name.replace('-', '_')}-{version}"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in requires)
    content = {
        **(files or {f"{name.replace('-', '_')}.py": f"version = {version!r}\n"}),
        f"{stem}.dist-info/METADATA": metadata,
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},{_record_hash(text)},{len(text.encode())}\n" for path, text in content.items())
    content[f"{stem}.dist-info/RECORD"] = record + f"{stem}.dist-info/RECORD,,\n"
    target = index / name / f"{stem}-{tag}.whl"
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    _list(target.parent)
    return target


def _record_hash(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def _list(directory: Path) -> None:
    """Write the index page of a package."""
    links = (
        f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a><br/>\n'
        for path in sorted(directory.glob("*.whl"))
    )
    (directory / "index.html").write_text(f"<!DOCTYPE html><html><body>\n{''.join(links)}</body></html>\n")


def small_index(index: Path) -> None:
    """torch as an index has it: one CUDA runtime for each version, one version for the CPU, one that says nothing."""
    for version in ("12.1.105", "12.4.127", "12.6.77"):
        add_wheel(index, CUDA12, version, tag="py3-none-manylinux_2_17_x86_64")
    add_wheel(index, "nvidia-cuda-runtime", "13.0.96", tag="py3-none-manylinux_2_17_x86_64")
    add_wheel(index, "sympy", "1.13.1")
    cuda = "py3-none-manylinux_2_17_x86_64"
    add_wheel(index, "torch", "2.4.0", ["sympy", f"{CUDA12}==12.1.105"], tag=cuda)
    add_wheel(index, "torch", "2.5.1", ["sympy", f"{CUDA12}==12.4.127"], tag=cuda)
    add_wheel(index, "torch", "2.6.0", ["sympy"], tag=cuda)
    add_wheel(index, "torch", "2.7.0", ["sympy"], tag="py3-none-win_amd64")
