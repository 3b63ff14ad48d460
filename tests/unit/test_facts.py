"""The tables of facts: what they answer, how ranges and targets compare, and how a wrong table is reported."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweep import places
from sweep.cuda import FIRST_MAJOR_WITH_MINOR_COMPATIBILITY, DriverPolicy, version_key
from sweep.errors import SettingsError
from sweep.facts import load_facts
from sweep.facts.tables import ArchList, branch_of

FACTS = load_facts()
TABLES = sorted((places.PACKAGE / "facts").glob("*.toml"))
CAPABILITIES = st.builds("{}.{}".format, st.integers(2, 14), st.integers(0, 9))
RUNTIMES = st.sampled_from([row.runtime for row in FACTS.toolkits.strict])


def arch_list(*sass: str, ptx: str | None = None) -> ArchList:
    return ArchList(
        framework="pytorch", version="2.5", compiled="12.4", sass=sass, ptx=ptx, source="a test", date="2026-08"
    )


# --------------------------------------------------------------------------- toolkits


def can_target(runtime: str, capability: str) -> bool | None:
    """What the table's row of a capability says; None where it has none."""
    rows = [row for row in FACTS.toolkits.toolkit if capability in row.capabilities]
    return rows[0].targets(runtime) if rows else None


@pytest.mark.parametrize(
    ("runtime", "capability", "answer"),
    [
        ("11.8", "3.5", True),
        ("12.0", "3.5", False),
        ("12.9", "5.0", True),
        ("12.9", "7.0", True),
        ("13.0", "7.0", False),
        ("13.0", "7.5", True),
        ("11.7", "8.9", False),
        ("11.8", "9.0", True),
        ("12.6", "12.0", False),
        ("12.8", "10.0", True),
        ("12.8", "12.1", False),
        ("12.9", "10.3", True),
        ("13.0", "11.0", True),
        ("12.10", "12.0", True),
        ("12.4", "99.0", None),
        ("13.0", "10.1", None),
    ],
)
def test_which_capabilities_a_toolkit_compiles_for(runtime: str, capability: str, answer: bool | None) -> None:
    assert can_target(runtime, capability) is answer


def test_a_toolkit_drops_old_capabilities_and_not_those_it_does_not_know_yet() -> None:
    dropped = FACTS.dropped_by("13.0", "7.0")
    assert dropped is not None
    assert (dropped.name, dropped.until) == ("Volta", "13.0")
    assert FACTS.dropped_by("12.9", "7.0") is None
    assert FACTS.dropped_by("11.8", "12.0") is None


@given(RUNTIMES, CAPABILITIES)
def test_what_is_dropped_is_never_a_target_and_lies_below_the_lowest(runtime: str, capability: str) -> None:
    if FACTS.dropped_by(runtime, capability):
        targets = [c for row in FACTS.toolkits.toolkit if row.targets(runtime) for c in row.capabilities]
        assert can_target(runtime, capability) is False
        assert version_key(capability) < min(map(version_key, targets))


@given(RUNTIMES, RUNTIMES, CAPABILITIES)
def test_what_a_toolkit_dropped_no_newer_one_takes_up_again(runtime: str, other: str, capability: str) -> None:
    older, newer = sorted((runtime, other), key=version_key)
    if FACTS.dropped_by(older, capability):
        assert FACTS.dropped_by(newer, capability)


# --------------------------------------------------------------------------- drivers


@pytest.mark.parametrize(
    ("runtime", "strict", "minor"),
    [
        ("12.4", "550.54.14", "525.60.13"),
        ("11.8", "520.61.05", "450.80.02"),
        ("11.0", "450.51.05", "450.51.05"),
        ("13.1", "590.44.01", "580.65.06"),
        ("10.2", "440.33", "440.33"),
        ("12.7", None, "525.60.13"),
        ("14.0", None, None),
    ],
)
def test_the_oldest_driver_release_of_a_runtime(runtime: str, strict: str | None, minor: str | None) -> None:
    assert FACTS.minimum_driver(runtime, DriverPolicy.STRICT) == strict
    assert FACTS.minimum_driver(runtime, DriverPolicy.MINOR) == minor


