"""How large pages are and how long a browser needs for them: 320 and 10,000 tuples. Nothing is asserted."""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from chromium import ensure_chromium
from playwright.sync_api import Browser, sync_playwright
from reader import DIRECTORY
from stored import large

from sweep.diff import diff
from sweep.places import cache_dir
from sweep.report import markdown, page

REPEATS = 5

# From the beginning of navigation until the script is through and a frame has been drawn, in milliseconds.
READY = """() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"""
FILTER = """() => new Promise((done) => {
  const begun = performance.now();
  const select = document.querySelector("select[name=verdict]");
  select.value = "works";
  select.dispatchEvent(new Event("change", { bubbles: true }));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - begun)));
})"""


def measure(browser: Browser, size: int, directory: Path) -> None:
    outcomes = large(size)
    since = diff(large(size // 2), outcomes)
    begun = time.perf_counter()
    text = page.render(outcomes, since, DIRECTORY)
    rendered = time.perf_counter() - begun
    path = directory / f"{size}.html"
    path.write_text(text, encoding="utf-8")
    ready, filtered = [], []
    for _ in range(REPEATS):
        tab = browser.new_page()
        tab.goto(path.as_uri())
        ready.append(tab.evaluate(READY))
        filtered.append(tab.evaluate(FILTER))
        tab.close()
    print(
        f"{size} tuples: {path.stat().st_size / 1e6:.2f} MB, rendered in {rendered:.2f} s, "
        f"interactive after {statistics.median(ready):.0f} ms, a filter takes {statistics.median(filtered):.0f} ms; "
        f"Markdown {len(markdown.render(outcomes, since))} characters"
    )


def main() -> None:
    chromium = ensure_chromium(cache_dir())
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as directory:
        alone = ["--no-sandbox"] if os.geteuid() == 0 else []
        environment = {**os.environ, **chromium.environment}
        browser = playwright.chromium.launch(executable_path=chromium.program, args=alone, env=environment)
        for size in (320, 10_000):
            measure(browser, size, Path(directory))
        browser.close()


if __name__ == "__main__":
    main()
