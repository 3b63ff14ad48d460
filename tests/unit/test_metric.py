"""What the workload came to: columns of the table, and the matrix of one metric."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from sweepdir import TUPLE, Sweep, result, settled, submitted

from sweep.cli import cli
from sweep.errors import SettingsError
from sweep.model import Cause
from sweep.report import columns, metric, table

OTHER = "pytorch-2.4-cuda12.4-sm80"
MATMUL = {"metric": "matmul_tflops", "unit": "TFLOP/s", "size": 4096, "value": 52.512, "cpu": 0.5, "ratio": 105.02}
OWN = {"metric": "words_per_s", "unit": "words/s", "size": 1, "value": 7.0, "cpu": 3.5, "ratio": 2.0}


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    made = Sweep(tmp_path)
    made.plan([submitted(TUPLE), submitted(OTHER), settled("jax-0.6-cuda12.9-sm80", Cause.NO_SUCH_SLOT)])
    made.log(("exit-0", TUPLE), ("exit-0", OTHER))
    made.result(TUPLE, result(speed=[MATMUL, OWN]))
    made.result(OTHER, result(OTHER))
    return made


def test_each_built_in_metric_has_columns_and_they_are_empty_where_nothing_was_measured(sweep: Sweep) -> None:
    rows = {row["id"]: row for row in table.rows(sweep.classify(), {})}
    names = [name for name, _, _ in columns.described()]
    assert all(list(row) == names for row in rows.values())
    measures = names[names.index("matmul_tflops") : names.index("boost_rows_per_s_ratio") + 1]
    assert [rows[TUPLE][name] for name in measures[:3]] == [52.512, 0.5, 105.02]
    assert [rows[OTHER][name] for name in measures] == [None] * len(measures)
    assert "same GPU class only" in columns.markdown()


def test_the_matrix_of_a_metric_has_the_measured_rows_only(sweep: Sweep) -> None:
    lines = metric.render(sweep.classify(), "matmul_tflops").splitlines()
    assert lines[0].startswith("matmul_tflops in TFLOP/s: comparable across versions on the same GPU class only")
    assert "SIMULATED" in lines[0]
    assert lines[2] == "pytorch"
    assert lines[3].split() == ["version", "CUDA", "sm80", "×2"]
    assert [line.split() for line in lines[5:]] == [["2.5", "12.4", "52.51", "×105"]]


def test_of_a_metric_that_a_node_tells_twice_the_first_counts(sweep: Sweep) -> None:
    sweep.result(TUPLE, result(speed=[MATMUL, MATMUL | {"value": 1.0}]))
    assert metric.render(sweep.classify(), "matmul_tflops").count("×105") == 1
    assert "52.51" in metric.render(sweep.classify(), "matmul_tflops")


def test_a_metric_of_a_probe_of_ones_own_has_a_matrix_too(sweep: Sweep) -> None:
    assert "7 ×2" in metric.render(sweep.classify(), "words_per_s")


def test_a_metric_that_nothing_has_is_refused_by_name(sweep: Sweep) -> None:
    with pytest.raises(SettingsError, match=r"--metric matmul_flops: .* there are matmul_tflops, words_per_s"):
        metric.render(sweep.classify(), "matmul_flops")


def test_a_sweep_without_measures_says_that_there_are_none(tmp_path: Path) -> None:
    made = Sweep(tmp_path)
    made.plan([settled(TUPLE, Cause.NO_SUCH_SLOT)])
    made.log()
    with pytest.raises(SettingsError, match="nothing was measured"):
        metric.render(made.classify(), "matmul_tflops")


def test_the_command_prints_the_matrix_in_place_of_the_table(sweep: Sweep) -> None:
    sweep.classify()
    done = CliRunner().invoke(cli, ["report", str(sweep.here), "--metric", "matmul_tflops"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("matmul_tflops in TFLOP/s")
    assert "What was tested and does not work" not in done.output
