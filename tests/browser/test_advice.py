"""The advice on the page: what to take is seen at once, and its lines can be copied."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from reader import DIRECTORY, Reader
from stored import since, stored

from sweep.advise import advise
from sweep.model import Verdict
from sweep.report import advice, page
from sweep.schema import Outcomes
from sweep.settings import FrameworkSettings, Settings
from sweep.sites import load_site

Read = Callable[..., Reader]


@pytest.fixture
def advised(tmp_path: Path) -> Callable[[Outcomes], Path]:
    """Writes the page of a sweep with advice on every framework of it."""

    def write(outcomes: Outcomes) -> Path:
        settings = Settings(frameworks={"pytorch": FrameworkSettings()})
        context = advice.Context(DIRECTORY, outcomes, settings, load_site("chtc"))
        frameworks = dict.fromkeys(o.framework for o in outcomes.tuples)
        told = [advice.as_data(advise(outcomes, (), f), context) for f in frameworks]
        path = tmp_path / "compatibility.html"
        path.write_text(page.render(outcomes, since("spring"), DIRECTORY, told), encoding="utf-8")
        return path

    return write


def test_what_to_take_is_said_for_each_framework_and_the_first_choice_is_open(
    read: Read, advised: Callable[[Outcomes], Path]
) -> None:
    outcomes = stored("spring")
    region = read(advised(outcomes)).page.get_by_role("region", name="Which version to take")
    assert region.get_by_role("heading", level=3).all_text_contents() == ["pytorch", "tensorflow", "jax"]
    first = region.get_by_role("group").first
    expect(first).to_contain_text(re.compile(r"pytorch 2\.\d+ for CUDA 1\d\.\d: .*\d+ of 15 GPUs"))
    assert "NVIDIA H100 80GB HBM3 (simulated) ×2 (sm90)" in first.inner_text()
    assert "request_gpus            = 1" in first.inner_text()


def test_the_submit_lines_are_copied_as_they_stand(read: Read, advised: Callable[[Outcomes], Path]) -> None:
    reader = read(advised(stored("spring")), permissions=["clipboard-read", "clipboard-write"])
    reader.page.get_by_role("button", name="Copy the submit lines").first.click()
    expect(reader.page.get_by_role("button", name="Copied")).to_be_visible()
    copied = reader.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[0] == "request_gpus            = 1"
    assert copied[-2:] == ["+WantGPULab = true", '+GPUJobLength = "short"']


def test_where_nothing_works_that_is_the_advice(read: Read, advised: Callable[[Outcomes], Path]) -> None:
    outcomes = stored("spring")
    broken = [o for o in outcomes.tuples if o.framework == "jax" and o.verdict is not Verdict.WORKS]
    reader = read(advised(outcomes.model_copy(update={"tuples": tuple(broken)})))
    region = reader.page.get_by_role("region", name="Which version to take")
    expect(region).to_contain_text("Nothing that was tested works on any GPU of this pool.")


def test_a_devices_name_is_text(read: Read, advised: Callable[[Outcomes], Path]) -> None:
    outcomes = stored("spring")
    hostile = "</pre><script>document.title='taken'</script>"
    classes = tuple(c.model_copy(update={"device": f"{c.device} {hostile}"}) for c in outcomes.pool.classes)
    pool = outcomes.pool.model_copy(update={"classes": classes})
    reader = read(advised(outcomes.model_copy(update={"pool": pool})))
    assert hostile in reader.page.get_by_role("region", name="Which version to take").inner_text()
    assert reader.page.title() != "taken"
