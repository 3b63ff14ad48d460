"""Grouped slots answer as each of them would by itself, whatever their ads and the jobs' ads say."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from classad2 import ClassAd, ExprTree
from hypothesis import given
from hypothesis import strategies as st
from planning import settings_of
from slot_ads import A100, L40, MIG, device, job, references, slot

from sweep.attributes import nested_name
from sweep.conjuncts import conjuncts, first_conjunct
from sweep.pool import inventory
from sweep.slots import Slots, emptied, takes

A, B = "GPU-0a72f964", "GPU-59256ea8"
ODD = [
    ExprTree("undefined"), ExprTree("error"), ExprTree("8.0"), ExprTree("TotalSlotCpus / 2.0"), ExprTree("SlotSays"),
    ExprTree("TARGET.GPUsMinRuntime / 1500.0"), ExprTree('real("NaN")'), "8.0", "12040", 8, True, 8.9, 12000, None,
]  # fmt: skip
STARTS = [
    True, False, "true", ExprTree("undefined"),
    ExprTree("TARGET.RequestGPUs > 0"), ExprTree("TARGET.RequestMemory < 9"),
    ExprTree('Machine == "a"'), ExprTree('regexp("^slot1@[ab]$", Name)'), ExprTree('Activity == "Idle"'),
    ExprTree("TARGET.GPUsMinRuntime >= 12000"), ExprTree("gpusminruntime >= 12000"), ExprTree("Policy"),
    ExprTree('regexp("8.9", unparse(TARGET.RequireGPUs))'), ExprTree('eval("TARGET.GPUsMinRuntime") > 11500'),
    ExprTree('TARGET["GPUsMinRuntime"] > 11500'), ExprTree("time() > 0"), ExprTree("Cpus > 8 && Disk > 80000000"),
    ExprTree("size(AvailableGPUs) > 1"), ExprTree('regexp("8.9", TARGET.Derived)'), ExprTree('TARGET.Wish == "8.0"'),
]  # fmt: skip
SLOT_ATTRIBUTES = {
    "Start": STARTS,
    "SlotSays": [8.0, 8.9, ExprTree("TARGET.GPUsMinRuntime / 1500.0")],
    "Policy": [True, False, ExprTree("TARGET.GPUsMinRuntime > 11500"), ExprTree('eval("TARGET.GPUsMinRuntime") > 0')],
    "Capability": [8.0, 8.9, ExprTree("TARGET.GPUsMinRuntime / 1500.0")],
    "NvidiaDriver": ["550.54.15", "470.1"],
    "HasFileTransfer": [True, False, None, ExprTree("TARGET.GPUsMinRuntime > 11500"), 1],
    "HasStorage": [True, False, "true"],
    "Arch": ["X86_64", "x86_64", "aarch64", None],
    "Memory": [0, 8192, "64000", ExprTree("undefined")],
    "TotalSlotMemory": [8000, 64000, "64000", ExprTree("TotalSlotCpus * 4000"), None],
    "Disk": [0, 41943040, 83140541],
    "Cpus": [0, 1, "16"],
    "GPUs": [0, 1, ExprTree("undefined")],
    "State": ["Claimed", 3],
    "OfflineGPUs": [A, B, 7],
    "DetectedGPUs": [0, A, f"{A}, {A}", f"{A}, GPU-lost"],
    "AvailableGPUs": [
        references(), references(A), references(A, A), references("GPU-lost"),
        ExprTree("undefined"), ExprTree("{ 3 }"),
        ExprTree("{ [ Capability = 8.0; MaxSupportedVersion = 12040 ] }"), ExprTree("Elsewhere"), 3, None,
    ],
    "WithinResourceLimits": [None, True, ExprTree("TARGET.RequestCpus <= MY.Cpus")],
    "Requirements": [None, True, ExprTree("TARGET.GPUsMinRuntime >= 12000")],
}  # fmt: skip
DEVICE_ATTRIBUTES = ["Capability", "MaxSupportedVersion", "NvidiaDriver", "DeviceName", "GlobalMemoryMb", "Id"]

# What the site may add; the last three read what the jobs differ in.
SITE = {
    "nothing": "",
    "no MIG": "[gpus]\nmig = false",
    "memory": '[gpus]\nminimum_memory = "10GB"',
    "storage": '[resources]\nrequirements = "HasStorage"',
    "runtime": '[resources]\nrequirements = "TARGET.Machine != \\"a\\" || GPUsMinRuntime < 12000"',
    "eval": '[resources]\nrequirements = "eval(\\"GPUsMinRuntime\\") < 12000"',
    "unparse": '[resources]\nrequirements = "regexp(\\"8.9\\", unparse(RequireGPUs))"',
}
CLASSES = inventory([slot("a", {A: device(A100), B: device(L40, 12040, None)})], "pool.example").classes
# Slots to be changed: their devices, and what the policies above refer to.
BASES = [{A: device(A100)}, {A: device(A100), B: device(L40)}, {A: device(L40, 11040, None)}, {A: device(MIG)}, {}]
POLICY = {"SlotSays": 8.9, "Policy": ExprTree("TARGET.GPUsMinRuntime > 11500"), "HasStorage": True}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[ClassAd]]:
    """By the site's settings, jobs that differ in what they require of a GPU."""
    scratch = tmp_path_factory.mktemp("jobs")
    found: dict[str, list[ClassAd]] = {}
    for name, text in SITE.items():
        settings = settings_of(scratch, text)
        found[name] = []
        for capability, runtime, gpu in itertools.product(("8.0", "8.9"), ("11.2", "12.4"), (None, *CLASSES)):
            ad = job(scratch, settings, capability, runtime, gpu)
            ad["Derived"], ad["Wish"] = ExprTree("unparse(RequireGPUs)"), capability
            found[name].append(ad)
    return found


