"""Can a job match, now or ever: HTCondor's own matching on slot ads and on the job ads of our submit files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from classad2 import ClassAd, ExprTree
from planning import settings_of
from slot_ads import A100, L40, MIG, P100, device, job, references, slot

from sweep.cuda import driver_floor
from sweep.match import Ask, Feasibility, Matcher
from sweep.pool import inventory

A, B, C = "GPU-0a72f964", "GPU-59256ea8", "MIG-e53d89aa-5b59-523a-9367-ba137a0847df"


def ask(
    directory: Path, ads: list[ClassAd], capability: str = "8.0", runtime: str = "12.4", text: str = ""
) -> Feasibility:
    """What is said of a tuple on a pool of these slots."""
    settings = settings_of(directory, text)
    matcher = Matcher(ads, inventory(ads, "pool.example").classes)
    floor = driver_floor(runtime, settings.cuda.driver_policy)
    return matcher.feasibility(job(directory, settings, capability, runtime), Ask(capability, floor))


STRICT = '[cuda]\ndriver_policy = "strict"\n'


def test_an_empty_slot_matches_now(tmp_path: Path) -> None:
    ads = [slot("a", {A: device(A100), B: device(A100)}), slot("p", {A: device(P100)})]
    assert ask(tmp_path, ads) == Feasibility(1, 1)
    assert ask(tmp_path, ads, "6.0") == Feasibility(1, 1)


def test_a_device_of_a_mixed_machine_matches_by_itself(tmp_path: Path) -> None:
    ads = [slot("m", {A: device(L40), B: device(P100)})]
    assert [ask(tmp_path, ads, c).possible for c in ("8.9", "6.0", "8.0")] == [1, 1, 0]


def test_capability_and_driver_must_be_of_one_device(tmp_path: Path) -> None:
    """The machine has a GPU of the capability, and a driver that is new enough; but not together."""
    ads = [slot("m", {A: device(A100, 11040), B: device(L40, 12040)})]
    assert ask(tmp_path, ads, "8.9").possible == 1
    assert ask(tmp_path, ads, "8.0").rule == "no-driver-in-pool"


def test_no_such_capability(tmp_path: Path) -> None:
    answer = ask(tmp_path, [slot("a", {A: device(A100)})], "9.0")
    assert answer == Feasibility(0, 0, "capability-not-in-pool", "Capability == 9.0: the pool has no such GPU")


@pytest.mark.parametrize(
    ("policy", "runtime", "supported", "possible"),
    [
        ("", "12.9", 12040, True),
        ("", "12.9", 12000, True),
        ("", "12.9", 11080, False),
        ("", "11.8", 12040, True),
        ("", "11.8", 11040, True),
        ("", "13.0", 12080, False),
        ("", "10.2", 10010, False),
        (STRICT, "12.9", 12040, False),
        (STRICT, "12.4", 12040, True),
        (STRICT, "12.10", 12090, False),
        (STRICT, "12.9", 12100, True),
    ],
)
def test_the_driver_by_policy(tmp_path: Path, policy: str, runtime: str, supported: int, possible: bool) -> None:
    answer = ask(tmp_path, [slot("a", {A: device(A100, supported)})], "8.0", runtime, policy)
    assert answer.possible == possible
    assert answer.rule == (None if possible else "no-driver-in-pool")


def test_a_driver_that_is_too_old_is_named(tmp_path: Path) -> None:
    ads = [slot("a", {A: device(A100, 11040)}), slot("b", {A: device(A100, 11080)}), slot("c", {A: device(L40)})]
    assert ask(tmp_path, ads).clause == (
        "MaxSupportedVersion >= 12.0: the newest driver on GPUs of capability 8.0 supports CUDA 11.8"
    )


@pytest.mark.parametrize("missing", ["MaxSupportedVersion", "Capability"])
def test_a_device_that_does_not_describe_itself_never_matches(tmp_path: Path, missing: str) -> None:
    facts = {k: v for k, v in device(A100).items() if k != missing}
    assert ask(tmp_path, [slot("a", {A: facts})]) == Feasibility(
        0, 0, "capability-not-in-pool", "Capability == 8.0: the pool has no such GPU"
    )


# --------------------------------------------------------------------------- busy is not impossible

BUSY: dict[str, dict[str, Any]] = {
    "no GPU left": {"GPUs": 0, "AvailableGPUs": references()},
    "all claimed": {"GPUs": 0, "AvailableGPUs": references(), "Cpus": 0, "Memory": 128, "State": "Claimed"},
    "no cores left": {"Cpus": 0},
    "no memory left": {"Memory": 100},
    "no disk left": {"Disk": 1000},
}


@pytest.mark.parametrize("changes", BUSY.values(), ids=list(BUSY))
def test_a_busy_slot_is_possible_but_not_free(tmp_path: Path, changes: dict[str, Any]) -> None:
    ads = [slot("a", {A: device(A100)}, **changes)]
    before = str(ads[0])
    assert ask(tmp_path, ads) == Feasibility(1, 0)
    assert str(ads[0]) == before, "the slot's own ad was changed"


def test_one_of_two_kinds_is_busy(tmp_path: Path) -> None:
    ads = [slot("m", {A: device(L40), B: device(P100)}, GPUs=1, AvailableGPUs=references(B))]
    assert ask(tmp_path, ads, "8.9") == Feasibility(1, 0)
    assert ask(tmp_path, ads, "6.0") == Feasibility(1, 1)


def test_a_slot_that_starts_jobs_only_while_it_is_idle(tmp_path: Path) -> None:
    ads = [slot("a", {A: device(A100)}, State="Claimed", Activity="Busy", Start=ExprTree('Activity == "Idle"'))]
    assert ask(tmp_path, ads) == Feasibility(1, 0)


def test_an_offline_device_does_not_come_back_when_the_slot_is_empty(tmp_path: Path) -> None:
    ads = [slot("a", {A: device(A100), B: device(L40)}, OfflineGPUs=A, AvailableGPUs=references(B), GPUs=1)]
    assert ask(tmp_path, ads).rule == "capability-not-in-pool"
    assert ask(tmp_path, ads, "8.9") == Feasibility(1, 1)


# --------------------------------------------------------------------------- never, and why


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[resources]\nmemory = "128GB"', "RequestMemory = 131072: .* of capability 8.0 has 64000"),
        ("[resources]\ncpus = 17", "RequestCpus = 17: .* has 16"),
        ('[resources]\ndisk = "100GB"', "RequestDisk = 104857600: .* has 83140540"),
    ],
)
def test_slots_that_are_too_small(tmp_path: Path, text: str, words: str) -> None:
    # The roomy machine has no GPU of this capability, and does not hide the reason.
    roomy = {"Memory": 900000, "Cpus": 256, "Disk": 900 * 1024 * 1024}
    roomy |= {f"TotalSlot{name}": value for name, value in roomy.items()}
    ads = [slot("a", {A: device(A100)}), slot("big", {A: device(L40)}, **roomy)]
    answer = ask(tmp_path, ads, text=text)
    assert (answer.possible, answer.rule) == (0, "slots-too-small")
    assert re.fullmatch(words, answer.clause)
    assert ask(tmp_path, ads, "8.9", text=text) == Feasibility(1, 1)


@pytest.mark.parametrize("start", [ExprTree("TARGET.WantGPULab =?= true"), ExprTree('LoadAvg < 0.1 && Owner == "x"')])
def test_a_start_policy_that_another_hour_or_submitter_may_meet_rules_nothing_out(tmp_path: Path, start: Any) -> None:
    assert ask(tmp_path, [slot("a", {A: device(A100)}, Start=start)]) == Feasibility(1, 0)


def test_a_start_policy_that_takes_no_job_at_all(tmp_path: Path) -> None:
    ads = [slot("a", {A: device(A100)}, Start=False), slot("b", {A: device(L40)})]
    answer = ask(tmp_path, ads)
    assert (answer.possible, answer.rule) == (0, "no-willing-slot")
    assert answer.clause.endswith("no slot of capability 8.0 (0 of 1 such slots would start any job)")
    assert ask(tmp_path, ads, "8.9").possible == 1


def test_a_start_policy_that_the_job_meets(tmp_path: Path) -> None:
    ads = [slot("a", {A: device(A100)}, Start=ExprTree("TARGET.RequestGPUs > 0"))]
    assert ask(tmp_path, ads) == Feasibility(1, 1)


def test_a_requirement_of_the_site(tmp_path: Path) -> None:
    text = '[resources]\nrequirements = "HasStorage || false"'
    ads = [slot("a", {A: device(A100)}), slot("b", {A: device(A100)}, HasStorage=True)]
    assert ask(tmp_path, ads, text=text) == Feasibility(1, 1)
    assert ask(tmp_path, ads[:1], text=text).rule == "no-willing-slot"


def test_another_platform(tmp_path: Path) -> None:
    assert ask(tmp_path, [slot("a", {A: device(A100)}, Arch="aarch64")]).rule == "no-willing-slot"


def test_an_empty_pool(tmp_path: Path) -> None:
    assert ask(tmp_path, []).rule == "capability-not-in-pool"


def test_mig_slices_take_part_unless_they_are_excluded(tmp_path: Path) -> None:
    without = "[gpus]\nmig = false"
    slices, whole = slot("mig", {C: device(MIG)}), slot("a", {A: device(A100)})
    both = slot("both", {C: device(MIG), A: device(A100)}, GPUs=1, AvailableGPUs=references(C))
    assert ask(tmp_path, [slices, whole]) == Feasibility(2, 2)
    assert ask(tmp_path, [slices, whole], text=without) == Feasibility(1, 1)
    assert ask(tmp_path, [slices], text=without).possible == 0
    assert ask(tmp_path, [both], text=without) == Feasibility(1, 0)


def test_a_device_without_a_name_is_not_taken_for_a_slice(tmp_path: Path) -> None:
    facts = {k: v for k, v in device(A100).items() if k != "DeviceName"}
    assert ask(tmp_path, [slot("a", {A: facts})], text="[gpus]\nmig = false") == Feasibility(1, 1)


def test_devices_with_too_little_memory_are_left_alone(tmp_path: Path) -> None:
    text = '[gpus]\nminimum_memory = "10GB"'
    assert ask(tmp_path, [slot("mig", {C: device(MIG)})], text=text).possible == 0
    assert ask(tmp_path, [slot("a", {A: device(A100)})], text=text) == Feasibility(1, 1)
