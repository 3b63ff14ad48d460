"""Slot ads -> GPU classes: what is counted, what is reported, and that no ad can break it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from classad2 import ClassAd, ExprTree, Value
from hypothesis import given
from hypothesis import strategies as st
from slot_ads import A100, B200, L40, MIG, P100, device, references, slot

from sweep.attributes import nested_name
from sweep.model import Pool
from sweep.pool import device_ids, inventory

A, B = "GPU-0a72f964", "GPU-59256ea8"


def seen(*ads: Mapping[str, Any]) -> Pool:
    return inventory(ads, "pool.example")


def classes(pool: Pool) -> list[tuple[str, str, int]]:
    return [(c.capability, c.device, c.devices) for c in pool.classes]


def problems(pool: Pool) -> list[str]:
    return [p.problem for p in pool.problems]


def test_a_plain_machine() -> None:
    pool = seen(slot("a.example", {A: device(A100), B: device(A100)}))
    (found,) = pool.classes
    assert found.model_dump() == {
        "capability": "8.0",
        "device": "NVIDIA A100-SXM4-80GB",
        "memory_mb": 81153,
        "runtime": "12.4",
        "driver": "550.54.15",
        "mig": False,
        "devices": 2,
        "machines": ("a.example",),
    }
    assert (pool.slots, pool.problems, pool.collector) == (1, (), "pool.example")
    assert pool.taken.utcoffset() is not None


def test_an_ad_as_a_dictionary_is_as_good() -> None:
    nested = {nested_name(A): dict(device(P100))}
    ad = {"Machine": "a", "Name": "slot1@a", "DetectedGPUs": A, **nested}
    assert classes(seen(ad)) == [("6.0", "Tesla P100-PCIE-16GB", 1)]


def test_a_machine_with_two_kinds_of_gpu() -> None:
    """The flat attributes exist only where all devices agree, and are not read."""
    ad = slot("m.example", {A: device(L40), B: device(P100)}, GPUs_MaxSupportedVersion=9000, GPUs_Capability=3.5)
    assert classes(seen(ad)) == [("6.0", "Tesla P100-PCIE-16GB", 1), ("8.9", "NVIDIA L40", 1)]
    assert {c.runtime for c in seen(ad).classes} == {"12.4"}


def test_classes_are_told_apart_by_capability_name_memory_and_driver() -> None:
    smaller = {**A100, "GlobalMemoryMb": 40536}
    pool = seen(
        slot("a", {A: device(A100), B: device(A100)}),
        slot("b", {A: device(A100)}),
        slot("c", {A: device(A100, 12080, "570.86.15")}),
        slot("d", {A: device(A100, 12040, "550.90.07")}),
        slot("e", {A: device(smaller)}),
        slot("f", {A: device({**A100, "DeviceName": "NVIDIA A100-PCIE-80GB"})}),
    )
    assert sum(c.devices for c in pool.classes) == 7
    assert sorted((c.devices, c.machines) for c in pool.classes) == [
        (1, ("c",)),
        (1, ("d",)),
        (1, ("e",)),
        (1, ("f",)),
        (3, ("a", "b")),
    ]


def test_order_is_by_number() -> None:
    pool = seen(
        slot("a", {A: device(B200, 13000)}),
        slot("b", {A: device(L40)}),
        slot("c", {A: device(A100, 12100), B: device(A100, 12090)}),
        slot("d", {A: device({**A100, "GlobalMemoryMb": 40536}, 12090)}),
    )
    assert [(c.capability, c.runtime, c.memory_mb) for c in pool.classes] == [
        ("8.0", "12.9", 40536),
        ("8.0", "12.9", 81153),
        ("8.0", "12.10", 81153),
        ("8.9", "12.4", 45495),
        ("10.0", "13.0", 182632),
    ]
    assert pool.capabilities == ("8.0", "8.9", "10.0")


@pytest.mark.parametrize(
    ("id_", "facts"),
    [
        ("MIG-e53d89aa-5b59-523a-9367-ba137a0847df", MIG),
        ("GPU-1", MIG),
        ("MIG-GPU-1/5/0", {**A100, "DeviceName": "NVIDIA A100"}),
        ("GPU-1", {**A100, "DeviceUuid": "MIG-e53d89aa"}),
    ],
)
def test_mig_slices_are_known_by_name_uuid_or_id(id_: str, facts: dict[str, Any]) -> None:
    pool = seen(slot("m", {id_: device(facts), B: device(A100)}))
    assert Counter((c.mig, c.devices) for c in pool.classes) == {(True, 1): 1, (False, 1): 1}


def test_simulated_devices_say_so() -> None:
    assert seen(slot("a", {A: device({**A100, "DeviceName": "NVIDIA A100 (simulated)"})})).simulated
    assert not seen(slot("a", {A: device(A100)})).simulated


def test_a_driver_that_older_startds_do_not_name() -> None:
    (found,) = seen(slot("a", {A: device(A100, driver=None)})).classes
    assert found.driver is None


# --------------------------------------------------------------------------- each device once


def test_busy_devices_count() -> None:
    """A partitionable slot lists all its devices, and describes them, while jobs hold them."""
    ad = slot("a", {A: device(A100), B: device(A100)}, GPUs=0, State="Claimed", AvailableGPUs=references())
    assert classes(seen(ad)) == [("8.0", "NVIDIA A100-SXM4-80GB", 2)]


def test_two_slots_of_one_machine_show_the_same_devices() -> None:
    both = {A: device(A100), B: device(A100)}
    pool = seen(slot("a", both), slot("a", both, Name="slot2@a"))
    assert (pool.slots, classes(pool)) == (2, [("8.0", "NVIDIA A100-SXM4-80GB", 2)])


def test_the_same_id_on_two_machines_is_two_devices() -> None:
    assert classes(seen(slot("a", {A: device(A100)}), slot("b", {A: device(A100)})))[0][2] == 2


def test_a_divided_device_is_listed_twice_and_counted_once() -> None:
    ad = slot("a", {A: device(A100)}, DetectedGPUs=f"{A}, {A}", TotalGPUs=2)
    assert classes(seen(ad)) == [("8.0", "NVIDIA A100-SXM4-80GB", 1)]


def test_static_slots_that_describe_their_own_device_only() -> None:
    both = f"{A}, {B}"
    pool = seen(
        slot("a", {A: device(A100)}, DetectedGPUs=both),
        slot("a", {B: device(A100)}, DetectedGPUs=both, Name="slot2@a"),
    )
    assert classes(pool) == [("8.0", "NVIDIA A100-SXM4-80GB", 2)]
    assert pool.problems == ()


def test_a_device_that_is_offline_does_not_count() -> None:
    pool = seen(slot("a", {A: device(A100), B: device(A100)}, OfflineGPUs=f" {B} "))
    assert (classes(pool), problems(pool)) == ([("8.0", "NVIDIA A100-SXM4-80GB", 1)], [])


def test_a_slot_whose_devices_are_all_offline_is_reported() -> None:
    pool = seen(slot("a", {A: device(A100)}, OfflineGPUs=A))
    assert (pool.classes, problems(pool)) == ((), ["all its GPUs are offline (OfflineGPUs)"])


# --------------------------------------------------------------------------- what is reported


@pytest.mark.parametrize("detected", [0, "", None, 2, ExprTree("undefined"), ExprTree("error"), ["GPU-1"]])
def test_a_slot_that_names_no_device(detected: Any) -> None:
    pool = seen(slot("a", {}, DetectedGPUs=detected, TotalGPUs=2), slot("b", {A: device(A100)}))
    (problem,) = pool.problems
    assert (problem.machine, problem.slot) == ("a", "slot1@a")
    assert problem.problem == "has GPUs, but names no device (DetectedGPUs)"
    assert classes(pool) == [("8.0", "NVIDIA A100-SXM4-80GB", 1)]


def test_old_discovery_with_flat_attributes_only() -> None:
    ad = slot("a", {}, DetectedGPUs="CUDA0", CUDACapability=7.5, CUDADeviceName="Tesla T4", CUDADriverVersion=11.2)
    assert problems(seen(ad)) == [
        "CUDA0: the slot does not describe it; is GPU discovery run with -properties?"
    ]  # fmt: skip


UNUSABLE: dict[str, Any] = {
    "undefined": ExprTree("undefined"),
    "error": ExprTree("error"),
    "expression": ExprTree("NoSuchAttribute + 1"),
    "NaN": ExprTree('real("NaN")'),
    "infinite": ExprTree('real("INF")'),
    "boolean": True,
    "words": "unknown",
    "empty": "",
    "a list": ["8.0"],
    "negative": -8.0,
    "huge": 1e9,
}


@pytest.mark.parametrize("attribute", ["Capability", "MaxSupportedVersion"])
@pytest.mark.parametrize("value", UNUSABLE.values(), ids=list(UNUSABLE))
def test_an_attribute_that_is_no_number_is_reported_by_name(attribute: str, value: Any) -> None:
    pool = seen(slot("a", {A: device({**A100}) | {attribute: value}, B: device(A100)}))
    assert problems(pool) == [f"{A}: {attribute} undefined or not a number; no version can be matched against it"]
    assert classes(pool) == [("8.0", "NVIDIA A100-SXM4-80GB", 1)]


def test_a_device_whose_properties_could_not_be_read() -> None:
    """The sandbox's `mystery` machine: name and memory, neither capability nor driver."""
    facts = device({"DeviceName": "NVIDIA Graphics Device", "GlobalMemoryMb": 8192}, None, None)
    pool = seen(slot("a", {A: facts}))
    assert pool.classes == ()
    assert problems(pool) == [
        f"{A}: Capability and MaxSupportedVersion undefined or not a number; no version can be matched against it"
    ]


