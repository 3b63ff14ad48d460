"""What is told of a sweep beside its tables: summary, JUnit, feed, columns, page; bounded, well-formed, stable."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from hostile import PAYLOAD, corpus, sweep
from stored import BEFORE, SWEEPS, large, since, stored
from sweepdir import TUPLE, Sweep, one, result, submitted

from sweep import earlier, places, steps
from sweep.diff import Diff, diff
from sweep.files import write_model
from sweep.model import Cause, Verdict
from sweep.report import changes, columns, feed, files, heatmap, junit, markdown, page, pagedata, summary, terminal
from sweep.schema import Outcomes

ATOM = {"atom": feed.NAMESPACE}
HERE = Path("/srv/results/2026-11-21T000000")


# --------------------------------------------------------------------------- summary and Markdown


@pytest.mark.parametrize("name", BEFORE)
def test_a_summary_has_ten_lines_and_the_first_says_what_changed(name: str) -> None:
    outcomes = stored(name).model_copy(update={"notes": tuple(f"note {n}" for n in range(9))})
    lines = summary.render(HERE, outcomes, since(name)).splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("Changes: none to tell" if name == "winter" else "Since sweep 2026-")
    assert lines[-1] == f"Tables: {HERE}/compatibility.html .md .csv .json"
    assert max(map(len, lines[2:])) <= 202
    broken = "  newly broken: works → crashed: pytorch-2.10-cuda12.9 sm70: likely upstream"
    assert any(line.startswith(broken) for line in lines) is (name == "spring")
    assert any("note: note 0" in line for line in lines)
    assert any(re.fullmatch(r"  and \d more notes", line) for line in lines)


def test_the_first_line_says_when_nothing_changed() -> None:
    outcomes = stored("spring")
    said = summary.render(HERE, outcomes, diff(outcomes, outcomes)).splitlines()[0]
    assert said == f"Since sweep {outcomes.sweep}: nothing changed; 192 as before."


def test_what_went_against_a_prediction_is_told_first_even_if_it_did_so_before() -> None:
    outcomes = stored("spring")
    turned = tuple(
        o.model_copy(update={"cause": Cause.HUNG, "surprise": True}) if o.cause is Cause.CRASHED else o
        for o in outcomes.tuples
    )
    outcomes = outcomes.model_copy(update={"tuples": turned})
    same = diff(outcomes, outcomes)
    said = "hung, against rule cudnn-dropped-capability, which says crashed"
    assert summary.render(HERE, outcomes, same).splitlines()[2].endswith(said)
    text = markdown.render(outcomes, same)
    assert "**unexpected** `pytorch-2.10-cuda12.9 sm60 sm70`" in text
    assert text.index(said) < text.index("## pytorch")


@pytest.mark.parametrize("size", [192, 2000, 10_000])
def test_markdown_fits_into_a_comment_and_says_what_it_leaves_out(size: int) -> None:
    outcomes = large(size)
    text = markdown.render(outcomes, diff(stored("winter"), outcomes))
    assert len(text) <= markdown.LIMIT
    assert text.index("## What changed") < text.index("## pytorch") < text.index("## What does not work")
    left_out = re.findall(r"\((\d+) more lines are left out here; compatibility.html has them.\)", text)
    assert bool(left_out) is (size > 192)
    assert all(int(number) > 0 for number in left_out)


def test_the_pool_and_the_funnel_are_spared_before_the_matrices() -> None:
    text = markdown.render(large(1920), None)
    assert "## jax" in text
    assert text.count("| 9.2.10 ") == 2
    assert "deadline" not in text.partition("## The funnel")[2].partition("left out")[0]


# --------------------------------------------------------------------------- JUnit


def test_junit_has_a_case_for_each_tuple_and_fails_what_was_tested_and_does_not_work() -> None:
    outcomes = stored("winter")
    root = Xml.fromstring(junit.render(outcomes))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == [o.id for o in outcomes.tuples]
    for o in outcomes.tuples:
        (told,) = list(cases[o.id]) or [None]
        if not o.submitted or o.verdict is Verdict.INCONCLUSIVE:
            assert told is not None
            assert told.tag == "skipped"
        elif o.verdict is Verdict.WORKS:
            assert told is None
        else:
            assert told is not None
            assert (told.tag, told.get("type"), told.get("message")) == ("failure", o.cause, o.reason)
            assert str(told.text).startswith(o.evidence.file)
            assert str(told.text).endswith(o.evidence.excerpt)
    for suite in root:
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
            assert int(suite.get(count, "")) == len(list(suite.iter(tag)))


def test_junit_is_well_formed_whatever_the_texts_are() -> None:
    outcomes = json.loads((SWEEPS / "winter.json").read_text())
    for each in outcomes["tuples"]:
        each["reason"] = each["evidence"]["excerpt"] = PAYLOAD + "\x00\x0b\ufffe]]>"
    read = Outcomes.model_validate(outcomes)
    (told, *_) = Xml.fromstring(junit.render(read)).iter("skipped")
    assert "<script>alert(1)</script>" in (told.get("message") or "")


# --------------------------------------------------------------------------- feed, diff and history


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A results directory with the three sweeps, each reported when it was the newest; and what is no sweep of it."""
    found = tmp_path / "results"
    for name in BEFORE:
        outcomes = stored(name)
        here = found / outcomes.sweep
        here.mkdir(parents=True)
        write_model(here / "outcomes.json", outcomes)
        files.write_tables(here, outcomes, earlier.since_last(here, outcomes))
        feed.write(found, "pool.example.org")
    unfinished = stored("spring").model_copy(update={"state": "unfinished", "sweep": "2027-01-01T000000"})
    for place, outcomes in (("2027-01-01T000000", unfinished), ("tries/2027-01-02T000000", stored("winter"))):
        (found / place).mkdir(parents=True)
        write_model(found / place / "outcomes.json", outcomes)
    (found / "2027-01-03T000000").mkdir()  # a dry run
    (found / "latest").symlink_to(stored("summer").sweep)
    (tmp_path / "sweep.toml").write_text(f'[sweep]\nresults = "{found}"\n[frameworks.pytorch]\n')
    return found


