"""sweep.toml, framework files and tables of facts, damaged or made up."""

from __future__ import annotations

import json
import shutil
import string
from pathlib import Path

import pytest
from hostile import CORPUS, TEXTS, VALUES, around, corpus, fuzz, sweep
from hypothesis import given
from hypothesis import strategies as st

from sweep import places
from sweep.config import load

COMMANDS = (
    ["new"],
    ["rules"],
    ["status"],
    ["explain", "x"],
    ["try", "pytorch", "2.5", "--cuda", "12.4", "--capability", "8.0"],
)
# Settings that are right as settings: what they name is not there, or will not be found on this machine.
RIGHT = {"device-as-configuration", "long-results", "long-facts"}
TABLES = sorted(path for path in (CORPUS / "facts").iterdir() if path.is_dir())


@corpus("settings-toml")
def test_bad_settings_are_refused_and_named(path, tmp_path, monkeypatch):
    here = tmp_path / "a" / "b"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    shutil.copy(path, "sweep.toml")
    before = around(here)
    for command in COMMANDS:
        code, said = sweep(*command)
        assert code in ({0, 3, 4, 8, 10} if path.stem in RIGHT else {3})
        assert "owned owned.sub" not in said.splitlines()
    assert around(here) == before
    assert not list(here.rglob("owned*"))


@corpus("frameworks")
def test_a_bad_framework_file_is_refused_and_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    shutil.copy(path, "own/pytorch.toml")
    Path("sweep.toml").write_text('[sweep]\nframework_files = "own"\n[frameworks.pytorch]\n')
    code, said = sweep("new")
    assert code == 3
    assert f"{tmp_path}/own/pytorch.toml" in said
    assert not Path("owned").exists()


@pytest.mark.parametrize("path", TABLES, ids=lambda p: p.name)
def test_a_bad_table_of_facts_is_refused_and_named(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text(f'[rules]\nfacts = "{path}"\n[frameworks.pytorch]\n')
    code, said = sweep("rules")
    assert code == 3
    assert str(path) in said


@pytest.mark.parametrize("value", ["../../x", "\x1b[31m", "2.5\n", "", "$(touch owned)", "a b"])
def test_a_hostile_word_on_the_command_line_is_refused(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sweep.toml").write_text("[frameworks.pytorch]\n")
    for command in (
        ["try", value, "2.5", "--cuda", "12.4", "--capability", "8.0"],
        ["try", "pytorch", value, "--cuda", "12.4", "--capability", "8.0"],
        ["try", "pytorch", "2.5", "--cuda", value, "--capability", "8.0"],
        ["try", "pytorch", "2.5", "--cuda", "12.4", "--capability", value],
        ["new", "--only", value],
        ["builds", value],
    ):
        assert sweep(*command)[0] in (2, 3)
    assert sweep("explain", value)[0] == 10
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value).replace("\x7f", "\\u007f")
    return {None: '""', True: "true", False: "false"}.get(value, str(value))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every setting that there is."""
    path = tmp_path_factory.mktemp("settings") / "sweep.toml"
    path.write_text('[frameworks.pytorch]\n[payload]\ncommand = "true"\n')
    found = load(path).model_dump(mode="json")
    own = {name: found.pop(name) for name in ("results", "framework_files", "pack_logs")}
    assert len(found) > 8
    return {"sweep": own} | found


@fuzz(100)
@given(data=st.data())
def test_no_settings_whatever_make_a_traceback(data, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = data.draw(st.sampled_from(sorted(whole)))
    key = data.draw(st.sampled_from(sorted(whole[table]) or ["x"]) | TEXTS)
    value = data.draw(VALUES)
    written = f"[{table}]\n{_toml(key)} = {_toml(value)}\n" + (
        "" if table == "frameworks" else "[frameworks.pytorch]\n"
    )
    Path("sweep.toml").write_text(written)
    assert sweep("rules")[0] in (0, 3, 8)
    assert sweep("explain", "x")[0] in (3, 8, 10)


@fuzz(100)
@given(data=st.data())
def test_no_framework_file_whatever_makes_a_traceback(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = (places.frameworks() / "pytorch.toml").read_text().splitlines(keepends=True)
    number = data.draw(st.integers(0, len(lines) - 1))
    key, equals, _ = lines[number].partition("=")
    lines[number] = (
        f"{key}= {_toml(data.draw(VALUES))}\n" if equals else data.draw(st.text(string.printable, max_size=20))
    )
    Path("own").mkdir(exist_ok=True)
    Path("own/pytorch.toml").write_text("".join(lines))
    Path("sweep.toml").write_text('[sweep]\nframework_files = "own"\n[frameworks.pytorch]\n')
    assert sweep("new")[0] in (3, 4)  # right or wrong, and then there is no pool
