"""sweep.toml -> validated settings, and settings that are narrowed to a part of a sweep.

Every problem is reported at once, each with the key, the value and what would be right.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sweep import places
from sweep.errors import SettingsError
from sweep.files import read_whole
from sweep.settings import FrameworkSettings, ImageSettings, Settings
from sweep.tomlfile import did_you_mean, explain, read_toml, validated


def load(path: Path) -> Settings:
    """The settings of a sweep.toml; relative paths in it are relative to its own directory.

    Raises:
        SettingsError: the file is missing, is not TOML, or holds an unknown key, a wrong type or an
            impossible value.
    """
    data = read_toml(path, "write one with `sweep init`, or name it with --settings")
    table = _sweep_table(data, path)
    settings = validated(Settings, {**data, **table}, path)

    def absolute(key: str, value: Path) -> Path:
        try:
            return path.resolve().parent / value.expanduser()
        except RuntimeError:
            raise SettingsError(
                f"{path}: {key} = {str(value)!r}: no such home directory; write the path out"
            ) from None

    cache, config = settings.conda.cache, settings.pool.condor_config
    cache = absolute("conda.cache", cache) if cache else places.cache_dir()
    config = config and str(absolute("pool.condor_config", Path(config)))
    own, facts = settings.framework_files, settings.rules.facts
    facts = facts and absolute("rules.facts", facts)
    known = settings.rules.known and absolute("rules.known", settings.rules.known)
    payload = settings.payload
    if payload:
        files = [_not_linked_out(file, absolute("payload.files", file), path) for file in payload.files]
        payload = payload.model_copy(update={"files": files})
    frameworks = {}
    for name, framework in settings.frameworks.items():
        images = [
            _at(absolute(f"frameworks.{name}.images", Path(i.image)), i, path) if i.image.endswith(".sif") else i
            for i in framework.images
        ]
        frameworks[name] = framework.model_copy(update={"images": images})
    webhook = settings.notify.webhook_file and absolute("notify.webhook_file", settings.notify.webhook_file)
    return settings.model_copy(
        update={
            "results": absolute("sweep.results", settings.results),
            "framework_files": own and absolute("sweep.framework_files", own),
            "rules": settings.rules.model_copy(update={"facts": facts, "known": known}),
            "notify": settings.notify.model_copy(update={"webhook_file": webhook}),
            "conda": settings.conda.model_copy(update={"cache": cache}),
            "pool": settings.pool.model_copy(update={"condor_config": config}),
            "frameworks": frameworks,
            "payload": payload,
        }
    )


def _at(found: Path, image: ImageSettings, path: Path) -> ImageSettings:
    """An image's settings with its absolute path, in which the same characters may occur as in the one written."""
    try:
        return ImageSettings.model_validate(image.model_dump() | {"image": str(found)})
    except ValidationError:
        raise SettingsError(
            f"{path}: image = {image.image!r} is {str(found)!r}, which cannot stand in a submit file: only letters, "
            "digits and _ . / ~ + - may occur, in the directories above it too; put it elsewhere"
        ) from None


def _not_linked_out(written: Path, found: Path, path: Path) -> Path:
    """A file of the payload, unless a link on the way to it leads elsewhere than the settings say.

    The links may be a contributor's, the settings the site's own: an absolute path is what it was meant to be.
    """
    leads_to = os.path.realpath(found)
    top = os.path.commonpath([path.resolve().parent, os.path.normpath(found)])  # above the settings only after a ".."
    if not written.expanduser().is_absolute() and not Path(leads_to).is_relative_to(top):
        raise SettingsError(
            f"{path}: payload.files = {str(written)!r}: a link on the way leads to {leads_to!r}; remove "
            "it, or name the files by their absolute path"
        )
    return found


