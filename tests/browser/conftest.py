"""A real headless browser, and real pages: the stored sweeps of the unit tests, rendered."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import NoChromiumError, ensure_chromium
from playwright.sync_api import Browser, sync_playwright
from reader import DIRECTORY, Reader

from sweep.diff import Diff
from sweep.places import cache_dir
from sweep.report import page as report
from sweep.schema import Outcomes

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from stored import since, stored


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser of all tests."""
    try:
        chromium = ensure_chromium(cache_dir())
    except NoChromiumError as error:
        pytest.skip(str(error))
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium.program, args=alone, env={**os.environ, **chromium.environment}
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Outcomes, Diff | str | None], Path]:
    """Writes a page to a file."""

    def write(outcomes: Outcomes, since: Diff | str | None = None) -> Path:
        path = tmp_path_factory.mktemp("page") / "compatibility.html"
        path.write_text(report.render(outcomes, since, DIRECTORY), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def spring(pages: Callable[..., Path]) -> Path:
    """The sweep with regressions, compared with the one before it."""
    return pages(stored("spring"), since("spring"))


@pytest.fixture
def read(browser: Browser) -> Iterator[Callable[..., Reader]]:
    """Opens pages; afterwards nothing may have gone wrong with any of them, nor may one have asked for anything."""
    readers: list[Reader] = []

    def open_page(path: Path, fragment: str = "", **context: object) -> Reader:
        readers.append(Reader(browser, path, fragment, **context))
        return readers[-1]

    yield open_page
    for reader in readers:
        assert reader.troubles == []
        assert {url.partition("#")[0] for url in reader.requests} <= {reader.url, "data:,"}
        reader.context.close()
