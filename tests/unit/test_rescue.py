"""Taking up an interrupted sweep: DAGMan is told what is done, whatever it knows itself."""

from pathlib import Path

import pytest
from sweepdir import Sweep, submitted

from sweep import rescue

DONE, KILLED, REMOVED = (f"pytorch-2.5-cuda12.4-sm{sm}" for sm in (75, 80, 90))
DONE_NODE = "DONE pytorch-2_5-cuda12_4-sm75"


@pytest.fixture
def interrupted(tmp_path: Path) -> Sweep:
    """A sweep whose DAGMan was killed: one tuple is done, one is not, one is removed."""
    sweep = Sweep(tmp_path)
    sweep.plan([submitted(name) for name in (DONE, KILLED, REMOVED)])
    sweep.log(("exit-0", DONE), ("signal", KILLED), ("removed-by-hand", REMOVED))
    for name in ("tuples.dag", "tuples.dag.lock", "sweep.dag.lock"):
        (sweep.here / name).write_text("")
    return sweep


def done(path: Path) -> list[str]:
    """What a rescue DAG says, less its comments."""
    return [line for line in path.read_text().splitlines() if not line.startswith("#")]


def rescues(sweep: Sweep) -> list[str]:
    return sorted(path.name for path in sweep.here.glob("*.rescue*"))


def test_a_sweep_without_rescue_dags_gets_them_and_only_finished_tuples_are_done(interrupted: Sweep) -> None:
    rescue.prepare(interrupted.here)
    assert rescues(interrupted) == ["sweep.dag.rescue001", "tuples.dag.rescue001"]
    assert done(interrupted.here / "sweep.dag.rescue001") == []
    assert done(interrupted.here / "tuples.dag.rescue001") == [DONE_NODE]


def test_locks_of_a_dagman_that_was_killed_are_taken_away(interrupted: Sweep) -> None:
    rescue.prepare(interrupted.here)
    assert list(interrupted.here.glob("*.lock")) == []


def test_a_rescue_dag_that_knows_as_much_stays_the_newest(interrupted: Sweep) -> None:
    (interrupted.here / "sweep.dag.rescue001").write_text("")
    (interrupted.here / "tuples.dag.rescue001").write_text(f"# DAGMan's own\n{DONE_NODE}\n")
    rescue.prepare(interrupted.here)
    assert rescues(interrupted) == ["sweep.dag.rescue001", "tuples.dag.rescue001"]
    assert (interrupted.here / "tuples.dag.rescue001").read_text() == f"# DAGMan's own\n{DONE_NODE}\n"


def test_a_rescue_dag_that_knows_less_is_followed_by_one_that_knows_both(interrupted: Sweep) -> None:
    """A log that lost its beginning does not take back what DAGMan has written down."""
    (interrupted.here / "tuples.dag.rescue002").write_text("DONE pytorch-2_5-cuda12_4-sm90\n")
    rescue.prepare(interrupted.here)
    assert done(interrupted.here / "tuples.dag.rescue003") == [DONE_NODE, "DONE pytorch-2_5-cuda12_4-sm90"]


def test_where_planning_was_interrupted_nothing_is_said_of_the_tuples(tmp_path: Path) -> None:
    (tmp_path / "sweep.dag.lock").write_text("")
    rescue.prepare(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.dag.rescue001"]


def test_tuples_that_their_own_dag_takes_for_done_are_looked_at_again(interrupted: Sweep) -> None:
    """All nodes of tuples.dag ended well, and the sweep was not closed: DAGMan would only try to close it again."""
    (interrupted.here / "sweep.dag.rescue001").write_text("DONE tuples\n")
    rescue.prepare(interrupted.here)
    assert rescues(interrupted) == ["sweep.dag.rescue001", "sweep.dag.rescue002", "tuples.dag.rescue001"]
    assert done(interrupted.here / "sweep.dag.rescue002") == []
