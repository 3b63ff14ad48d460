"""Real frameworks without a GPU: each climbs as far as it truly can, and the sweep says why no further."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Climbed

from sweep.model import Cause, Rung
from sweep.schema import RungOutcome

pytestmark = pytest.mark.skipif(
    Path("/dev/nvidiactl").exists(), reason="this machine has an NVIDIA driver: tests/gpu/run is for it"
)

# The rung that breaks, the cause, the rule that knows it, and words of the framework's own or of its probe's.
CASES = [
    ("pytorch", Rung.CUDA_BUILD, Cause.CPU_BUILD, "probe-cpu-build", "torch.version.cuda is None"),
    ("tensorflow", Rung.CUDA_BUILD, Cause.CPU_BUILD, "probe-cpu-build", "is_built_with_cuda() is False"),
    ("jax", Rung.CUDA_BUILD, Cause.CPU_BUILD, "probe-cpu-build", "jax_cuda13_plugin is installed"),
    ("xgboost", Rung.CUDA_BUILD, Cause.CPU_BUILD, "probe-cpu-build", "['USE_CUDA'] is False"),
    ("cupy", Rung.DEVICE, Cause.NO_DEVICE, "no-driver-library", "found no NVIDIA driver"),
    ("numba", Rung.DEVICE, Cause.NO_DEVICE, "numba-no-driver-library", "CUDA driver library cannot be found"),
    ("numba-bare", Rung.CUDA_BUILD, Cause.LIBRARY_MISSING, "cuda-library-not-found-by-pathfinder", "libnvrtc.so.1"),
]
NAMES = [case[0] for case in CASES]


@pytest.mark.parametrize(("name", "rung", "cause", "rule", "words"), CASES, ids=NAMES)
def test_the_rung_that_breaks_has_its_true_cause(
    climbed: Callable[[str], Climbed], name: str, rung: Rung, cause: Cause, rule: str, words: str
) -> None:
    found = climbed(name)
    before = [record for record in found.result.rungs if list(Rung).index(record.rung) < list(Rung).index(rung)]
    assert [record.outcome for record in before] == [RungOutcome.PASSED] * len(before)
    broken = found.result.rungs[len(before)]
    assert (broken.rung, broken.outcome) == (rung, RungOutcome.FAILED)
    assert words in (broken.message or "")
    assert (found.outcome.rung, found.outcome.cause, found.outcome.rule) == (rung, cause, rule)
    assert words in found.outcome.evidence.excerpt


@pytest.mark.parametrize("name", NAMES)
def test_a_framework_says_its_version_and_nothing_is_measured(climbed: Callable[[str], Climbed], name: str) -> None:
    result = climbed(name).result
    assert result.framework is not None and result.framework.version
    assert (result.state, result.speed) == ("done", [])


def test_what_the_build_was_made_for_is_known_without_a_gpu(climbed: Callable[[str], Climbed]) -> None:
    for name in ("cupy", "numba"):
        facts = climbed(name).result.framework
        assert facts is not None and (facts.cuda or "").startswith("12.")


def test_the_node_says_that_it_has_no_driver(climbed: Callable[[str], Climbed]) -> None:
    node = climbed("cupy").result.node
    assert node.library is not None and not node.library.loads
    assert "libcuda.so.1" in (node.library.problem or "")
    assert node.visible_form == "unset"