def changed(machine: str, base: dict[str, Any], changes: dict[str, Any], device_changes: dict[str, Any]) -> ClassAd:
    """A slot with some of its attributes, and of its first device's, replaced; None removes one."""
    ad = slot(machine, base, **POLICY)
    for name, value in changes.items():
        ad.pop(name, None)
        if value is not None:
            ad[name] = value
    if base:
        facts = {k: v for k, v in {**dict(ad[nested_name(A)]), **device_changes}.items() if v is not None}
        ad[nested_name(A)] = facts
    return ad


def assert_groups_answer_as_their_slots(ads: list[ClassAd], asked: list[ClassAd]) -> None:
    """Compare with every slot matched by itself; the same groups serve all jobs, as in a sweep."""
    grouped = Slots(ads)
    before = [str(ad) for ad in ads]
    for ad, empty in itertools.product(asked, (True, False)):
        by_itself = [takes(one, ad, empty) for one in ads]
        groups = [g for g in grouped.groups(ad, empty) if takes(g.slot, ad, empty)]
        assert sum(g.size for g in groups) == sum(by_itself)
    assert [str(ad) for ad in ads] == before, "an ad was changed for good"


ONE_CHANGE = [
    *(({name: value}, {}) for name, values in SLOT_ATTRIBUTES.items() for value in values),
    *(({}, {name: value}) for name in DEVICE_ATTRIBUTES for value in ODD),
]


@pytest.mark.parametrize("site", ["nothing", "runtime"])
def test_each_odd_attribute_is_told_from_the_usual_one(jobs: dict[str, list[ClassAd]], site: str) -> None:
    """Twice over, so that each kind of slot is both one that stands for others and one that is stood for."""
    for changes, device_changes in ONE_CHANGE:
        kinds: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {}), (changes, device_changes)]
        ads = [changed(machine, BASES[1], *kind) for kind in kinds for machine in "ab"]
        assert_groups_answer_as_their_slots(ads, jobs[site][::4])
        assert_groups_answer_as_their_slots(ads[::-1], jobs[site][1::3])


