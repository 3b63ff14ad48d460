"""A channel's host on this machine that counts what is asked of it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ARCHIVES = (".tar.bz2", ".conda", ".whl")


@dataclass
class Host:
    """What a host was asked for: how often each path, answered with so many bytes in all.

    `cut` says of how many more answers, by file name, the connection ends in the middle.
    """

    url: str
    asked: Counter[str] = field(default_factory=Counter)
    sent: int = 0
    cut: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def packages(self) -> Counter[str]:
        """How often each package was asked for, by file name."""
        return Counter({path.rpartition("/")[2]: n for path, n in self.asked.items() if path.endswith(ARCHIVES)})


class _Counting(http.server.SimpleHTTPRequestHandler):
    host: Host

    def do_GET(self) -> None:
        # A proxy is asked for a whole address.
        with self.host.lock:
            self.host.asked[self.path] += 1
        if "://" in self.path:
            self.path = "/" + self.path.split("/", 3)[3]
        if self.host.cut[Path(self.path).name] > 0:
            self.host.cut[Path(self.path).name] -= 1
            self.half_an_answer()
        else:
            super().do_GET()

    def half_an_answer(self) -> None:
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True

    def copyfile(self, source: Any, outputfile: Any) -> None:
        with self.host.lock:
            self.host.sent += Path(source.name).stat().st_size
        super().copyfile(source, outputfile)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def counted(directory: Path) -> Iterator[Host]:
    """Serve a directory, as a channel's host or as a proxy before any host that has the same files."""
    host = Host("")
    handler = functools.partial(type("_OfHost", (_Counting,), {"host": host}), directory=str(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        host.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()
