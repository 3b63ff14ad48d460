"""Tables, pages and the terminal view, with the most hostile text that a node, a pool or a log could bring in."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import threading

import pytest
from markdown_it import MarkdownIt
from sweepdir import POOL, TUPLE, Sweep, one, result, settled, submitted

from sweep.errors import ResultsError
from sweep.files import read_model
from sweep.model import Cause, PoolProblem, Verdict
from sweep.report import columns, files, live_view, markdown, summary, table, terminal
from sweep.schema import Outcomes

# One string per way in; each is looked for in the output as plain text.
HOSTILE = [
    "| a | b |\n|---|---|",
    "<script>alert(1)</script> <b>bold</b> <!-- -->",
    "`code` ```fence``` ``",
    "[link](http://example.org) ![image](x.png) <http://example.org>",
    "# title\n## other\n- item\n1. one\n> quote\n***",
    "*bold* _under_ ~~gone~~ \\escaped\\ &lt;entity&gt; &amp;",
    "[bold red]markup[/bold red] [/] [/nothing]",
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b31m",
    "a\x00b\x08c\x7fd\x85e\u2028f\u202eg\u200bh\r\ni",
    "=cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
]


def seen(text: str) -> str:
    """How hostile text may be shown: on one line, without control characters."""
    return " ".join(
        "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text).split()
    )


def shown(outcomes: Outcomes) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        terminal.show(outcomes, "somewhere")
        terminal.show_pool(outcomes.pool)
    return screen.getvalue()


def hostile_sweep(tmp_path, text: str) -> tuple[Sweep, Outcomes]:
    """A sweep into which one text has come by every road."""
    (one_class,) = POOL.classes
    pool = POOL.model_dump() | {
        "classes": (one_class.model_dump() | {"device": text, "driver": text, "machines": (text,)},),
        "problems": (PoolProblem(slot=text, machine=text, problem=text).model_dump(),),
    }
    ids = [f"pytorch-2.{n}-cuda12.4-sm80" for n in range(5)]
    sweep = Sweep(tmp_path)
    sweep.plan([*map(submitted, ids[:4]), settled(ids[4], Cause.UNSATISFIABLE, reason=text)], pool=pool)
    sweep.log(("exit-0", ids[0]), ("exit-0", ids[1]), ("held-by-hand", ids[2]), ("removed-by-hand", ids[3]))
    log = sweep.here / "events.log"
    line = text.replace("\n", " ").replace("\r", " ").replace("\0", "")  # HTCondor writes lines of C strings
    recorded = log.read_text(encoding="utf-8").replace("not needed", line).replace("maintenance", line)
    recorded = recorded.replace("A100-SXM4", line.replace('"', ""))
    recorded = recorded.replace(".sim.example\n\tAvailableGPUs", f".sim.example {line}\n\tAvailableGPUs")
    log.write_text(recorded, encoding="utf-8")
    sweep.result(ids[0], result(ids[0], {"rung": "kernel", "exception": text, "message": text}, stderr=text))
    broken = {"name": "install", "ok": False, "seconds": 1.0, "kind": "count", "message": text}
    sweep.result(ids[1], result(ids[1], steps=[broken]))
    outcomes = sweep.classify()
    files.write_tables(sweep.here, outcomes)
    return sweep, outcomes


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_control_characters_reach_no_file_and_no_terminal(tmp_path, text):
    sweep, outcomes = hostile_sweep(tmp_path, text)
    names = ("compatibility.md", "compatibility.csv", "compatibility.json", "summary.txt", "outcomes.json")
    pages = {name: (sweep.here / name).read_text(encoding="utf-8") for name in names}
    pages["terminal"] = shown(outcomes)
    for name, page in pages.items():
        strange = {c for c in page if not c.isprintable()} - {"\n", "\r" if name.endswith("csv") else "\n"}
        assert not strange, (name, strange)
    # JSON can hide them behind an escape.
    for name in ("compatibility.json", "outcomes.json"):
        hidden = [c for c in texts_of(json.loads(pages[name])) if not c.isprintable() and c not in "\n\t"]
        assert not hidden, name
    assert [o.cause for o in outcomes.tuples] == [
        Cause.NO_RESULT, Cause.INSTALL_FAILED, Cause.HELD, Cause.REMOVED, Cause.UNSATISFIABLE
    ]  # fmt: skip


def texts_of(data) -> str:
    if isinstance(data, dict):
        return "".join(k + texts_of(v) for k, v in data.items())
    if isinstance(data, list):
        return "".join(map(texts_of, data))
    return data if isinstance(data, str) else ""


def leaves(tokens):
    for token in tokens:
        yield token
        yield from leaves(token.children or [])


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_markdown_shows_hostile_text_as_text(tmp_path, text):
    """Read by a real Markdown parser that takes HTML, links, images, tables and strikethrough for what they are."""
    sweep, outcomes = hostile_sweep(tmp_path, text)
    page = (sweep.here / "compatibility.md").read_text(encoding="utf-8")
    tokens = list(leaves(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(page)))
    kinds = {token.type for token in tokens}
    assert not kinds & {
        "html_block",
        "html_inline",
        "link_open",
        "image",
        "blockquote_open",
        "fence",
        "em_open",
        "s_open",
        "hr",
    }
    # Ours, and nobody else's: the titles, one bold warning, the tables.
    titles = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    calm_page = markdown.render(outcomes.model_copy(update={"pool": POOL, "tuples": tuple(
        o.model_copy(update={"reason": "calm"}) for o in outcomes.tuples)}))  # fmt: skip
    calm_tokens = list(leaves(MarkdownIt("commonmark").enable("table").parse(calm_page)))
    assert titles == [calm_tokens[n + 1].content for n, t in enumerate(calm_tokens) if t.type == "heading_open"]
    for kind in ("strong_open", "table_open", "tr_open", "td_open", "th_open", "list_item_open", "code_inline"):
        assert [t.type for t in tokens].count(kind) == [t.type for t in calm_tokens].count(kind), kind
    # And the text itself is there to be read, in the pool's table, a failure and the pool's problems.
    said = ["".join(c.content for c in t.children) for t in tokens if t.type == "inline"]
    assert sum(seen(text) in line for line in said) >= 4


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_the_terminal_takes_nothing_for_markup(tmp_path, text):
    _, outcomes = hostile_sweep(tmp_path, text)
    flat = "".join(shown(outcomes).split())
    assert "".join(seen(text).split())[:40] in flat


@pytest.mark.parametrize("start", ["=1+1", "+1+1", "-1+1", "@SUM(1)", "=cmd|' /C calc'!A0"])
def test_csv_holds_no_formulas(tmp_path, start):
    sweep, outcomes = hostile_sweep(tmp_path, start)
    with (sweep.here / "compatibility.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = [cell for row in rows for cell in row.values() if cell]
    assert not [cell for cell in cells if cell[0] in "=+-@\t\r"]
    assert rows[4]["reason"] == f"'{start}"
    assert rows[4]["id"] == outcomes.tuples[4].id


def test_csv_and_json_have_the_same_rows_and_every_field(tmp_path):
    sweep = one(tmp_path, "retried", result())
    outcomes = sweep.classify()
    files.write_tables(sweep.here, outcomes)
    data = json.loads((sweep.here / "compatibility.json").read_text())
    assert data["schema"] == "sweep.table/1"
    (row,) = data["rows"]
    assert list(row) == [name for name, _, _ in columns.described()]
    assert (row["id"], row["attempts"], row["verdict"]) == (TUPLE, 2, "inconclusive")
    assert isinstance(row["evidence_line"], int)
    with (sweep.here / "compatibility.csv").open(newline="") as file:
        (cells,) = csv.DictReader(file)
    assert list(cells) == list(row)
    assert cells["machine"] == row["machine"]


def test_outcomes_carry_their_schema_and_another_one_is_refused(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    sweep.classify()
    path = sweep.here / "outcomes.json"
    data = json.loads(path.read_text())
    assert next(iter(data)) == "schema"
    assert data["schema"] == "sweep.outcomes/1"
    assert read_model(path, Outcomes, "sweep classify").sweep == sweep.here.name
    path.write_text(json.dumps(data | {"schema": "sweep.outcomes/2"}))
    with pytest.raises(Exception, match="another version of the sweeper"):
        read_model(path, Outcomes, "sweep classify")


# --------------------------------------------------------------------------- what the tables say


def test_a_cell_has_glyph_and_word_and_parentheses_when_no_job_was_needed(tmp_path):
    sweep = Sweep(tmp_path)
    ids = [
        "pytorch-2.5-cuda12.4-sm80",
        "pytorch-2.5-cuda12.4-sm90",
        "pytorch-2.5-cuda12.4-sm120",
        "pytorch-2.10-cuda12.4-sm80",
    ]
    sweep.plan(
        [submitted(ids[0]), settled(ids[1], Cause.NO_SUCH_SLOT), submitted(ids[2]), settled(ids[3], Cause.CPU_BUILD)]
    )
    sweep.log(("exit-0", ids[0]), ("never-matched", ids[2]))
    sweep.result(ids[0], result(ids[0]))
    outcomes = sweep.classify()
    matrix = table.matrix(table.parts(outcomes)["pytorch"])
    assert matrix.places == ("8.0", "9.0", "12.0")  # by number, not by letter
    assert list(matrix.rows) == [("2.5", "12.4"), ("2.10", "12.4")]  # in the order of the plan
    assert matrix.rows["2.5", "12.4"] == ("✓ works", "(○ no-such-slot)", "○ waited-out")
    assert matrix.rows["2.10", "12.4"] == ("(△ cpu-build)", "", "")  # not a candidate there
    page = markdown.render(outcomes)
    assert "sm80 ×2" in page
    assert "sm90 ×0" in page
    assert "1 of 4 tuples work" in page
    assert "| 2.10 " in page
    assert "(△ cpu-build)" in shown(outcomes)


def test_a_framework_without_any_build_is_told_in_one_sentence(tmp_path):
    sweep = Sweep(tmp_path)
    sweep.plan(
        [
            settled(f"jax-0.{v}-cuda{c}-sm{s}", Cause.NO_BUILD)
            for v in (6, 7)
            for c in ("11.8", "12.4")
            for s in (80, 90)
        ]
    )
    outcomes = sweep.classify()
    said = "(△ no-build) on every GPU: 0.6 for CUDA 11.8, 12.4; 0.7 for CUDA 11.8, 12.4"
    part = table.parts(outcomes)["jax"]
    assert table.never_built(part) == said
    assert said in shown(outcomes)
    assert not table.matrix(part).rows
    files.write_tables(sweep.here, outcomes)
    assert "no-build" in (sweep.here / "compatibility.md").read_text()


def test_failures_are_told_once_each_and_none_is_left_out(tmp_path):
    sweep = Sweep(tmp_path)
    ids = [f"pytorch-2.5-cuda12.4-sm{s}" for s in (70, 80, 90)]
    sweep.plan([*map(submitted, ids), settled("jax-0.6-cuda12.4-sm80", Cause.UNSATISFIABLE)])
    sweep.log(*(("exit-0", i) for i in ids))
    for i in ids[:2]:
        sweep.result(i, result(i, {"rung": "kernel", "message": f"no kernel image is available for {i}"}))
    sweep.result(ids[2], result(ids[2]))
    outcomes = sweep.classify()
    groups = table.failures(outcomes)
    assert [g.cause for g in groups] == [Cause.UNSATISFIABLE, Cause.NO_KERNEL_IMAGE]
    assert groups[1].names == ["pytorch-2.5-cuda12.4 sm70 sm80"]
    assert groups[1].evidence.startswith(f"tuples/{ids[0]}/result.json:")
    page = markdown.render(outcomes)
    assert page.count("pytorch-2.5-cuda12.4 sm70 sm80") == 1
    assert "Nothing: every tuple works." not in page


def test_when_everything_works_the_page_says_so(tmp_path):
    outcomes = one(tmp_path, "exit-0", result()).classify()
    assert outcomes.tuples[0].verdict is Verdict.WORKS
    assert "Nothing: every tuple works." in markdown.render(outcomes)


@pytest.mark.parametrize("simulated", [True, False])
def test_simulated_gpus_are_named_on_every_page(tmp_path, simulated):
    sweep = one(tmp_path, "exit-0", result(), simulated=simulated)
    outcomes = sweep.classify()
    files.write_tables(sweep.here, outcomes)
    assert ("GPUs of this pool are simulated" in markdown.render(outcomes)) is simulated
    assert ("SIMULATED GPUs" in shown(outcomes)) is simulated
    assert ("simulated GPUs" in (sweep.here / "summary.txt").read_text()) is simulated
    (row,) = json.loads((sweep.here / "compatibility.json").read_text())["rows"]
    assert row["simulated"] is simulated


def test_notes_are_on_every_page(tmp_path):
    sweep = one(tmp_path, "exit-0", result())
    path = sweep.here / "events.log"
    path.write_bytes(b"garbage\n...\n" + path.read_bytes())
    outcomes = sweep.classify()
    for page in (markdown.render(outcomes), shown(outcomes), summary.render(sweep.here, outcomes)):
        assert "the event log is damaged" in page


def test_a_sweep_without_a_table_says_so_in_the_tables_place(tmp_path):
    sweep = Sweep(tmp_path)
    files.write_failure(sweep.here, "planning failed: <b>no</b> pool | here")
    assert "has no table: planning failed: <b>no</b> pool" in (sweep.here / "summary.txt").read_text()
    page = (sweep.here / "compatibility.md").read_text()
    assert not {"html_inline", "html_block"} & {t.type for t in leaves(MarkdownIt("commonmark").parse(page))}


# --------------------------------------------------------------------------- latest


def test_latest_moves_forward_and_never_back(tmp_path):
    for month, newest in (("05", "05"), ("02", "05"), ("08", "08"), ("08", "08")):
        here = tmp_path / f"2026-{month}-01T000000"
        here.mkdir(exist_ok=True)
        files.point_latest(here)
        assert (tmp_path / "latest").readlink().name == f"2026-{newest}-01T000000"
        assert not (tmp_path / "latest").readlink().is_absolute()
    assert {p.name for p in tmp_path.iterdir() if p.name.startswith(".")} == set()


def test_a_dangling_latest_gives_way_to_a_newer_sweep(tmp_path):
    (tmp_path / "latest").symlink_to("2026-01-01T000000")
    here = tmp_path / "2026-02-01T000000"
    here.mkdir()
    files.point_latest(here)
    assert (tmp_path / "latest").resolve() == here


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_latest_never_replaces_what_is_no_link(tmp_path, kind):
    latest = tmp_path / "latest"
    if kind == "directory":
        (latest / "precious").mkdir(parents=True)
    else:
        latest.write_text("precious")
    here = tmp_path / "2026-02-01T000000"
    here.mkdir()
    with pytest.raises(ResultsError, match="is not a link; move it away"):
        files.point_latest(here)
    assert (latest / "precious").is_dir() if kind == "directory" else latest.read_text() == "precious"


def test_latest_resolves_at_every_moment(tmp_path):
    names = [f"2026-01-01T{n:06d}" for n in range(300)]
    for name in names:
        (tmp_path / name).mkdir()
    files.point_latest(tmp_path / names[0])
    over = threading.Event()
    missing = []

    def look():
        while not over.is_set():
            if not (tmp_path / "latest").is_dir():
                missing.append(1)

    reader = threading.Thread(target=look)
    reader.start()
    for name in names:
        files.point_latest(tmp_path / name)
    over.set()
    reader.join()
    assert not missing
    assert (tmp_path / "latest").readlink().name == names[-1]


# --------------------------------------------------------------------------- live


def test_progress_is_a_plain_line_where_there_is_no_terminal_and_only_when_it_changed(tmp_path, capsys):
    sweep = one(tmp_path, "unfinished")
    with live_view.follow(sweep.here) as look:
        look()
        look()
        sweep.log(("exit-0", TUPLE))
        look()
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{sweep.here.name}: running; 1 running; 0 settled without a job",
        f"{sweep.here.name}: classifying; 1 done; 0 settled without a job",
    ]