@pytest.mark.parametrize("value", SLOT_ATTRIBUTES["Capability"])
def test_a_device_that_lacks_a_property_has_its_slots(jobs: dict[str, list[ClassAd]], value: Any) -> None:
    kinds = [{}, {"Capability": value}]
    ads = [changed(machine, BASES[0], kind, {"Capability": None}) for kind in kinds for machine in "ab"]
    assert_groups_answer_as_their_slots(ads, jobs["nothing"])
    assert_groups_answer_as_their_slots(ads[::-1], jobs["nothing"])


change = st.sampled_from(ONE_CHANGE)


@given(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.sampled_from("ab"), st.lists(change, min_size=1, max_size=3)), max_size=5),
    st.sampled_from(sorted(SITE)),
)
def test_groups_answer_as_their_slots_do_one_by_one(
    jobs: dict[str, list[ClassAd]], base: dict[str, Any], drawn: list[tuple[str, list[Any]]], site: str
) -> None:
    ads = [slot("a", base, **POLICY), slot("b", base, **POLICY)]
    for machine, changes in drawn:
        merged = {k: v for of_slot, _ in changes for k, v in of_slot.items()}
        ads.append(changed(machine, base, merged, {k: v for _, of_device in changes for k, v in of_device.items()}))
    assert_groups_answer_as_their_slots(ads, jobs[site])


def test_slots_that_differ_in_what_no_job_asks_for_are_one_group(tmp_path: Path) -> None:
    ads = [
        slot("a", {A: device(A100)}, Disk=83140000),
        slot("b", {B: device(A100)}, Disk=83141111, TotalSlotMemory=128000),
        slot("c", {A: device(A100), B: device(A100)}, LoadAvg=0.3),
        slot("d", {A: device(A100), B: device(L40)}),
        slot("e", {A: device(A100)}, Arch="aarch64"),
    ]
    ad = job(tmp_path, settings_of(tmp_path), "8.0", "12.4")
    assert [(g.slot["Machine"], g.size) for g in Slots(ads).groups(ad, empty=True)] == [("a", 3), ("d", 1)]


def test_a_policy_that_reads_what_a_job_requires_of_a_gpu_makes_a_slot_stand_alone(tmp_path: Path) -> None:
    ads = [slot(name, {A: device(A100)}, Start=ExprTree("TARGET.GPUsMinRuntime >= 12000")) for name in "ab"]
    ad = job(tmp_path, settings_of(tmp_path), "8.0", "12.4")
    assert [g.size for g in Slots(ads).groups(ad, empty=True)] == [1, 1]


def test_requirements_that_condor_submit_does_not_write_are_matched_slot_by_slot(tmp_path: Path) -> None:
    ads = [slot(name, {A: device(A100)}) for name in "ab"]
    ad = job(tmp_path, settings_of(tmp_path), "8.0", "12.4")
    ad["Requirements"] = ExprTree("!(countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs)")
    assert [takes(g.slot, ad, empty=True) for g in Slots(ads).groups(ad, empty=True)] == [False, False]


def test_a_slot_is_as_it_was_after_it_has_been_emptied() -> None:
    ad = slot("a", {A: device(A100)}, State="Claimed", Start=None, AvailableGPUs=None, GPUs=0)
    before = str(ad)
    with pytest.raises(ZeroDivisionError), emptied(ad):
        assert (ad["State"], ad["GPUs"], str(ad["AvailableGPUs"][0])) == ("Unclaimed", 1, nested_name(A))
        raise ZeroDivisionError
    assert str(ad) == before


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("a", ["a"]),
        ("((a))", ["a"]),
        ("a && (b && (c || d && e)) && f(g && h)", ["a", "b", "c || d && e", "f(g && h)"]),
        ("(a && b) || c", ["(a && b) || c"]),
        ("a && b ? c : d", ["a && b ? c : d"]),
        ('x == "a && \\" b" && y =?= z', ['x == "a && \\" b"', "y =?= z"]),
        ("(a) && (b)", ["a", "b"]),
    ],
)
def test_an_expression_is_taken_apart_where_all_parts_must_be_true(expression: str, parts: list[str]) -> None:
    assert conjuncts(expression) == parts


def test_the_first_part_keeps_what_its_parenthesis_holds() -> None:
    assert first_conjunct("(a && (b || c)) && (d)") == "(a && (b || c))"