def test_the_feed_has_an_entry_for_each_comparison_the_newest_first(results: Path) -> None:
    root = Xml.parse(results / "feed.atom").getroot()
    titles = [entry.findtext("atom:title", namespaces=ATOM) for entry in root.iterfind("atom:entry", ATOM)]
    differences = [each for name in ("summer", "spring") if isinstance(each := since(name), Diff)]
    assert titles == [changes.headline(each) for each in differences]
    assert root.findtext("atom:updated", namespaces=ATOM) == "2026-11-21T16:06:44+00:00"
    (text, _) = (entry.findtext("atom:content", namespaces=ATOM) for entry in root.iterfind("atom:entry", ATOM))
    assert "the pool has new GPUs" in str(text)


def test_an_entry_keeps_its_id_when_another_one_comes(results: Path) -> None:
    def ids() -> list[str | None]:
        return [each.text for each in Xml.parse(results / "feed.atom").getroot().iterfind("atom:entry/atom:id", ATOM)]

    before = ids()
    assert len(set(before)) == 2
    outcomes = stored("winter").model_copy(update={"sweep": "2027-02-01T000000"})
    here = results / outcomes.sweep
    here.mkdir()
    files.write_tables(here, outcomes, diff(stored("summer"), outcomes))
    feed.write(results, "pool.example.org")
    assert ids()[1:] == before
    (here / places.CHANGES).write_text(
        "{}"
    )  # what cannot be read is left out, and keeps nothing else from being told
    feed.write(results, "pool.example.org")
    assert ids() == before


def test_a_report_is_compared_with_the_finished_sweep_before_it(results: Path) -> None:
    later = results / "2027-01-04T000000"
    found = earlier.since_last(later, stored("winter"))
    assert isinstance(found, Diff)
    assert found.old == stored("summer").sweep  # not the unfinished one, the try or the dry run
    real = stored("winter").model_copy(update={"simulated": False})
    assert earlier.since_last(later, real) == "none to tell, this is the first finished sweep here"
    path = results / stored("summer").sweep / "outcomes.json"
    path.write_text(path.read_text().replace("sweep.outcomes/1", "sweep.outcomes/0"))
    assert "it was written by another version of the sweeper" in str(earlier.since_last(later, stored("winter")))