@pytest.mark.parametrize(
    ("driver", "runtime"),
    [
        ("590", "13.1"),
        ("590.44.01", "13.1"),
        ("580.65.06", "13.0"),
        ("550.54.14", "12.4"),
        ("550.40.07", "12.3"),
        ("300", None),
    ],
)
def test_the_newest_runtime_of_a_driver_release_or_branch(driver: str, runtime: str | None) -> None:
    assert FACTS.newest_runtime(driver) == runtime


def test_newer_runtimes_need_newer_drivers() -> None:
    rows = sorted(FACTS.toolkits.strict, key=lambda row: version_key(row.runtime))
    drivers = [version_key(row.driver) for row in rows]
    assert drivers == sorted(drivers)


def test_minor_compatibility_begins_where_the_driver_policy_says() -> None:
    assert min(row.major for row in FACTS.toolkits.minor) == FIRST_MAJOR_WITH_MINOR_COMPATIBILITY


@pytest.mark.parametrize(
    ("driver", "capability", "last"),
    [
        ("470.82.01", "3.7", None),
        ("495.29.05", "3.7", 470),
        ("580.95.05", "6.1", None),
        ("590.44.01", "7.0", 580),
        ("595.58.03", "3.5", 470),
        ("610.43.02", "7.5", None),
        ("no release", "7.0", None),
    ],
)
def test_driver_branches_drop_old_generations(driver: str, capability: str, last: int | None) -> None:
    row = FACTS.driver_drops(driver, capability)
    assert (row.last if row else None) == last


def test_the_branch_of_a_release() -> None:
    assert branch_of("580.95.05") == 580
    assert branch_of("590") == 590
    assert branch_of("") is None


# --------------------------------------------------------------------------- arch lists


@pytest.mark.parametrize(
    ("sass", "ptx", "capability", "kind"),
    [
        (["8.6"], None, "8.9", "sass"),
        (["8.6"], None, "8.0", None),
        (["6.0"], None, "6.1", "sass"),
        (["9.0"], None, "10.0", None),
        (["10.0"], None, "12.0", None),
        (["9.0"], "9.0", "12.0", "ptx"),
        (["9.0"], "9.0", "9.0", "sass"),
        (["8.0"], "9.0", "8.9", "sass"),
        ([], "7.0", "6.1", None),
        (["9.0a"], None, "9.0", "sass"),
        (["9.0a"], "9.0a", "10.0", None),
        (["10.0a"], None, "10.3", None),
        (["10.0f"], None, "10.3", "sass"),
        ([], "10.0f", "10.3", "ptx"),
        (["10.0f"], "10.0f", "12.0", None),
        (["10.3f"], None, "10.0", None),
    ],
)
def test_machine_code_stays_in_its_major_version_and_ptx_goes_upward(
    sass: list[str], ptx: str | None, capability: str, kind: str | None
) -> None:
    assert arch_list(*sass, ptx=ptx).covers(capability) == kind


@given(st.lists(CAPABILITIES, max_size=6), CAPABILITIES, CAPABILITIES, CAPABILITIES)
def test_ptx_covers_everything_from_its_own_capability_on(sass: list[str], ptx: str, one: str, other: str) -> None:
    archs = arch_list(*sass, ptx=ptx)
    lower, higher = sorted((one, other), key=version_key)
    assert (archs.covers(higher) is not None) or version_key(higher) < version_key(ptx)
    if archs.covers(lower) == "ptx":
        assert archs.covers(higher) is not None


@given(st.lists(CAPABILITIES, max_size=6), CAPABILITIES)
def test_machine_code_alone_covers_what_some_entry_covers(sass: list[str], capability: str) -> None:
    single = {arch_list(entry).covers(capability) for entry in sass}
    assert arch_list(*sass).covers(capability) == ("sass" if "sass" in single else None)


@given(st.lists(CAPABILITIES, max_size=6), CAPABILITIES)
def test_an_a_suffix_never_covers_more_than_the_plain_target(sass: list[str], capability: str) -> None:
    if arch_list(*[f"{entry}a" for entry in sass]).covers(capability):
        assert capability in sass and arch_list(*sass).covers(capability)