def _sweep_table(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Take the [sweep] table out of a file's data: its keys are the settings that stand in no other table."""
    own = ("results", "framework_files", "pack_logs")
    table = data.pop("sweep", {})
    if not isinstance(table, dict):
        raise SettingsError(f"{path}: sweep = {table!r}: [sweep] is a table")
    for key, value in table.items():
        if key not in own:
            raise SettingsError(f"{path}: unknown key sweep.{key}{did_you_mean(key, own)}")
        if key == "pack_logs":
            if not isinstance(value, bool):
                raise SettingsError(f"{path}: sweep.{key} = {value!r}: write true or false")
        elif not isinstance(value, str) or not value.isprintable() or not value:
            raise SettingsError(f"{path}: sweep.{key} = {value!r}: write the path of a directory as a string")
    if clash := sorted(set(data) & set(own)):
        raise SettingsError(f"{path}: {clash[0]} belongs into the [sweep] table")
    tables = ["sweep", *(name for name in Settings.model_fields if name not in own)]
    if unknown := [name for name in data if name not in tables]:
        raise SettingsError(f"{path}: unknown key {unknown[0]}{did_you_mean(unknown[0], tables)}")
    return table


def load_stored(path: Path) -> Settings:
    """The settings that a sweep was made with, from its settings.json.

    Raises:
        SettingsError: the file is missing or damaged.
    """
    try:
        text = read_whole(path)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; is {path.parent} a sweep's directory?") from error
    try:
        return Settings.model_validate_json(text)
    except ValidationError as error:
        raise SettingsError(explain(error, path, Settings)) from error


def only(settings: Settings, framework: str, version: str, cuda: str, capability: str) -> Settings:
    """The same settings narrowed to one tuple, with results of its own.

    Raises:
        SettingsError: a value is not of its kind; the key says which.
    """
    chosen = settings.frameworks.get(framework, FrameworkSettings())
    narrowed = settings.model_dump() | {
        "results": settings.results / "tries",
        "frameworks": {framework: chosen.model_dump() | {"versions": [version]}},
        "cuda": settings.cuda.model_dump() | {"runtimes": [cuda]},
        "gpus": settings.gpus.model_dump() | {"capabilities": [capability]},
        "space": {"one_per": settings.space.one_per},
        "rules": settings.rules.model_dump() | {"audit": 0},
    }
    return _revalidated(narrowed, "sweep try")


def selected(settings: Settings, only: Sequence[str]) -> Settings:
    """The same settings for the tuples that match one of the globs, and nothing else; all of them without a glob.

    Raises:
        SettingsError: a glob has a character that no tuple id has.
    """
    if not only:
        return settings
    return _with(settings, "--only", "space", only=list(only))


def with_reuse(settings: Settings, age: str) -> Settings:
    """The same settings, reusing verdicts up to an age such as `180d`.

    Raises:
        SettingsError: it is no duration.
    """
    return _with(settings, "--reuse", "reuse", age=age)


def with_budget(settings: Settings, gpu_hours: float) -> Settings:
    """The same settings with another budget.

    Raises:
        SettingsError: it is no positive number.
    """
    return _with(settings, "--gpu-hours", "load", gpu_hours=gpu_hours)


def for_framework(settings: Settings, framework: str) -> Settings:
    """The same settings for one framework, whether they have a table for it or not.

    Raises:
        SettingsError: the name cannot be a framework's.
    """
    chosen = settings.frameworks.get(framework, FrameworkSettings())
    return _revalidated(settings.model_dump() | {"frameworks": {framework: chosen.model_dump()}}, "sweep builds")


def _with(settings: Settings, where: str, table: str, **values: object) -> Settings:
    """The same settings with other values in one table; `where` they were given, for the message."""
    whole = settings.model_dump()
    return _revalidated(whole | {table: whole[table] | values}, where)


def _revalidated(changed: dict[str, Any], where: str) -> Settings:
    try:
        return Settings.model_validate_json(json.dumps(changed, default=str))
    except ValidationError as error:
        raise SettingsError(explain(error, Path(where), Settings)) from error