def test_the_terminal_says_what_changed_before_it_shows_the_matrices() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        terminal.show(stored("spring"), "somewhere", since("spring"))
    said = screen.getvalue()
    assert said.index("Newly broken (unexpected)") < said.index("no-such-slot) !")
    assert "likely upstream: lock cudnn 9.10.2.21 → cudnn 9.13.1.26" in said


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (partial(steps.close_step, dag_status=0), True),
        (partial(steps.close_step, dag_status=2), True),
        (partial(steps.close_step, dag_status=4), False),
        (steps.report_step, False),
    ],
)
def test_the_closing_step_compares_and_tells_the_feed_when_all_went_well(
    tmp_path: Path, step: Callable[[Path], object], told: bool
) -> None:
    first = one(tmp_path, "exit-0", result())
    steps.close_step(first.here, 0)
    later = Sweep(tmp_path, "2026-12-01T000000")
    later.plan([submitted(TUPLE)])
    later.log(("exit-0", TUPLE))
    later.result(TUPLE, result(TUPLE, {"rung": "kernel", "message": "no kernel image is available"}))
    step(later.here)
    assert (later.here / "summary.txt").read_text().startswith(f"Since sweep {first.here.name}: 1 newly broken; 0 as")
    assert Diff.model_validate_json((later.here / places.CHANGES).read_text()).changes[0].id == TUPLE
    assert ("newly broken" in (tmp_path / places.FEED).read_text()) is told


def test_diff_compares_the_last_two_or_those_that_are_named(results: Path) -> None:
    settings = ("--settings", results.parent / "sweep.toml")
    winter, spring, summer = (stored(name) for name in BEFORE)

    def said(old: Outcomes, new: Outcomes) -> str:
        return "\n".join(changes.lines(diff(old, new))) + "\n"

    assert sweep(*settings, "diff") == (0, said(spring, summer))
    assert sweep(*settings, "diff", winter.sweep) == (0, said(winter, summer))
    assert sweep(*settings, "diff", winter.sweep, summer.sweep) == (0, said(winter, summer))
    assert sweep("diff", results / winter.sweep, results / "latest") == (0, said(winter, summer))
    code, text = sweep(*settings, "diff", "--json", winter.sweep, spring.sweep)
    assert code == 0
    assert Diff.model_validate_json(text) == diff(winter, spring)
    code, text = sweep(*settings, "diff", "2020-01-01T000000", spring.sweep)
    assert (code, "2020-01-01T000000/outcomes.json: No such file" in text) == (10, True)


@corpus("outcomes")
def test_damaged_outcomes_end_in_an_answer_or_one_message(results: Path, path: Path) -> None:
    here = results / stored("summer").sweep
    shutil.copy(path, here / "outcomes.json")
    for command in (["diff"], ["diff", "--json"], ["history", "pytorch-2.5-cuda12.4-sm80"]):
        code, text = sweep("--settings", results.parent / "sweep.toml", *command)
        assert code in (0, 10), text
        assert "<script>" not in text or not code