def test_an_amd_device_has_no_cuda_runtime() -> None:
    facts = {"Capability": 9.4, "DeviceName": "AMD MI300X", "RocmVersion": "6.2", "GlobalMemoryMb": 196592}
    assert "MaxSupportedVersion undefined" in problems(seen(slot("a", {A: facts})))[0]


def test_numbers_in_strings_are_read() -> None:
    facts = {**device(A100), "Capability": "8.0", "MaxSupportedVersion": "12040", "GlobalMemoryMb": " 81153 "}
    assert seen(slot("a", {A: facts})).classes == seen(slot("a", {A: device(A100)})).classes


@pytest.mark.parametrize("value", UNUSABLE.values(), ids=list(UNUSABLE))
def test_other_attributes_may_be_anything(value: Any) -> None:
    facts = device(A100) | {"NvidiaDriver": value, "DeviceName": value, "DeviceUuid": value}
    (found,) = seen(slot("a", {A: facts})).classes
    text = value if isinstance(value, str) and value else None
    assert (found.driver, found.device) == (text, text or "unnamed GPU")


@pytest.mark.parametrize("value", [v for k, v in UNUSABLE.items() if k not in ("huge", "negative")])
def test_memory_that_is_no_number_counts_as_none(value: Any) -> None:
    (found,) = seen(slot("a", {A: device(A100) | {"GlobalMemoryMb": value}})).classes
    assert found.memory_mb == 0