@pytest.mark.parametrize(
    ("framework", "version", "compiled", "built", "newest", "ptx"),
    [
        ("pytorch", "2.5", "12.6", None, "9.0", "9.0"),
        ("pytorch", "2.7.1", "12.6", None, "9.0", "9.0"),
        ("pytorch", "2.7", "12.9", None, "12.0", "12.0"),
        ("pytorch", "2.10", "13.0", None, "12.0", "12.0"),
        ("pytorch", "2.1", "11.8", None, "8.9", "8.9"),
        ("tensorflow", "2.19.1", "12.8", datetime(2025, 11, 3, tzinfo=UTC), "9.0", "9.0"),
        ("tensorflow", "2.19", "12.9", datetime(2025, 11, 29, tzinfo=UTC), "12.0", "12.0"),
        ("jax", "0.6", "12.6", None, "9.0", "9.0"),
        ("jax", "0.6.2", "12.9", None, "12.0", "12.0"),
    ],
)
def test_what_conda_forge_compiled_for(
    framework: str, version: str, compiled: str, built: datetime | None, newest: str, ptx: str
) -> None:
    archs = FACTS.archs(framework, version, compiled, built)
    assert archs is not None
    assert (archs.sass[-1], archs.ptx) == (newest, ptx)


def test_conda_forge_keeps_old_gpus_with_cuda_12_and_not_with_13() -> None:
    twelve, thirteen = (FACTS.archs("pytorch", "2.10", cuda, None) for cuda in ("12.9", "13.0"))
    assert twelve is not None and thirteen is not None
    assert [twelve.covers(c) for c in ("5.2", "6.1", "7.0", "8.9")] == ["sass"] * 4
    assert [thirteen.covers(c) for c in ("5.2", "6.1", "7.0", "8.9")] == [None, None, None, "sass"]


def test_what_no_row_knows_is_unknown() -> None:
    assert FACTS.archs("pytorch", "2.99", "12.9", None) is None
    assert FACTS.archs("cupy", "13.4", "12.8", None) is None


def test_a_build_of_unknown_day_has_no_list_where_the_list_changed() -> None:
    assert FACTS.archs("tensorflow", "2.19", "12.8", None) is None


def test_the_day_of_a_change_belongs_to_the_new_list() -> None:
    old, new = (row for row in FACTS.arch_lists.archs if row.version == "2.19")
    assert old.until == new.since == date(2025, 11, 10)
    assert not old.made(date(2025, 11, 10)) and new.made(date(2025, 11, 10))
    assert old.made(date(2025, 11, 9)) and not new.made(date(2025, 11, 9))


def test_no_build_of_known_day_has_two_lists() -> None:
    days = [datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)]
    for row in FACTS.upstreams.upstream:
        for version in row.versions:
            for strict in FACTS.toolkits.strict:
                for day in days:
                    alike = [
                        archs
                        for archs in FACTS.arch_lists.archs
                        if archs.describes(row.framework, version, strict.runtime) and archs.made(day.date())
                    ]
                    assert len(alike) < 2, (row.framework, version, strict.runtime)


def test_no_build_has_code_for_a_gpu_that_its_toolkit_cannot_compile_for() -> None:
    for row in FACTS.arch_lists.archs:
        for strict in FACTS.toolkits.strict:
            versions = [v for u in FACTS.upstreams.upstream if u.framework == row.framework for v in u.versions]
            if any(row.describes(row.framework, version, strict.runtime) for version in versions):
                wrong = [target for target in row.sass if can_target(strict.runtime, target) is False]
                # A range of compilers may begin before the one that knows the newest GPU of the list.
                assert not [t for t in wrong if FACTS.dropped_by(strict.runtime, t)], (row.framework, strict.runtime)


# --------------------------------------------------------------------------- systems and upstream


