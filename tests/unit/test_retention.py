"""What a results directory keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_advise import gpu, sweep_of

from sweep.errors import ResultsError
from sweep.files import write_model
from sweep.retention import reduce, retention

WHOLE = {
    "outcomes.json", "settings.json", "summary.txt", "compatibility.md", "compatibility.csv", "compatibility.html",
    "changes.json", "plan.json", "events.log", "sweep.dag", "tuples/t/result.json", "environments/e/explicit.txt",
}  # fmt: skip
TABLES = {"compatibility.md", "compatibility.csv", "compatibility.html"}
REDUCED = {"outcomes.json", "changes.json", "settings.json", "summary.txt", *TABLES}


def a_sweep(results: Path, name: str, state: str = "complete") -> Path:
    here = results / name
    for file in WHOLE:
        (here / file).parent.mkdir(parents=True, exist_ok=True)
        (here / file).write_text("x" * 100)
    write_model(here / "outcomes.json", sweep_of([gpu("8.0")]).model_copy(update={"state": state}))
    return here


def files(here: Path) -> set[str]:
    return {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}


def names(n: int) -> list[str]:
    return [f"2026-{month:02}-01T060000" for month in range(1, n + 1)]


def test_the_newest_stay_whole_and_older_ones_keep_what_history_reads(tmp_path: Path) -> None:
    sweeps = [a_sweep(tmp_path, name) for name in names(4)]
    (tmp_path / "latest").symlink_to(sweeps[-1].name)
    found = retention(tmp_path, 2, running=())
    assert [each.here for each in found.reductions] == [sweeps[1], sweeps[0]]
    assert {each.size for each in found.reductions} == {100 * len(WHOLE - REDUCED)}
    assert [files(here) for here in sweeps] == [WHOLE] * 4
    for each in found.reductions:
        reduce(each)
    assert [files(here) for here in sweeps] == [REDUCED, REDUCED, WHOLE, WHOLE]
    again = retention(tmp_path, 2, running=())
    assert again.reductions == ()
    assert again.stays[sweeps[0]] == "reduced already"


def test_what_runs_what_never_ended_and_latest_stay_and_do_not_count(tmp_path: Path) -> None:
    old, latest, unended, removed, running, newest = (a_sweep(tmp_path, name) for name in names(6))
    (unended / "outcomes.json").unlink()
    a_sweep(tmp_path, removed.name, "unfinished")
    (tmp_path / "latest").symlink_to(latest.name)
    found = retention(tmp_path, 1, running={str(running)})
    assert [each.here for each in found.reductions] == [old]
    assert found.stays[running] == "it is in the queue"
    assert found.stays[unended].startswith("it never ended")
    assert found.stays[removed] == found.stays[unended]
    assert found.stays[latest] == "`latest` points at it"
    assert newest in found.stays


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    a_sweep(tmp_path / "tries", "2026-01-01T060000")
    a_sweep(tmp_path, "by-hand")
    a_sweep(tmp_path, "example")
    (tmp_path / "2026-01-01T060000").mkdir()
    (tmp_path / "2026-02-01T060000").symlink_to("by-hand")
    a_sweep(tmp_path, "2026-03-01T060000")
    found = retention(tmp_path, 1, running=())
    assert found.reductions == ()
    assert [here.name for here in found.stays] == ["2026-03-01T060000", "2026-01-01T060000"]
    assert found.stays[tmp_path / "2026-01-01T060000"].startswith("it never ended")


def test_links_inside_a_sweep_are_removed_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    old, _ = (a_sweep(tmp_path, name) for name in names(2))
    (old / "tuples" / "link").symlink_to(outside)
    (old / "link").symlink_to(outside)
    for each in retention(tmp_path, 1, running=()).reductions:
        reduce(each)
    assert (outside / "precious").is_file()
    assert files(old) == REDUCED


def test_the_newest_cannot_be_given_up(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="keep at least 1"):
        retention(tmp_path, 0, running=())