def test_diff_needs_two_sweeps(tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(f'[sweep]\nresults = "{tmp_path}"\n[frameworks.pytorch]\n')
    code, text = sweep("--settings", tmp_path / "sweep.toml", "diff")
    assert (code, "has no two finished sweeps to compare; name their directories" in text) == (10, True)


def test_history_has_a_line_for_each_finished_sweep_the_newest_first(results: Path) -> None:
    settings = ("--settings", results.parent / "sweep.toml")
    code, text = sweep(*settings, "history", "pytorch-2.10-cuda12.9-sm70")
    assert code == 0
    lines = text.splitlines()
    assert [line.split()[0] for line in lines] == [stored(name).sweep for name in ("summer", "spring", "winter")]
    assert [re.sub(r"  .*", "", line[19:]) for line in lines] == ["✗ crashed = †", "✗ crashed = †", "✓ works"]
    assert "Tesla V100-SXM2-32GB (simulated), driver 580.65.06" in lines[0]
    _, text = sweep(*settings, "history", "jax-0.6-cuda12.9-sm100")
    assert text.splitlines()[2].startswith(f"{stored('winter').sweep}  -  no such tuple in this sweep")
    code, text = sweep(*settings, "history", "pytorch-9-cuda12.9-sm70")
    assert (code, "no finished sweep has a tuple pytorch-9-cuda12.9-sm70" in text) == (10, True)


# --------------------------------------------------------------------------- columns


def test_every_column_is_described() -> None:
    rows = list(columns.described())
    assert len({name for name, _, _ in rows}) == len(rows)
    assert [name for name, kind, meaning in rows if not meaning or kind == "JSON"] == []


def test_the_columns_stand_beside_the_results_and_behind_an_option() -> None:
    root = places.checkout()
    assert root is not None
    assert columns.markdown() in (root / "results" / "README.md").read_text()
    assert sweep("report", "--columns") == (0, columns.markdown() + "\n")


def test_the_change_stands_in_its_column(results: Path) -> None:
    rows = json.loads((results / stored("spring").sweep / "compatibility.json").read_text())["rows"]
    assert {row["id"]: row["change"] for row in rows}["pytorch-2.10-cuda12.9-sm70"] == "newly broken"
    assert sum(row["change"] is not None for row in rows) == 19


# --------------------------------------------------------------------------- the page, as a file


def test_gpu_classes_of_one_model_are_rows_told_apart_by_their_drivers() -> None:
    winter = stored("winter")
    classes = [c for c in winter.pool.classes if c.capability == "8.0" and not c.mig]
    classes = [*classes, classes[0].model_copy(update={"driver": "580.1"})]
    base = next(o for o in winter.tuples if o.capability == "8.0" and o.verdict is Verdict.WORKS)
    tuples = tuple(base.model_copy(update={"gpu": c.label, "id": f"{base.id}-{c.label}"}) for c in classes)
    pool = winter.pool.model_copy(update={"classes": tuple(classes)})
    (found,) = heatmap.of(winter.model_copy(update={"tuples": tuples, "pool": pool}), ())
    assert [(row.name, row.devices, row.models) for row in found.rows] == [
        ("sm80", 2, ("NVIDIA A100-SXM4-80GB, driver 550.54.15",)),
        ("sm80", 2, ("NVIDIA A100-SXM4-80GB, driver 580.1",)),
    ]


def test_the_page_runs_and_styles_nothing_but_its_own() -> None:
    text = page.render(stored("spring"), since("spring"), HERE)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; ")
    for name, tag in (("script", "<script>"), ("style", "<style>")):
        (own,) = re.findall(rf"{tag}(.*?)</{name}>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    assert not re.findall(r"<(?:script|link|img|iframe|object)[^>]*(?:src|href)=\"(?!data:,\")", text)


def test_the_data_of_the_page_cannot_end_its_element() -> None:
    outcomes = stored("winter")
    bad = "</script><!--<script>&\u2028\u2029"
    outcomes = outcomes.model_copy(
        update={"tuples": tuple(o.model_copy(update={"reason": bad}) for o in outcomes.tuples)}
    )
    text = pagedata.encode(outcomes, None, HERE)
    assert not set(text) & set("<>&\u2028\u2029")
    data = json.loads(text)
    assert {data["texts"][number] for number in data["columns"]["reason"]} == {bad}


def test_a_sweep_without_a_table_has_a_page_that_says_so(tmp_path: Path) -> None:
    files.write_failure(tmp_path, "planning failed: <b>no</b> pool")
    assert (
        "has no table: planning failed: &lt;b&gt;no&lt;/b&gt; pool" in (tmp_path / "compatibility.html").read_text()
    )


def test_a_report_that_can_no_longer_be_compared_leaves_no_old_changes(tmp_path: Path) -> None:
    difference = since("spring")
    assert isinstance(difference, Diff)
    write_model(tmp_path / places.CHANGES, difference)
    files.write_tables(tmp_path, stored("spring"), "not compared")
    assert not (tmp_path / places.CHANGES).exists()


def test_an_unfinished_sweep_leaves_nothing_for_the_feed(tmp_path: Path) -> None:
    files.write_tables(tmp_path, stored("spring").model_copy(update={"state": "unfinished"}), since("spring"))
    assert not (tmp_path / places.CHANGES).exists()
    assert "What changed since" in (tmp_path / "compatibility.md").read_text()


def test_causes_of_the_page_are_the_closed_list() -> None:
    data = json.loads(pagedata.encode(stored("winter"), None, HERE))
    assert list(data["causes"]) == [cause.value for cause in Cause]
