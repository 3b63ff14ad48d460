"""Reading result.json; what a bad one does to a verdict is in test_verdict."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweepdir import TUPLE, result

from sweep.model import Rung
from sweep.results import SIZE_LIMIT, Read, Unusable, read_result
from sweep.schema import ProbeResult, RungOutcome


def read(directory, content):
    path = directory / "result.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return read_result(path, TUPLE)


def test_a_good_result_is_read_whole(tmp_path):
    found = read(tmp_path, result() | {"a_later_field": 1})
    assert isinstance(found, ProbeResult)
    assert found.framework is not None
    assert (found.tuple, found.state, found.framework.capability) == (TUPLE, "done", "8.0")
    assert [record.outcome for record in found.rungs] == [RungOutcome.PASSED] * len(Rung)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "result.json is empty"),
        (b"{", "result.json is not a result: Invalid JSON"),
        (b"\xff\xfe", "result.json is not a result: Invalid JSON"),
        (b" " * (SIZE_LIMIT + 1), f"result.json has {SIZE_LIMIT + 1} bytes, more than {SIZE_LIMIT}"),
        (result() | {"tuple": "x"}, "result.json belongs to another tuple"),
        (result() | {"schema": "sweep.result/9"}, "result.json is not a result: schema: "),
        (result() | {"state": 1}, "result.json is not a result: state: "),
        (result() | {"stderr": None}, "result.json is not a result: stderr: "),
        (
            result() | {"steps": [{"name": "node", "ok": "yes", "seconds": 1}]},
            "result.json is not a result: steps.0.ok: ",
        ),
    ],
)
def test_why_a_result_cannot_be_used(tmp_path, content, why):
    found = read(tmp_path, content)
    assert isinstance(found, Unusable)
    assert found.why.startswith(why)
    assert len(found.why) < 300


def test_what_the_file_says_never_gets_into_the_complaint(tmp_path):
    for hostile in (result() | {"state": "\x1b[31m"}, result() | {"\x1b[31m": 1, "state": 2}, b'{"\x1b[31m'):
        found = read(tmp_path, hostile)
        assert isinstance(found, Unusable)
        assert found.why.isprintable()


def test_a_missing_result_and_one_below_a_file(tmp_path):
    assert read_result(tmp_path / "result.json", TUPLE) == Unusable("no result.json came back")
    (tmp_path / "file").write_text("")
    found = read_result(tmp_path / "file" / "result.json", TUPLE)
    assert isinstance(found, Unusable)
    assert found.why == "result.json cannot be read: Not a directory"


@settings(max_examples=40)
@given(st.text(max_size=50))
def test_control_characters_are_replaced_in_every_text(text):
    data = result(broken={"rung": "copy", "message": text, "exception": text})
    data |= {"stderr": text, "node": {"hostname": text, "devices": [{"name": text}]}, "framework": {"version": text}}
    found = ProbeResult.model_validate_json(json.dumps(data))
    record = next(r for r in found.rungs if r.rung == "copy")
    for shown in (record.message, record.exception, found.stderr, found.node.hostname, found.node.devices[0].name):
        assert shown is not None
        assert len(shown) == len(text)
        assert all(c.isprintable() or c in "\n\t" for c in shown)
        assert [c for c in shown if c.isprintable() and c != "\N{REPLACEMENT CHARACTER}"] == [
            c for c in text if c.isprintable() and c != "\N{REPLACEMENT CHARACTER}"
        ]


@pytest.mark.parametrize("text", ["plain", 'with "quotes" and \\', "ümlaut – ✓", "two\nlines"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_the_line_of_a_text(text, ascii_only):
    data = json.dumps({"a": 1, "message": text}, indent=1, ensure_ascii=ascii_only).encode()
    read = Read(Unusable("whatever it says"), data)
    assert read.line_of(text) == 3
    assert read.line_of("something else") is None
    assert read.line_of("") is None
    assert Read(Unusable("no result.json came back")).line_of(text) is None
