"""Helpers of the planning tests: small conda channels, settings and slot ads, all of them real ones."""

from __future__ import annotations

import asyncio
import bz2
import contextlib
import functools
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sweep.config import load
from sweep.settings import Settings

PYTORCH = "[frameworks.pytorch]\n"


def settings_of(directory: Path, text: str = "") -> Settings:
    """The settings of a sweep.toml that has a PyTorch table and `text`."""
    path = directory / "sweep.toml"
    path.write_text(PYTORCH + text)
    return load(path)


def make_package(channel: Path, name: str, version: str, files: Mapping[str, bytes], number: int = 0) -> Path:
    """Write a conda archive of `files` into a channel; `index` makes it visible."""
    build = f"h0_{number}"
    index = {
        "name": name,
        "version": version,
        "build": build,
        "build_number": number,
        "depends": [],
        "subdir": "linux-64",
        "arch": "x86_64",
        "platform": "linux",
    }
    info = {
        "info/index.json": json.dumps(index).encode(),
        "info/files": "".join(f"{path}\n" for path in files).encode(),
        "info/paths.json": json.dumps(
            {"paths_version": 1, "paths": [{"_path": path, "path_type": "hardlink"} for path in files]}
        ).encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in {**info, **files}.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    target = channel / "linux-64" / f"{name}-{version}-{build}.tar.bz2"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(bz2.compress(buffer.getvalue()))
    return target


def index(channel: Path) -> str:
    """Index a channel as `rattler index` does; returns its file:// URL."""
    from rattler.index import index_fs

    for subdir in ("linux-64", "noarch"):
        (channel / subdir).mkdir(parents=True, exist_ok=True)
    asyncio.run(index_fs(channel, write_zst=False, write_shards=False))
    return channel.as_uri()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def served(directory: Path, types: Mapping[str, str] | None = None) -> Iterator[str]:
    """An HTTP server on this machine that serves a directory; yields its URL. `types` are media types by suffix."""
    kind = type("_Typed", (_Quiet,), {"extensions_map": {**_Quiet.extensions_map, **(types or {})}})
    handler = functools.partial(kind, directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
