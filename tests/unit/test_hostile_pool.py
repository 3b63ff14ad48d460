"""What machines say of themselves: slot ads of every shape, and names that mean something to somebody."""

from __future__ import annotations

import re

import pytest
from hostile import TEXTS, assert_plain, fuzz
from hypothesis import assume, given
from hypothesis import strategies as st
from planning import settings_of
from slot_ads import A100, P100, ClassAd, ExprTree, device, job, slot

from sweep import render
from sweep.cuda import driver_floor
from sweep.facts import load_facts
from sweep.match import Ask, Matcher
from sweep.model import GpuClass, Pool, VersionTuple
from sweep.nodes import virtual_packages
from sweep.pool import inventory
from sweep.report.terminal import show_pool
from sweep.settings import NodeSettings

OF_THE_SLOT = (
    "Machine", "Name", "DetectedGPUs", "OfflineGPUs", "AvailableGPUs", "OpSysAndVer", "UtsnameRelease", "Arch",
    "Microarch", "Start", "Requirements", "TotalSlotCpus", "TotalSlotGPUs", "GPUs", "State", "GPUs_GPU_1",
)  # fmt: skip
OF_THE_DEVICE = ("Capability", "MaxSupportedVersion", "NvidiaDriver", "DeviceName", "GlobalMemoryMb", "DeviceUuid")
EXPRESSIONS = (
    "undefined", "error", "true", "0", "-1", "1/0", "1e308", "99999999999999999999", '""', 'real("NaN")',
    'real("INF")', "{ }", "{ 1, 2 }", "{ GPUs_nope }", "[ a = 1 ]", "[ a = [ b = [ c = 1 ] ] ]", "MY.X", "TARGET.Y",
    "time()", 'eval("1")', "ifThenElse(true, 1, error)", "Name", '"\\033[31mx"', '"a\\nqueue 5"', '"\\\\"', '"٣.٤"',
    '"1٣.٤.٥"', '"GPU-1, GPU-1,,, x"', '"550_54_15"', '".."', '"../../x"', '"8.0"', "8.05", "80", "12040.5",
    '"$(evil) ; rm -rf / `x` <script>|*_[x](y)"', '"=cmd"', f'"{"x" * 5000}"',
)  # fmt: skip
FACTS = load_facts()


def tuple_on(gpu: GpuClass) -> VersionTuple:
    return VersionTuple(framework="pytorch", version="2.5", cuda="12.4", capability=gpu.capability, gpu=gpu.label)


def plan_with(ads: list[ClassAd], directory) -> Pool:
    """Everything that planning does with slot ads."""
    chosen = settings_of(directory)
    pool = inventory(ads, "collector")
    assert Pool.model_validate_json(pool.model_dump_json()) == pool
    matcher = Matcher(ads, pool.classes, FACTS.system)
    floor = driver_floor("12.4", chosen.cuda.driver_policy)
    for gpu in pool.classes:
        tuple_ = tuple_on(gpu)
        assert VersionTuple.parse(tuple_.id) == tuple_
        for one in (None, gpu):
            ask = Ask(gpu.capability, floor, one)
            answer = matcher.feasibility(job(directory, chosen, gpu.capability, "12.4", one), ask)
            assert answer.possible or answer.rule
            packages, notes = virtual_packages(answer.nodes, NodeSettings(), floor)
            assert all(re.fullmatch(r"__[a-z]+=[0-9a-z_.=]+", package) for package in packages)
            assert_plain("".join(notes))
    return pool


@pytest.mark.parametrize("name", [*OF_THE_SLOT, *OF_THE_DEVICE])
def test_no_attribute_of_a_slot_whatever_its_value_stops_the_planning(name, tmp_path, capsys):
    for text in EXPRESSIONS:
        ad = slot("one.example", {"GPU-1": device(A100)})
        if name in OF_THE_DEVICE:
            nested = ClassAd(str(ad["GPUs_GPU_1"]))
            nested[name] = ExprTree(text)
            ad["GPUs_GPU_1"] = nested
        else:
            ad[name] = ExprTree(text)
        before = str(ad)
        pool = plan_with([ad, slot("two.example", {"GPU-2": device(P100)})], tmp_path)
        assert "6.0" in pool.capabilities  # one bad machine does not hide another
        assert str(ad) == before
        show_pool(pool)
        assert_plain(capsys.readouterr().out)


def hostile_class(name: str, driver: str | None = "550.54.15") -> GpuClass:
    base = slot("one.example", {"GPU-1": device({**A100, "DeviceName": name}, driver=driver)})
    (found,) = inventory([base], "collector").classes
    return found


@fuzz(60)
@given(name=TEXTS, driver=TEXTS | st.none())
def test_no_name_of_a_device_adds_a_line_or_a_macro_to_a_submit_file(name, driver, tmp_path):
    assume("MIG" not in name)
    gpu, tame = hostile_class(name, driver), hostile_class("NVIDIA A100")
    texts = [render.dry_submit_file(tuple_on(g), settings_of(tmp_path), tmp_path, g) for g in (gpu, tame)]
    hostile, plain = ([line.partition(" = ")[0] for line in text.splitlines()[1:]] for text in texts)
    assert hostile == plain
    (clause,) = re.findall(r"^require_gpus +=(.*)$", texts[0], flags=re.MULTILINE)
    assert re.fullmatch(r'[A-Za-z0-9 =&"!_()^.,/:$-]+', clause)
    assert re.findall(r"\$.", clause) == ['$"']  # the end of the pattern, and no macro
    assert ExprTree(clause)


@pytest.mark.parametrize(
    "name", ["NVIDIA ™ H100", "NVIDIA H100 PCIe+", "日本 GPU", 'a "b" \\ c', "x (simulated) [y] {z} $w", "a,b;c|d"]
)
def test_a_device_with_an_odd_name_is_still_matched_by_its_own_tuples(name, tmp_path):
    ad = slot("one.example", {"GPU-1": device({**A100, "DeviceName": name})})
    other = slot("two.example", {"GPU-2": device(A100)})
    pool = inventory([ad, other], "collector")
    (gpu,) = (c for c in pool.classes if c.device == name)
    matcher = Matcher([ad, other], pool.classes)
    asked = job(tmp_path, settings_of(tmp_path), "8.0", "12.4", gpu)
    assert matcher.feasibility(asked, Ask("8.0", "12.0", gpu)).possible == 1


@fuzz(60)
@given(drivers=st.lists(TEXTS | st.sampled_from(["550.54", "550_54", "550-54", "550"]), min_size=2, max_size=6))
def test_different_classes_are_different_nodes_of_the_dag(drivers):
    gpus = [hostile_class("NVIDIA A100", driver) for driver in drivers]
    ids = {tuple_on(gpu).id for gpu in gpus}
    assert len({render.node_name(id_) for id_ in ids}) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", render.node_name(id_)) for id_ in ids)
    assert not [id_ for id_ in ids if "/" in id_ or id_ in (".", "..")]


@fuzz(30)
@given(name=TEXTS, driver=TEXTS)
def test_no_name_of_a_device_adds_a_line_to_fresh_settings(name, driver):
    texts = [
        render.settings_template(frameworks=["pytorch"], classes=[gpu], collector="c", runtimes=["12.4"])
        for gpu in (hostile_class(name, driver), hostile_class("NVIDIA A100"))
    ]
    assert len(texts[0].splitlines()) == len(texts[1].splitlines())
