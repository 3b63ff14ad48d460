"""The page as its readers meet it: what they see, find, open and copy, in a real browser from a real file."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from reader import DIRECTORY, Reader
from stored import stored

from sweep.diff import Kind, diff
from sweep.model import Cause, Verdict
from sweep.report import table
from sweep.schema import Outcome

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}

Read = Callable[..., Reader]
Pages = Callable[..., Path]


# --------------------------------------------------------------------------- at a glance


def test_the_top_says_when_where_at_what_cost_and_that_it_is_simulated(read: Read, spring: Path) -> None:
    top = read(spring).page.get_by_role("banner").inner_text()
    outcomes = stored("spring")
    assert "Simulated GPUs" in top
    assert f"{outcomes.created:%Y-%m-%d %H:%M} UTC, complete" in top
    assert f"{outcomes.pool.collector}, {outcomes.pool.taken:%Y-%m-%d %H:%M} UTC: 15 GPUs in 9 classes" in top
    assert f"linux-64 of {outcomes.channels[0].subdirs[0].fetched:%Y-%m-%d %H:%M} UTC" in top
    jobs = sum(o.submitted for o in outcomes.tuples)
    assert f"192 candidates, {192 - jobs} settled without a job, {jobs} tested, 20 work" in top
    assert f"{jobs} jobs, {outcomes.gpu_hours:.2f} GPU-hours" in top
    for verdict, words in ((Verdict.WORKS, "work"), (Verdict.GPU_FAILURE, "fail on the GPU")):
        count = sum(o.verdict is verdict for o in outcomes.tuples)
        assert f"{table.GLYPHS[verdict]} {count} {words}" in top


def test_what_changed_comes_before_the_maps_and_the_unexpected_first(read: Read, spring: Path) -> None:
    page = read(spring).page
    titles = page.get_by_role("heading", level=2).all_inner_texts()
    assert titles[:2] == ["What changed", "What works where"]
    said = page.get_by_role("region", name="What changed").inner_text()
    order = [said.index(kind.capitalize()) for kind in (Kind.NEWLY_BROKEN, Kind.NEWLY_WORKS, Kind.NOT_COMPARABLE)]
    assert order == sorted(order)
    assert re.search(r"unexpected\s*works → crashed\s*pytorch-2.10-cuda12.9-sm70\s*likely upstream: lock cudnn", said)


def test_the_first_sweep_says_that_there_is_none_before_it(read: Read, pages: Pages) -> None:
    page = read(pages(stored("winter"), "none to tell, this is the first finished sweep here")).page
    assert "Changes: none to tell" in page.get_by_role("region", name="What changed").inner_text()


def test_every_tuple_is_in_the_maps_with_glyph_and_word(read: Read, spring: Path) -> None:
    reader = read(spring, "#unbuilt=yes")
    outcomes = stored("spring")
    differing = {c.id for c in diff(stored("winter"), outcomes).changes if c.kind in list(Kind)[:3]}
    wanted = sorted(table.cell(o, changed=o.id in differing) for o in outcomes.tuples)
    assert sorted(reader.visible_cells()) == wanted


def test_rows_are_gpus_with_their_names_and_columns_are_versions_by_runtime(read: Read, spring: Path) -> None:
    grid = read(spring).page.get_by_role("grid").first
    assert grid.get_by_role("columnheader").all_inner_texts() == [
        "CUDA 13.0",
        "CUDA 12.9",
        "GPU",
        "2.10",
        "2.10",
        "2.8",
    ]
    rows = grid.get_by_role("rowheader").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["sm35", "sm60", "sm70", "sm75", "sm80", "sm89", "sm90", "sm120"]
    assert rows[2].split("\n") == ["sm70 ×2", "Tesla V100-SXM2-32GB"]
    assert "NVIDIA A100-SXM4-80GB ×2, NVIDIA A100-SXM4-80GB MIG 1g.10gb ×3" in rows[4]


# --------------------------------------------------------------------------- filters


def test_two_choices_answer_which_pytorch_runs_on_our_v100s(read: Read, spring: Path) -> None:
    reader = read(spring)
    reader.choose(Framework="pytorch", GPU="sm70")
    assert reader.visible_cells() == ["✗ no-kernel-image =", "✗ crashed ! = †", "✗ crashed = †"]
    expect(reader.page.get_by_role("grid")).to_have_count(1)
    assert reader.page.get_by_role("grid").get_by_role("rowheader").all_inner_texts() == [
        "sm70 ×2\nTesla V100-SXM2-32GB"
    ]
    # Versions that the channels have no build of are counted among the tuples, but not shown unless asked for.
    assert reader.page.get_by_role("status").first.inner_text() == "8 of 192 tuples"


@pytest.mark.parametrize(
    ("title", "value", "holds"),
    [
        ("Framework", "jax", lambda o: o.framework == "jax"),
        ("Version", "2.8", lambda o: o.version == "2.8"),
        ("CUDA", "13.0", lambda o: o.cuda == "13.0"),
        ("GPU", "sm120", lambda o: o.capability == "12.0"),
        ("Verdict", "works", lambda o: o.verdict is Verdict.WORKS),
        ("Verdict", "resolve-failure", lambda o: o.verdict is Verdict.RESOLVE_FAILURE),
        ("Cause", "crashed", lambda o: o.cause is Cause.CRASHED),
        ("Cause", "no-build", lambda o: o.cause is Cause.NO_BUILD),
    ],
)
def test_a_filter_leaves_what_it_says(
    read: Read, spring: Path, title: str, value: str, holds: Callable[[Outcome], bool]
) -> None:
    reader = read(spring, "#unbuilt=yes")
    reader.choose(**{title: value})
    wanted = [table.word(o.cause) for o in stored("spring").tuples if holds(o)]
    assert sorted(re.sub(r"[^a-z-]", "", cell) for cell in reader.visible_cells()) == sorted(wanted)
    assert f"{len(wanted)} of 192 tuples" in reader.page.get_by_role("form").inner_text()


def test_unexpected_only_shows_what_differs_from_the_last_sweep(read: Read, spring: Path) -> None:
    reader = read(spring)
    reader.page.get_by_label("unexpected only").check()
    cells = reader.visible_cells()
    assert len(cells) == sum(c.unexpected for c in diff(stored("winter"), stored("spring")).changes)
    assert all("!" in cell or "≠" in cell for cell in cells)


def test_a_view_can_be_sent_as_an_address(read: Read, spring: Path) -> None:
    reader = read(spring)
    reader.choose(Framework="jax", Verdict="works")
    reader.page.get_by_role("gridcell", name="✓ works").first.click()
    fragment = reader.page.url.partition("#")[2]
    other = read(spring, f"#{fragment}")
    assert other.visible_cells() == reader.visible_cells()
    assert other.story == reader.story != ""


def test_a_link_to_a_section_leaves_the_view_as_it_is(read: Read, spring: Path) -> None:
    reader = read(spring, "#framework=jax")
    left = reader.visible_cells()
    reader.page.get_by_role("link", name="192 candidates").click()
    expect(reader.page.get_by_role("heading", name="The funnel")).to_be_in_viewport()
    reader.page.evaluate("new Promise((done) => setTimeout(done))")
    assert reader.visible_cells() == left


def test_nothing_found_says_so_and_show_all_brings_everything_back(read: Read, spring: Path) -> None:
    reader = read(spring)
    everything = reader.visible_cells()
    reader.choose(Framework="jax", CUDA="13.0", Verdict="works")
    assert reader.visible_cells() == []
    reader.page.get_by_text("No tuple is like that.").get_by_role("button", name="Show all").click()
    assert reader.visible_cells() == everything
    assert "#" not in reader.page.url


# --------------------------------------------------------------------------- the story of a cell

TOLD = ("pytorch-2.10-cuda12.9-sm70", "jax-0.7-cuda12.9-sm80", "tensorflow-2.18-cuda12.9-sm90")


@pytest.mark.parametrize("tuple_id", TOLD)
def test_a_click_tells_everything_that_is_known_of_a_tuple(read: Read, spring: Path, tuple_id: str) -> None:
    reader = read(spring)
    (o,) = (each for each in stored("spring").tuples if each.id == tuple_id)
    reader.cell(f"{o.framework} {o.version} {o.cuda} sm{o.capability.replace('.', '')}").click()
    story = reader.story
    assert o.evidence.line
    for said in (
        o.id,
        f"{o.verdict}: {o.cause} (tested)",
        o.cause.meaning[1:],
        f"{o.evidence.file}:{o.evidence.line}",
        o.machine,
        o.device,
        o.driver,
        o.uuid,
        o.lock_sha256,
        o.build,
        f"{o.run_seconds:g} s, from",
        f"sweep rerun {o.id} {DIRECTORY}",
    ):
        assert str(said) in story, said
    assert " ".join(o.reason.split()) in " ".join(story.split())


def test_a_story_says_how_prediction_and_last_sweep_compare(read: Read, spring: Path) -> None:
    reader = read(spring)
    reader.page.get_by_role("link", name="pytorch-2.10-cuda12.9-sm70").click()
    assert "newly broken, was works: likely upstream: lock cudnn 9.10.2.21 → cudnn 9.13.1.26" in reader.story
    assert "crashed, by rule cudnn-dropped-capability. So it came." in reader.story
    assert "Known issue\ncudnn-pre-turing" in reader.story


def test_a_surprise_is_marked(read: Read, pages: Pages) -> None:
    outcomes = stored("spring")
    surprised = tuple(
        o.model_copy(update={"surprise": True, "cause": Cause.HUNG}) if o.id == TOLD[0] else o
        for o in outcomes.tuples
    )
    reader = read(pages(outcomes.model_copy(update={"tuples": surprised})))
    cell = reader.cell("pytorch 2.10 12.9 sm70")
    expect(cell).to_have_text("✗ hung ≠ †")
    first = reader.page.get_by_role("region", name="What changed").get_by_role("listitem").first.inner_text()
    assert (
        first.split()
        == f"unexpected {TOLD[0]} hung, against rule cudnn-dropped-capability, which says crashed".split()
    )
    cell.click()
    assert "It came otherwise." in reader.story


def test_what_is_unknown_is_grey_and_says_why(read: Read, pages: Pages) -> None:
    reader = read(pages(stored("winter")))
    cell = reader.cell("jax 0.6 12.9 sm60")
    expect(cell).to_have_text("? held")
    colour = cell.evaluate("(td) => getComputedStyle(td).backgroundColor")
    levels = [int(level) for level in re.findall(r"\d+", colour)[:3]]
    assert max(levels) - min(levels) < 12, colour
    cell.click()
    assert "Unknown: held with code 1/0: held by the administrator" in reader.story


def test_what_was_settled_without_a_job_looks_otherwise_and_offers_no_rerun(read: Read, spring: Path) -> None:
    reader = read(spring)
    pruned, tested = reader.cell("pytorch 2.10 12.9 sm35"), reader.cell("pytorch 2.8 12.9 sm60")
    expect(pruned).to_have_text("(✗ no-kernel-image)")
    hatched = "(td) => getComputedStyle(td).backgroundImage.includes('gradient')"
    assert pruned.evaluate(hatched)
    assert not tested.evaluate(hatched)
    pruned.click()
    assert "settled without a job" in reader.story
    assert reader.page.get_by_role("button", name="Copy").count() == 0


def test_the_line_to_run_it_again_can_be_copied(read: Read, spring: Path) -> None:
    reader = read(spring, "#tuple=pytorch-2.8-cuda12.9-sm60", permissions=["clipboard-read", "clipboard-write"])
    reader.page.get_by_role("button", name="Copy").click()
    expect(reader.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = reader.page.evaluate("navigator.clipboard.readText()")
    assert copied == f"sweep rerun pytorch-2.8-cuda12.9-sm60 {DIRECTORY}"


def test_where_the_clipboard_is_closed_the_line_is_selected_and_copied_the_old_way(read: Read, spring: Path) -> None:
    reader = read(spring, "#tuple=pytorch-2.8-cuda12.9-sm60")
    reader.page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    reader.page.get_by_role("button", name="Copy").click()
    expect(reader.page.get_by_role("button", name="Copied")).to_be_visible()
    assert reader.page.evaluate("String(getSelection())") == f"sweep rerun pytorch-2.8-cuda12.9-sm60 {DIRECTORY}"


# --------------------------------------------------------------------------- keys


def test_the_map_is_walked_by_arrow_keys_and_told_by_enter(read: Read, spring: Path) -> None:
    reader = read(spring)
    keys = reader.page.keyboard
    reader.page.get_by_role("button", name="Show all").first.focus()
    keys.press("Tab")
    focused = reader.page.locator(":focus")
    expect(focused).to_have_text("(✗ no-kernel-image)")
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        keys.press(key)
    expect(focused).to_have_text("✗ crashed ! = †")
    keys.press("Home")
    expect(focused).to_have_text("✗ no-kernel-image =")
    keys.press("ArrowLeft")  # there is nothing further on that side
    keys.press("End")
    expect(focused).to_have_text("✗ crashed = †")
    keys.press("Enter")
    assert "pytorch-2.8-cuda12.9-sm70" in reader.story
    keys.press("Escape")
    expect(reader.page.get_by_role("dialog")).to_be_hidden()
    expect(focused).to_have_text("✗ crashed = †")
    keys.press("Tab")  # one stop for each map
    assert focused.evaluate("(td) => td.closest('.map').dataset.framework") == "tensorflow"


def test_arrow_keys_step_over_what_the_filters_hide(read: Read, spring: Path) -> None:
    reader = read(spring)
    reader.choose(Framework="pytorch", Cause="crashed")
    reader.cell("pytorch 2.10 12.9 sm60").focus()
    for key, text in (("ArrowDown", "✗ crashed ! = †"), ("ArrowDown", "✗ crashed ! = †"), ("End", "✗ crashed = †")):
        reader.page.keyboard.press(key)
        expect(reader.page.locator(":focus")).to_have_text(text)


def test_the_way_back_closes_a_story(read: Read, spring: Path) -> None:
    reader = read(spring)
    reader.cell("pytorch 2.8 12.9 sm60").click()
    assert reader.story
    reader.page.go_back()
    expect(reader.page.get_by_role("dialog")).to_be_hidden()


# --------------------------------------------------------------------------- other readers


def test_a_phone_scrolls_the_map_and_not_the_page(read: Read, spring: Path) -> None:
    reader = read(spring, "#unbuilt=yes", **PHONE)
    widths = "(element) => [element.scrollWidth, element.clientWidth]"
    whole, window = reader.page.locator("html").evaluate(widths)
    assert whole <= window
    inside, box = reader.page.locator(".box").first.evaluate(widths)
    assert inside > box
    reader.cell("pytorch 2.8 12.9 sm60").tap()
    place = reader.page.get_by_role("dialog").bounding_box()
    assert place
    assert place["width"] == PHONE["viewport"]["width"]


def test_a_closed_frame_as_mail_programs_have_it_shows_everything(read: Read, spring: Path, tmp_path: Path) -> None:
    mail = tmp_path / "mail.html"
    text = html.escape(spring.read_text(encoding="utf-8"))
    mail.write_text(f'<iframe sandbox="allow-scripts" width="1000" height="800" srcdoc="{text}"></iframe>')
    frame = read(mail).page.frame_locator("iframe")
    frame.get_by_role("combobox", name="GPU", exact=True).select_option("sm70")
    expect(frame.get_by_role("form")).to_contain_text("24 of 192 tuples")
    frame.get_by_role("gridcell", name="crashed").first.click()
    expect(frame.get_by_role("dialog")).to_contain_text("killed by signal 11")
    frame.get_by_role("button", name="Close").click()
    expect(frame.get_by_role("dialog")).to_be_hidden()


def test_without_scripts_tables_changes_and_failures_are_there_to_read(read: Read, spring: Path) -> None:
    page = read(spring, java_script_enabled=False).page
    assert "✓ works" in page.get_by_role("table").first.inner_text()
    said = page.get_by_role("main").inner_text()
    assert "likely upstream: lock cudnn 9.10.2.21 → cudnn 9.13.1.26" in said
    assert "on every GPU: 2.10 for CUDA 11.8, 12.4" in said
    assert "killed by signal 11" in said
    expect(page.get_by_role("combobox")).to_have_count(0)


def test_on_paper_the_whole_map_is_there_and_no_controls(read: Read, spring: Path) -> None:
    reader = read(spring, "#unbuilt=yes", viewport={"width": 750, "height": 1000})
    reader.page.emulate_media(media="print")
    expect(reader.page.get_by_role("combobox")).to_have_count(0)
    assert all(
        reader.page.locator(".map .box").evaluate_all("(all) => all.map((box) => box.scrollWidth <= box.clientWidth)")
    )
    assert len(reader.visible_cells()) == 192


def test_nothing_moves_for_those_who_want_it_still(read: Read, spring: Path) -> None:
    for wish, moves in (("reduce", "none"), ("no-preference", "come")):
        reader = read(spring, "#tuple=pytorch-2.8-cuda12.9-sm60", reduced_motion=wish)
        assert reader.page.get_by_role("dialog").evaluate("(d) => getComputedStyle(d).animationName") == moves


# The contrast of everything that is read, as WCAG 2.2 counts it, each text against what lies behind it.
CONTRAST = """() => {
  const level = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * level(r) + 0.7152 * level(g) + 0.0722 * level(b);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    const style = getComputedStyle(element);
    const hatch = style.backgroundImage.match(/rgb\\([^)]*\\)/g);
    if (hatch) return hatch.map(numbers);
    const colour = numbers(style.backgroundColor);
    return colour.length === 3 || colour[3] === 1 ? [colour] : behind(element.parentElement);
  };
  const worst = {};
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || !element.checkVisibility() || element.closest('script, option')) continue;
    const ink = luminance(numbers(getComputedStyle(element).color));
    for (const back of behind(element).map(luminance)) {
      const ratio = (Math.max(ink, back) + 0.05) / (Math.min(ink, back) + 0.05);
      const name = `${element.tagName} ${element.className}`;
      worst[name] = Math.min(worst[name] ?? 99, ratio);
    }
  }
  return worst;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(read: Read, pages: Pages, scheme: str) -> None:
    path = pages(stored("winter"), diff(stored("spring"), stored("winter")))
    page = read(path, "#unbuilt=yes&tuple=jax-0.6-cuda12.9-sm60", color_scheme=scheme).page
    worst = page.evaluate(CONTRAST)
    kinds = " ".join(worst)
    assert all(name in kinds for name in [*Verdict, "pruned", "flag", "why", "banner"])
    assert {name: ratio for name, ratio in worst.items() if ratio < 4.5} == {}