def test_names_from_a_node_cannot_carry_control_characters() -> None:
    facts = device({**A100, "DeviceName": "NVIDIA\x1b[31m A100\n\u202e"}, driver="55\x070" + "9" * 500)
    (found,) = seen(slot("a", {A: facts})).classes
    assert found.device == "NVIDIA[31m A100"
    assert found.driver is not None
    assert found.driver.isprintable()
    assert len(found.driver) == 200


def test_a_slot_without_a_name() -> None:
    (problem,) = seen({"Machine": Value.Undefined, "DetectedGPUs": 0}).problems
    assert (problem.machine, problem.slot) == ("?", "?")


def test_no_slots_at_all() -> None:
    pool = seen()
    assert (pool.slots, pool.classes, pool.problems, pool.capabilities) == (0, (), (), ())


def test_the_snapshot_survives_its_file() -> None:
    pool = seen(slot("a", {A: device(A100)}), slot("b", {}, DetectedGPUs=0))
    assert Pool.model_validate_json(pool.model_dump_json()) == pool


# --------------------------------------------------------------------------- whatever the ads say

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from([Value.Undefined, Value.Error, "8.0", "12040", 8.0, 12040, 3.55, 99.96, 99999.9]),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(list(UNUSABLE.values())),
)
IDS = st.sampled_from([A, B, "CUDA0", "MIG-e53d/5/0", "", "GPU-\x00"])
NESTED = st.dictionaries(
    st.sampled_from(
        ["Capability", "MaxSupportedVersion", "DeviceName", "NvidiaDriver", "GlobalMemoryMb", "DeviceUuid"]
    ),
    VALUES,
)


@st.composite
def wild_ads(draw: st.DrawFn) -> dict[str, Any]:
    """A dictionary like an ad, sound or with anything replaced by anything."""
    ids = draw(st.lists(IDS, max_size=4))
    ad: dict[str, Any] = {"Machine": draw(st.sampled_from(["a", "b"])), "Name": draw(st.sampled_from(["s1", "s2"]))}
    ad["DetectedGPUs"] = draw(st.one_of(st.just(", ".join(ids)), VALUES))
    ad["OfflineGPUs"] = draw(st.one_of(st.just(""), IDS, VALUES))
    for id_ in ids:
        ad[nested_name(id_)] = draw(st.one_of(NESTED.map(lambda wrong: device(A100) | wrong), VALUES))
    for key in draw(st.sets(st.sampled_from(list(ad)), max_size=1)):
        ad[key] = draw(VALUES)
    return ad


