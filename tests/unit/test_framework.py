"""Framework files: the built-in ones, a user's own, and what is said of a wrong one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from planning import settings_of
from pydantic import ValidationError

from sweep.config import load
from sweep.errors import SettingsError
from sweep.framework import Framework, known_frameworks, load_framework, load_frameworks, probe_file
from sweep.probe.driver.checks import FORMATS
from sweep.probe.driver.child import load_probe
from sweep.probe.driver.speed import MEASURES
from sweep.settings import Settings

GOOD = """schema = 1
name = "mine"
title = "Mine"
package = "mine"
series = 2
cuda_package = "mine-core"
specs = ["mine {version}.*", "cuda-version {cuda}.*"]
probe = "mine.py"
"""


def framework(directory: Path, text: str = GOOD, name: str = "mine") -> Framework:
    path = directory / f"{name}.toml"
    path.write_text(text)
    return load_framework(path)


def own_settings(directory: Path, name: str = "mine") -> Settings:
    return settings_of(directory, f'[frameworks.{name}]\n[sweep]\nframework_files = "."\n')


@pytest.mark.parametrize("name", known_frameworks())
def test_a_built_in_framework_has_all_its_files(tmp_path: Path, name: str) -> None:
    settings = settings_of(tmp_path, f"[frameworks.{name}]" if name != "pytorch" else "")
    found = load_frameworks(settings)[name]
    assert found.name == name
    assert "def " in probe_file(found, settings).read_text()
    specs = found.specs_for("2.5", "12.4", "3.12")
    assert specs[-1] == "python 3.12.*"
    assert "cuda-version 12.4.*" in specs
    assert any(" 2.5.*" in spec for spec in specs)
    assert not re.search("[{}]", "".join(specs))


def test_the_frameworks_that_the_issue_asks_for_are_built_in() -> None:
    assert {"pytorch", "tensorflow", "jax", "cupy", "numba_cuda", "xgboost"} <= set(known_frameworks())


@pytest.mark.parametrize("name", known_frameworks())
def test_a_built_in_probe_has_every_rung_and_parses_on_old_pythons(tmp_path: Path, name: str) -> None:
    settings = settings_of(tmp_path, f"[frameworks.{name}]" if name != "pytorch" else "")
    path = probe_file(load_frameworks(settings)[name], settings)
    ast.parse(path.read_text(), feature_version=(3, 8))
    probe = load_probe(str(path))
    assert set(probe.LACKS) <= {"library", "gradient"} and all(probe.LACKS.values())
    assert "float32" in probe.FORMATS and set(probe.FORMATS) <= set(FORMATS)
    assert set(probe.BENCHES) <= set(MEASURES)


def test_specs_of_an_environment(tmp_path: Path) -> None:
    found = framework(tmp_path)
    assert found.specs_for("2.5.1", "11.8", None) == ("mine 2.5.1.*", "cuda-version 11.8.*", "python")


def test_specs_of_runtimes_before_12_where_they_differ(tmp_path: Path) -> None:
    found = framework(tmp_path, GOOD + 'specs_before_12 = ["mine {version}.*", "cudatoolkit {cuda}.*"]\n')
    assert found.specs_for("2.5", "11.8", None) == ("mine 2.5.*", "cudatoolkit 11.8.*", "python")
    assert found.specs_for("2.5", "12.4", None) == ("mine 2.5.*", "cuda-version 12.4.*", "python")
    with pytest.raises(
        SettingsError, match=r"specs_before_12 = .*\{version\} and \{cuda\} must both appear.* \(line 9\)"
    ):
        framework(tmp_path, GOOD + 'specs_before_12 = ["mine {version}.*"]\n')


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 2", "schema = 2: Input should be 1"),
        ("schema = 1\n", "", "schema is missing; add it"),
        ("schema = 1", "schema = 1\nschemas = 1", "unknown key schemas; did you mean schema?"),
        ('title = "Mine"\n', "", "title is missing; add it"),
        ('title = "Mine"', 'titel = "Mine"\ntitle = "x"', "unknown key titel; did you mean title?"),
        ('title = "Mine"', 'title = "a\\u001b[31m"', "title = 'a\\x1b[31m': control characters"),
        ('package = "mine"', 'package = "Mine Package"', "package = 'Mine Package': "),
        ("series = 2", "series = 0", "series = 0: Input should be greater than or equal to 1"),
        ("series = 2", 'series = "2"', "series = '2': Input should be a valid integer"),
        ('["mine {version}.*", "cuda-version {cuda}.*"]', "[]", "specs = []: empty; at least 1 entry"),
        ("{version}", "{vesion}", "specs = .*only {version} and {cuda} are filled in, not \\['vesion'\\]"),
        ("{version}", "{version", "specs = .*a brace stands alone; write {version} or {cuda}"),
        ("{version}", "}{version}", "specs = .*a brace stands alone"),
        ("mine {version}.*", "mine", "specs = .*{version} and {cuda} must both appear"),
        ("cuda-version {cuda}.*", "cuda-version", "specs = .*{version} and {cuda} must both appear"),
        ('title = "Mine"', 'titel = "Mine"\ntitle = "x"', "unknown key titel; did you mean title? (line 3)"),
        ("series = 2", "# series = 9\nseries = 0", "greater than or equal to 1 (line 6)"),
        ('"mine.py"', '"../mine.py"', "probe = '../mine.py': "),
        ('"mine.py"', '"mine.sh"', "probe = 'mine.sh': "),
        ('name = "mine"', 'name = "other"', "name = 'other' must equal the file's name, 'mine'"),
        ('name = "mine"', "name = ", "not valid TOML: Invalid value (at line 2, column 8)"),
    ],
)
def test_a_wrong_framework_file(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError) as caught:
        framework(tmp_path, GOOD.replace(old, new))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'mine.toml'}: ")
    assert words in message or re.search(words, message)
    assert len(message.splitlines()) == 1


PIP = '[pip]\npackage = "mine-cu{major}"\nrequirements = ["mine-cu{major}[all]=={version}.*"]\n'


def test_requirements_of_an_environment(tmp_path: Path) -> None:
    wheels = framework(tmp_path, GOOD + PIP).pip
    assert wheels is not None
    assert wheels.package_for("12.4") == "mine-cu12"
    assert wheels.requirements_for("2.5", "12.4") == ("mine-cu12[all]==2.5.*",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("=={version}.*", "", "pip.requirements = .*{version} must appear"),
        ("{version}", "{versoin}", "pip.requirements = .*is not a requirement with {version}, {cuda} and {major}"),
        ("=={version}.*", " is {version}", "pip.requirements = .*is not a requirement"),
        ('package = "mine-cu{major}"', 'package = "mine cu{major}"', "pip.package = .*is not a requirement"),
        ('package = "mine-cu{major}"', "", "pip.package is missing; add it"),
    ],
)
def test_a_wrong_table_of_wheels(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in PIP
    with pytest.raises(SettingsError) as caught:
        framework(tmp_path, GOOD + PIP.replace(old, new))
    assert re.search(words, str(caught.value)), caught.value


def test_a_framework_whose_wheels_say_nothing_is_not_taken_from_them(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text('[frameworks.xgboost]\nsource = "pip"\n[pip]\npython = "/usr/bin/python3.11"\n')
    with pytest.raises(SettingsError, match=r'frameworks\.xgboost\.source = "pip": .*take conda'):
        load_frameworks(load(path))


def test_a_framework_unknown_is_named_with_the_closest_known(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"frameworks\.pytorh: .* pytorh\.toml in .*; did you mean pytorch\?"):
        load_frameworks(settings_of(tmp_path, "[frameworks.pytorh]"))


def test_a_framework_unlike_any_other_gets_the_list(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_frameworks(own_settings(tmp_path, "zzz"))
    message = str(caught.value)
    assert message.endswith(f"; known frameworks are {', '.join(known_frameworks())}")
    assert f"no framework file zzz.toml in {tmp_path} or " in message


def test_a_framework_file_of_ones_own_comes_first_and_brings_its_probe(tmp_path: Path) -> None:
    settings = own_settings(tmp_path)
    (tmp_path / "pytorch.toml").write_text(GOOD.replace('"mine"', '"pytorch"', 1).replace("Mine", "My PyTorch"))
    (tmp_path / "mine.toml").write_text(GOOD)
    found = load_frameworks(settings)
    assert found["pytorch"].title == "My PyTorch"
    with pytest.raises(
        SettingsError, match=r"mine: its probe mine\.py is not beside its framework file, nor built in"
    ):
        probe_file(found["mine"], settings)
    (tmp_path / "mine.py").write_text("")
    assert probe_file(found["mine"], settings) == tmp_path / "mine.py"


def test_a_built_in_probe_serves_a_framework_file_of_ones_own(tmp_path: Path) -> None:
    found = framework(tmp_path, GOOD.replace("mine.py", "pytorch.py"))
    assert probe_file(found, own_settings(tmp_path)).parent.name == "probe"


def test_the_model_itself_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        framework(tmp_path).title = "other"
