"""Somebody who reads a page, with words for what they look at and do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page

DIRECTORY = Path("/srv/results/2026-11-21T000000")  # where the pages say that their sweep lies


class Reader:
    """Somebody with a page open, who notices what goes wrong: errors, and requests that leave the page."""

    def __init__(self, browser: Browser, path: Path, fragment: str = "", **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(5_000)
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.url = path.as_uri()
        self.page.goto(self.url + fragment)

    def cell(self, name: str) -> Locator:
        """The cell of a tuple, by what a reader knows of it: framework, version, CUDA, GPU."""
        framework, version, cuda, gpu = name.split()
        place = self.page.evaluate(
            """([framework, version, cuda, gpu]) => {
              const table = document.querySelector(`[data-framework="${framework}"] table`);
              const [groups, titles] = [...table.tHead.rows].map((row) => [...row.cells].slice(1));
              const runtimes = groups.flatMap((th) => th.hidden ? [] : Array(th.colSpan).fill(th.textContent));
              const shown = titles.filter((th) => !th.hidden);
              const right = (th, i) => th.textContent === version && runtimes[i].startsWith(`CUDA ${cuda}`);
              const x = shown.findIndex(right);
              const row = [...table.tBodies[0].rows].find((each) => each.cells[0].textContent.startsWith(gpu + " "));
              return [...row.cells].slice(1).filter((td) => !td.hidden)[x].dataset.i;
            }""",
            [framework, version, cuda, gpu],
        )
        return self.page.locator(f'td[data-i="{place}"]')

    @property
    def story(self) -> str:
        """What the story says that opens."""
        return self.page.get_by_role("dialog").inner_text()

    def choose(self, **filters: str) -> None:
        """Set filters by their titles."""
        for title, value in filters.items():
            self.page.get_by_role("combobox", name=title, exact=True).select_option(value)

    def visible_cells(self) -> list[str]:
        """The words of every cell that the filters leave; those further down too, which are not drawn yet."""
        found = self.page.locator("table.heat td[data-i]:not(.off):visible").all_text_contents()
        return [" ".join(words.split()) for words in found]