def readable(name: Any) -> str:
    return "".join(c for c in name if c.isprintable()).strip() or "?" if isinstance(name, str) else "?"


@given(st.lists(wild_ads(), max_size=5))
def test_any_ads_give_a_pool_in_which_no_device_counts_twice(ads: list[dict[str, Any]]) -> None:
    pool = seen(*ads)
    listed = {(readable(ad.get("Machine")), id_) for ad in ads for id_ in device_ids(ad)}
    assert sum(c.devices for c in pool.classes) <= len(listed)
    assert pool.slots == len(ads)
    described = sum(c.devices for c in pool.classes) + sum(
        p.problem.split(":")[0] != p.problem for p in pool.problems
    )
    assert described == len(listed), "a device is neither in a class nor reported"
    assert Pool.model_validate_json(pool.model_dump_json()) == pool
    assert list(pool.classes) == sorted(
        pool.classes,
        key=lambda c: (float(c.capability), c.device, tuple(map(int, c.runtime.split("."))), c.memory_mb),
    )


REAL = st.sampled_from(
    [
        *UNUSABLE.values(), "8.0", "12040", 8, ExprTree("TotalSlotCpus / 2.0"), ExprTree('"GPU-0a72f964"'),
        f"{A}, {A}, {B}", f" {B},,{A},", "CUDA0", None,
    ]
)  # fmt: skip
FLAT = {
    "GPUs_Capability": 3.5,
    "GPUs_MaxSupportedVersion": 9000,
    "CUDACapability": 3.5,
    "CUDADeviceName": "Tesla K40",
}
DEVICE = st.builds(device, st.sampled_from([A100, L40, MIG]), st.sampled_from([None, 12040]))


@st.composite
def real_ads(draw: st.DrawFn) -> ClassAd:
    """The ad of a slot, some attributes of which are not as they should be, and old flat ones beside them."""
    described = draw(st.dictionaries(st.sampled_from([A, B, "MIG-e53d/5/0"]), DEVICE, max_size=3))
    for facts in described.values():
        for name in draw(st.sets(st.sampled_from(sorted(facts)), max_size=2)):
            facts[name] = draw(REAL)
    usable = {i: {k: v for k, v in facts.items() if v is not None} for i, facts in described.items()}
    ad = slot(draw(st.sampled_from("ab")), usable, **draw(st.sampled_from([FLAT, {}])))
    for name in draw(st.sets(st.sampled_from(sorted(ad)), max_size=2)):
        ad.pop(name, None)
        if (value := draw(REAL)) is not None:
            ad[name] = value
    return ad


@given(st.lists(real_ads(), max_size=5))
def test_no_slot_ad_breaks_the_inventory_and_each_device_is_counted_once(ads: list[ClassAd]) -> None:
    pool = seen(*ads)
    listed = {(readable(ad.get("Machine")), id_) for ad in ads for id_ in device_ids(ad)}
    unusable = [p for p in pool.problems if ": " in p.problem]
    assert sum(c.devices for c in pool.classes) + len(unusable) == len(listed)
    assert {m for c in pool.classes for m in c.machines} <= {machine for machine, _ in listed}
    # Another hour's ads of the same slots add nothing.
    again = [ClassAd(str(ad)) for ad in ads]
    assert seen(*ads, *again).classes == pool.classes


@given(st.permutations([("a", A), ("a", B), ("b", A), ("c", A)]))
def test_the_order_of_the_ads_does_not_matter(order: list[tuple[str, str]]) -> None:
    kinds = {
        ("a", A): device(A100),
        ("a", B): device(L40),
        ("b", A): device(A100, driver=None),
        ("c", A): device(A100),
    }
    ads = {key: slot(key[0], {key[1]: facts}, Name=f"{key[1]}@{key[0]}") for key, facts in kinds.items()}
    found = seen(*(ads[key] for key in order)).classes
    assert found == seen(*ads.values()).classes
    assert len(found) == 3


def test_a_real_undefined_is_not_the_number_that_its_enum_has() -> None:
    ad = ClassAd("[ Capability = undefined ]")
    assert isinstance(ad["Capability"], int)  # the trap: Value is an IntEnum
    assert (
        "Capability undefined" in problems(seen(slot("a", {A: device(A100) | {"Capability": ad["Capability"]}})))[0]
    )
