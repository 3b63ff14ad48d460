"""The page with the most hostile texts that a node, a pool or a channel could bring in, and with very many tuples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from reader import Reader
from stored import large, stored

from sweep.diff import diff
from sweep.model import GpuClass, visible
from sweep.schema import Known, Outcomes, Prediction

Read = Callable[..., Reader]
Pages = Callable[..., Path]

HOSTILE = (
    "</script><script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 1'><svg onload=window.owned=1>",
    "'\"><b onmouseover=window.owned=1>bold</b><!-- <script>",
    "</title></style><style>* { display: none }</style>",
    "{{ 7 * 7 }} {% raw %} ${7 * 7} &lt;entity&gt; &amp;",
    "\u2028\u2029\\u003c\\ \u202e\u200b end",
    "javascript:window.owned=1",
)
TUPLE = "pytorch-2.10-cuda12.9-sm70"
SIZE = 10_000


def hostile(text: str) -> Outcomes:
    """A sweep into which one text has come by every road."""

    def changed(each: Any, *fields: str) -> Any:
        return each.model_copy(update=dict.fromkeys(fields, text))

    outcomes = stored("spring")
    tuples = tuple(
        changed(o, "reason", "rule", "build", "lock_sha256", "machine", "device", "driver", "uuid").model_copy(
            update={
                "evidence": changed(o.evidence, "excerpt"),
                "prediction": Prediction(rule=text, cause=o.cause, reason=text),
                "known": Known(id=text, link=text, text=text),
                "expected": True,
            }
        )
        for o in outcomes.tuples
    )
    classes: tuple[GpuClass, ...] = tuple(
        changed(c, "device", "driver").model_copy(update={"machines": (text,)}) for c in outcomes.pool.classes
    )
    problems = tuple(changed(p, "slot", "machine", "problem") for p in outcomes.pool.problems)
    pool = changed(outcomes.pool, "collector").model_copy(update={"classes": classes, "problems": problems})
    return changed(outcomes, "sweep").model_copy(
        update={
            "tuples": tuples,
            "pool": pool,
            "channels": tuple(changed(c, "name") for c in outcomes.channels),
            "funnel": tuple(changed(row, "stage", "detail") for row in outcomes.funnel),
            "notes": (text,),
        }
    )


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_shown_as_text_wherever_it_comes_in(read: Read, pages: Pages, text: str) -> None:
    outcomes = hostile(text)
    reader = read(pages(outcomes, diff(stored("winter"), outcomes)), f"#tuple={TUPLE}")
    story = words(reader.page.get_by_role("dialog").text_content() or "")
    # Some of it comes by way of models that clean what they take.
    seen = {words(text), words(visible(text))}
    assert sum(map(story.count, seen)) >= 12  # reason, rule, build, lock, machine, GPU, ...
    for title in ("What changed", "What works where", "What does not work, by cause", "The pool", "The funnel"):
        section = words(reader.page.get_by_role("region", name=title).text_content() or "")
        assert any(each in section for each in seen), title
    assert words(text) in words(reader.page.get_by_role("banner").text_content() or "")
    assert reader.page.evaluate("window.owned") is None
    expect(reader.page.get_by_role("dialog").get_by_role("link")).to_have_count(0)
    expect(reader.page.get_by_role("heading", level=1)).to_be_visible()
    expect(reader.page.get_by_role("grid")).to_have_count(3)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_address_does_nothing(read: Read, spring: Path, text: str) -> None:
    reader = read(spring, f"#tuple={text}&framework={text}&{text}=1&__proto__=1")
    expect(reader.page.get_by_role("dialog")).to_be_hidden()
    assert reader.page.evaluate("window.owned") is None


def test_ten_thousand_tuples_are_filtered_walked_and_told(read: Read, pages: Pages) -> None:
    reader = read(pages(large(SIZE)))
    form = reader.page.get_by_role("form")
    expect(form).to_contain_text(f"{SIZE} tuples")
    reader.choose(Framework="jax", Verdict="works")
    works = [o for o in large(SIZE).tuples if o.framework == "jax" and o.verdict == "works"]
    expect(form).to_contain_text(f"{len(works)} of {SIZE} tuples")
    assert len(reader.visible_cells()) == len(works)
    reader.page.locator("table.heat tbody td:not(.off):visible").first.focus()
    reader.page.keyboard.press("ArrowRight")
    reader.page.keyboard.press("Enter")
    assert "every rung passed (number" in reader.story