@pytest.mark.parametrize(
    ("name", "glibc", "linux"),
    [
        ("CentOS7", "2.17", "3.10"),
        ("AlmaLinux9", "2.34", "5.14"),
        ("Debian12", "2.36", "6.1"),
        ("Ubuntu22", "2.35", "5.15"),
    ],
)
def test_what_an_operating_system_has_at_least(name: str, glibc: str, linux: str) -> None:
    system = FACTS.system(name)
    assert system is not None
    assert (system.glibc, system.linux) == (glibc, linux)


def test_an_unknown_system_is_unknown() -> None:
    assert FACTS.system("LINUX0") is None


@pytest.mark.parametrize(
    ("framework", "version", "served"),
    [
        ("pytorch", "2.5", ("11.8", "12.0")),
        ("pytorch", "2.7.1", ("12.6",)),
        ("pytorch", "2.10", ("12.9", "13.0")),
        ("pytorch", "2.1", ("11.2", "12.0")),
        ("jax", "0.4.27", ("12.0",)),
        ("jax", "0.4", ("11.2", "12.0")),
        ("cupy", "13.6", ("11.2", "12.0", "13.0")),
        ("pytorch", "2.2", None),
        ("numba", "0.60", None),
    ],
)
def test_what_conda_forge_built(framework: str, version: str, served: tuple[str, ...] | None) -> None:
    assert FACTS.upstream(framework, version) == served


# --------------------------------------------------------------------------- tables and their errors


def test_the_rows_name_the_packages_that_they_ask_for() -> None:
    assert FACTS.packages == {"cudnn"}


def test_a_table_of_ones_own_replaces_the_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "drivers.toml").write_text("schema = 1\nbranch = []\n")
    facts = load_facts(tmp_path)
    assert facts.driver_drops("590.44.01", "7.0") is None
    assert facts.toolkits == FACTS.toolkits


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source = ", "sourc = ", "unknown key"),
        ('date = "20', 'date = "summer 20', "date"),
        ("schema = 1", "schema = 2", "schema"),
    ],
)
def test_a_wrong_table_is_named_with_file_and_key(tmp_path: Path, path: Path, old: str, new: str, said: str) -> None:
    wrong = tmp_path / path.name
    wrong.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(SettingsError) as error:
        load_facts(tmp_path)
    assert str(wrong) in str(error.value) and said in str(error.value)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("", "without a condition"),
        ('package = "cudnn"', "together"),
        ('version = "2.5"', "name the framework"),
        ('capability = "below 7"', "range such as"),
        ('capability = "<7"\nreason = "{found}"', "filled into a reason"),
        ('capability = "<7"\nreason = "{"', "filled into a reason"),
        ('capability = "<7"\neffect = "prune"', r"prediction\.\S*effect"),
        ("capability = 7.5", r"prediction\.\S*capability = 7\.5"),
    ],
)
def test_a_wrong_row_is_refused(tmp_path: Path, row: str, said: str) -> None:
    usual = {"id": "a", "effect": "predict", "cause": "crashed", "reason": "r", "source": "a test", "date": "2026-08"}
    lines = [row, *(f'{key} = "{value}"' for key, value in usual.items() if f"{key} = " not in row)]
    (tmp_path / "predictions.toml").write_text("schema = 1\n[[prediction]]\n" + "\n".join(lines))
    with pytest.raises(SettingsError, match=said):
        load_facts(tmp_path)


@pytest.mark.parametrize(
    ("table", "said"), [("toolkits", "capability"), ("systems", "name"), ("predictions", "short-uuid-unseen")]
)
def test_a_row_that_stands_twice_is_refused(tmp_path: Path, table: str, said: str) -> None:
    text = (places.PACKAGE / "facts" / f"{table}.toml").read_text()
    head, separator, rows = text.partition("\n[[")
    (tmp_path / f"{table}.toml").write_text(head + separator + rows + separator + rows)
    with pytest.raises(SettingsError, match=f"{said}.* stands in more than one place"):
        load_facts(tmp_path)


def test_a_misspelled_table_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "driver.toml").write_text("schema = 1\n")
    with pytest.raises(SettingsError, match=r"driver\.toml.*did you mean drivers\.toml"):
        load_facts(tmp_path)


def test_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such directory"):
        load_facts(tmp_path / "facts")
