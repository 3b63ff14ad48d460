"""Framework files: what a framework's packages are called, how to ask for them, and which probe tests it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from packaging.requirements import Requirement
from pydantic import Field, field_validator

from sweep import places
from sweep.cuda import version_key
from sweep.errors import SettingsError
from sweep.fields import PlainLine, Table
from sweep.model import Name, Source
from sweep.settings import Settings
from sweep.tomlfile import did_you_mean, read_toml, validated


class Wheels(Table):
    """What a framework is called in a package index.

    `package` is the distribution that versions are counted on, `requirements` what a user would ask pip for.
    {version} is the series or version, {cuda} the CUDA runtime, {major} its major version. The CUDA runtime itself
    is asked for beside them (see `wheels.runtime_package`).
    """

    package: PlainLine
    requirements: list[PlainLine] = Field(min_length=1)

    @field_validator("package", "requirements")
    @classmethod
    def _patterns(cls, patterns: str | list[str]) -> str | list[str]:
        for pattern in [patterns] if isinstance(patterns, str) else patterns:
            try:
                Requirement(_filled(pattern, "1.0", "1.0"))
            except (KeyError, ValueError, IndexError) as error:
                raise ValueError(
                    f"{pattern!r} is not a requirement with {{version}}, {{cuda}} and {{major}}: {error}"
                ) from None
        if isinstance(patterns, list) and not any("{version}" in pattern for pattern in patterns):
            raise ValueError("{version} must appear in the requirements")
        return patterns

    def package_for(self, cuda: str) -> str:
        """The distribution that versions are counted on, for one CUDA runtime."""
        return _filled(self.package, "", cuda)

    def requirements_for(self, version: str, cuda: str) -> tuple[str, ...]:
        """The requirements of one environment."""
        return tuple(_filled(pattern, version, cuda) for pattern in self.requirements)


def _filled(pattern: str, version: str, cuda: str) -> str:
    return pattern.format(version=version, cuda=cuda, major=cuda.partition(".")[0])


class Framework(Table):
    """A framework file: package names, spec patterns and the probe; `pip` where it comes as wheels too."""

    schema_: Literal[1] = Field(alias="schema")
    name: Name
    title: PlainLine
    package: Annotated[str, Field(pattern=r"^[a-z0-9._-]+$")]
    series: Annotated[int, Field(ge=1, le=4, strict=True)]
    cuda_package: Annotated[str, Field(pattern=r"^[a-z0-9._-]+$")]
    specs: list[PlainLine] = Field(min_length=1)
    # Instead of `specs` for runtimes before 12, which conda has as one package, `cudatoolkit`; where it matters.
    specs_before_12: list[PlainLine] | None = Field(default=None, min_length=1)
    probe: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.py$")]
    pip: Wheels | None = None

    @field_validator("specs", "specs_before_12")
    @classmethod
    def _patterns(cls, specs: list[str] | None) -> list[str] | None:
        for spec in specs or ():
            if unknown := set(re.findall(r"{(.*?)}", spec)) - {"version", "cuda"}:
                raise ValueError(f"{spec!r}: only {{version}} and {{cuda}} are filled in, not {sorted(unknown)}")
            try:
                spec.format(version="1.0", cuda="1.0")
            except ValueError:
                raise ValueError(f"{spec!r}: a brace stands alone; write {{version}} or {{cuda}}") from None
        if specs and not all(any(word in spec for spec in specs) for word in ("{version}", "{cuda}")):
            raise ValueError("{version} and {cuda} must both appear in the specs")
        return specs

    def specs_for(self, version: str, cuda: str, python: str | None) -> tuple[str, ...]:
        """The conda specs of one environment."""
        before_12 = version_key(cuda) < (12,)
        patterns = self.specs_before_12 if before_12 and self.specs_before_12 else self.specs
        specs = [pattern.format(version=version, cuda=cuda) for pattern in patterns]
        return (*specs, f"python {python}.*" if python else "python")


def load_frameworks(settings: Settings) -> dict[str, Framework]:
    """The framework files that the settings name, the user's own directory before the built-in one.

    Raises:
        SettingsError: a framework has no file, or its file is wrong.
    """
    found = {name: load_framework(_framework_file(name, settings)) for name in settings.frameworks}
    for name, framework in found.items():
        if settings.frameworks[name].source is Source.PIP and framework.pip is None:
            raise SettingsError(
                f'frameworks.{name}.source = "pip": its framework file has no [pip] table, because the wheels do not '
                "say which CUDA runtime they are for; take conda, or write a framework file of your own"
            )
    return found


def load_framework(path: Path) -> Framework:
    """One framework file.

    Raises:
        SettingsError: the file is not TOML, or a key or value is wrong.
    """
    framework = validated(Framework, read_toml(path, "see sweep/frameworks/ for examples"), path)
    if framework.name != path.stem:
        raise SettingsError(f"{path}: name = {framework.name!r} must equal the file's name, {path.stem!r}")
    return framework


def known_frameworks() -> tuple[str, ...]:
    """The names of the built-in framework files."""
    return tuple(sorted(path.stem for path in places.frameworks().glob("*.toml")))


def probe_file(framework: Framework, settings: Settings) -> Path:
    """The framework's probe: beside a user's own framework file, or the built-in one.

    Raises:
        SettingsError: there is no such file.
    """
    for directory in _own_first(settings, places.probes()):
        if (path := directory / framework.probe).is_file():
            return path
    raise SettingsError(
        f"{framework.name}: its probe {framework.probe} is not beside its framework file, nor built in"
    )


def _framework_file(name: str, settings: Settings) -> Path:
    for directory in _own_first(settings, places.frameworks()):
        if (path := directory / f"{name}.toml").is_file():
            return path
    raise SettingsError(
        f"frameworks.{name}: there is no framework file {name}.toml in "
        + " or ".join(map(str, _own_first(settings, places.frameworks())))
        + did_you_mean(name, known_frameworks(), "frameworks")
    )


def _own_first(settings: Settings, built_in: Path) -> list[Path]:
    own = settings.framework_files
    return [own, built_in] if own else [built_in]
