"""sweep.toml: what is accepted, how it is stored, and the message for everything that is wrong in it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from bad_settings import BAD
from planning import PYTORCH, settings_of
from pydantic import BaseModel

from sweep import render
from sweep.config import load, load_stored, only
from sweep.cuda import DriverPolicy
from sweep.errors import SettingsError
from sweep.files import write_model
from sweep.framework import known_frameworks
from sweep.model import GpuClass
from sweep.places import cache_dir
from sweep.settings import FrameworkSettings, ImageSettings, PayloadSettings, Settings

GPU = GpuClass(
    capability="8.0",
    device='NVIDIA "A100" # 80GB',
    memory_mb=81153,
    runtime="12.4",
    driver=None,
    mig=False,
    devices=2,
    machines=("a.example",),
)
EVERYTHING = (
    """
[sweep]
results = "out/results"
framework_files = "mine"
pack_logs = true
[frameworks.pytorch]
versions = ["2.5.1", "2.10"]
prereleases = true
python = "3.12"
channels = ["file:///srv/conda", "conda-forge"]
[frameworks.tensorflow]
source = "container"
images = [
    { version = "2.19", cuda = "12.4", image = "docker://a.example/tf@sha256:"""
    + "5" * 64
    + """", python = "/usr/bin/python3" },
    { version = "2.18.1", cuda = "12.4", image = "images/tf.sif" },
]
[frameworks.cupy]
source = "pip"
indexes = { "12.4" = "https://pypi.example/cu124/" }
[frameworks.jax]
versions = ">=0.5"
python = { "0.5" = "3.11" }
[cuda]
runtimes = ["12.4", "11.8", "12.4"]
driver_policy = "strict"
[gpus]
capabilities = ["10.0", "8.6"]
mig = false
minimum_memory = "16 GB"
[space]
only = ["pytorch-2.*", "jax*sm[78]?"]
exclude = [{ framework = "pytorch", version = "<2.4", cuda = ">=12.8" }, { capability = "<6.0" }]
include = [{ framework = "pytorch", version = "2.1", cuda = "11.8", capability = "3.5" }]
one_per = "gpu-class"
[rules]
audit = 2
predicted = "skip"
off = ["no-build"]
facts = "facts"
known = "known.toml"
[conda]
channels = ["https://conda.example/forge"]
cache = "cache"
installer = "rattler"
installer_python = "/opt/python3.12/bin/python3"
offline = true
solve_limit = "90s"
[downloads]
packages = "transfer"
cache = "/var/cache/sweep"
mirrors = { "https://conda.example/conda-forge" = "file:///srv/mirror/conda-forge" }
proxy = "http://squid.example:3128"
[node]
glibc = "2.34"
linux = "5.14.0"
archspec = "x86_64_v3"
platform = "linux-64"
[load]
share = 0.25
share_of = "capability"
jobs = 60
idle = 50
priority = -3
gpu_hours = 200
gpu_hours_of = { "9.0" = 20.5 }
gate = false
[notify]
when = "always"
mail = ["staff@site.example"]
mail_from = "sweep@site.example"
smtp = "mail.site.example:25"
sendmail = "/usr/lib/sendmail"
webhook_file = "hook"
[reuse]
age = "180d"
recheck = 0.1
[limits]
queue = "2d"
run = "3h"
install = "45m"
probe = "600s"
held = "5m"
deadline = "7d"
retries = 0
[resources]
cpus = 4
memory = "1TB"
disk = "800MB"
requirements = 'HasStorage && (Site == "here")'
[pool]
condor_config = "etc/condor_config"
[submit]
"+WantGPULab" = true
"My.GPUJobLength" = "short"
accounting_group = "physics"
concurrency_limits = 3
rank = -1.5
[pip]
index = "http://127.0.0.1:8000/simple"
python = "/usr/bin/python3.11"
installer = "pip"
[payload]
command = ["python", "-m", "pytest"]
files = ["tests", "/srv/data.bin"]
packages = ["pytest >=8"]
instead_of_probe = true
timeout = "20m"
junit = "out/junit.xml"
"""
)


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=list(BAD))
def test_a_wrong_setting_is_one_line_that_names_file_key_value_and_remedy(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(tmp_path, text)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'sweep.toml'}: ")
    for word in words:
        assert word in message
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert not re.search(r"pydantic|constrained|\[\w+-|Value error|\^\[", message)


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(tmp_path, '[limits]\nrun = "long"\nquue = 1\n[resources]\ncpus = 0')
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert {line.split()[0] for line in lines[1:]} == {"limits.run", "unknown", "resources.cpus"}


@pytest.mark.parametrize("text", ["", "[frameworks]", "[cuda]\nruntimes = 3"])
def test_a_sweep_without_frameworks_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"sweep\.toml: frameworks(:| is missing)"):
        load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[frameworks.PyTorch]", "frameworks.PyTorch = 'PyTorch': write a name of lower-case"),
        ("frameworks = 3", "frameworks = 3: Input should be a valid dictionary"),
        ("sweep = 3\n[frameworks.jax]", r"sweep = 3: [sweep] is a table"),
        ('results = "x"\n[frameworks.jax]', r"results belongs into the [sweep] table"),
    ],
)
def test_tables_of_the_wrong_kind(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(words)):
        load(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing", None, ("no such file", "sweep init", "--settings")),
        ("broken", b"[limits\nqueue = 3", ("not valid TOML", "line 1")),
        ("twice", b"[cuda]\n[cuda]\n", ("not valid TOML",)),
        ("latin1", b'[frameworks.pytorch]\npython = "\xe9"', ("not UTF-8", "byte 31", "save it as UTF-8")),
        ("binary", b"\x00\x01", ("not valid TOML",)),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str, content: bytes | None, words: tuple[str, ...]) -> None:
    path = tmp_path / f"{name}.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    for word in words:
        assert word in str(caught.value)


def test_a_directory_is_not_a_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Is a directory; write one with `sweep init`"):
        load(tmp_path)


# --------------------------------------------------------------------------- submit commands

OWNED = [
    "requirements", "Requirements", "+Requirements", "My.Requirements", "MY.requirements", "my.REQUIREMENTS",
    "request_GPUs", "Request_Gpus", "+RequestGPUs", "My.RequestGPUs", "request_gpu", "+RequireGPUs", "require_gpus",
    "gpus_minimum_runtime", "GPUs_Minimum_Memory", "+GPUsMinRuntime", "+GPUsMinCapability", "gpus_maximum_capability",
    "executable", "+Cmd", "arguments", "+Arguments", "+Args", "+Env", "env", "log_xml", "docker_image",
    "log", "+UserLog", "output", "+Out", "stdout", "initialdir", "+Iwd", "universe", "+JobUniverse",
    "periodic_remove", "Periodic_Remove", "+PeriodicRemove", "My.PeriodicRemoveReason", "+OnExitRemove",
    "max_retries", "+JobMaxRetries", "transfer_input_files", "+TransferInput", "leave_in_queue", "+LeaveJobInQueue",
    "My.SweepTuple", "+sweeptuple", "+SweepQueueLimit", "+SweepAnything", "+RequestMemory", "queue",
]  # fmt: skip
SITE = [
    "+WantGPULab", "+GPUJobLength", "My.WantFlocking", "accounting_group", "accounting_group_user",
    "nice_user", "concurrency_limits", "+ProjectName", "rank", "notification", "notify_user", "x509userproxy",
]  # fmt: skip


@pytest.mark.parametrize("name", OWNED)
def test_a_command_that_the_sweep_owns_is_refused_in_every_spelling(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_of(tmp_path, f'[submit]\n"{name}" = "x"')
    assert f"submit: {name!r} belongs to the sweep itself" in str(caught.value)
    assert "remove it" in str(caught.value)


@pytest.mark.parametrize("name", SITE)
def test_a_command_of_the_site_is_taken(tmp_path: Path, name: str) -> None:
    assert settings_of(tmp_path, f'[submit]\n"{name}" = "x"').submit == {name: "x"}


def test_every_command_of_the_submit_template_is_owned_or_harmless(tmp_path: Path) -> None:
    template = (Path(render.places.templates()) / "job.sub.j2").read_text()
    written = set(re.findall(r"^(?:My\.)?(\w+) *= ", template, flags=re.MULTILINE))
    assert {"universe", "require_gpus", "SweepTuple", "PeriodicRemoveReason"} <= written
    # A site may want mail, another lease, or larger logs; none of these changes what is tested.
    for name in written - {"notification", "job_lease_duration", "max_transfer_output_mb"}:
        with pytest.raises(SettingsError, match="belongs to the sweep itself"):
            settings_of(tmp_path, f'[submit]\n{name} = "x"')


# --------------------------------------------------------------------------- what is accepted


def test_everything_that_can_be_set(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(EVERYTHING)
    settings = load(path)
    assert settings.results == tmp_path / "out/results"
    assert settings.framework_files == tmp_path / "mine"
    assert settings.pack_logs
    assert settings.conda.cache == tmp_path / "cache"
    assert settings.pool.condor_config == str(tmp_path / "etc/condor_config")
    assert settings.cuda.runtimes == ["11.8", "12.4"]
    assert settings.cuda.driver_policy is DriverPolicy.STRICT
    assert settings.gpus.capabilities == ["8.6", "10.0"]
    assert settings.gpus.minimum_memory == 16 * 1024
    assert (settings.resources.memory, settings.resources.disk) == (1024 * 1024, 800)
    limits = settings.limits
    assert (limits.queue, limits.run, limits.install, limits.probe) == (172800, 10800, 2700, 600)
    assert settings.frameworks["pytorch"].versions == ["2.5.1", "2.10"]
    jax = settings.frameworks["jax"]
    assert jax == FrameworkSettings(versions=">=0.5", python={"0.5": "3.11"})
    assert (jax.python_of("0.5.1"), jax.python_of("0.6")) == ("3.11", None)
    assert settings.frameworks["pytorch"].python_of("2.10") == "3.12"
    assert settings.rules.facts == tmp_path / "facts"
    assert settings.rules.known == tmp_path / "known.toml"
    assert settings.frameworks["tensorflow"].images[1].image == str(tmp_path / "images/tf.sif")
    assert settings.frameworks["cupy"].indexes == {"12.4": "https://pypi.example/cu124"}
    assert settings.payload is not None
    assert settings.payload.files == [tmp_path / "tests", Path("/srv/data.bin")]
    assert settings.notify.webhook_file == tmp_path / "hook"
    assert settings.space.exclude[1].capability == "<6.0"
    assert settings.submit == {
        "+WantGPULab": True,
        "My.GPUJobLength": "short",
        "accounting_group": "physics",
        "concurrency_limits": 3,
        "rank": -1.5,
    }


def tables() -> dict[str, type[BaseModel]]:
    """The tables of sweep.toml that have keys of their own."""
    found = {name: field.annotation for name, field in Settings.model_fields.items()}
    return {n: table for n, table in found.items() if isinstance(table, type) and issubclass(table, BaseModel)}


def test_everything_names_every_setting() -> None:
    """The round trip below is only as good as this list is whole."""
    data = tomllib.loads(EVERYTHING)
    assert len(tables()) == 14
    for name, table in tables().items():
        assert set(data[name]) == set(table.model_fields), name
    assert set(data["payload"]) == set(PayloadSettings.model_fields)
    assert {key for table in data["frameworks"].values() for key in table} == set(FrameworkSettings.model_fields)
    assert {key for each in data["frameworks"]["tensorflow"]["images"] for key in each} == set(
        ImageSettings.model_fields
    )


def test_paths_are_relative_to_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    (tmp_path / "sweep.toml").write_text(PYTORCH + '[conda]\ncache = "~/cache"')
    settings = load(Path("../sweep.toml"))
    assert settings.results == tmp_path / "results"
    assert settings.conda.cache == Path("/home/someone/cache")


def test_an_image_beside_settings_in_an_odd_directory_is_refused(tmp_path: Path) -> None:
    here = tmp_path / "my sweeps, old"
    here.mkdir()
    images = 'images = [{ version = "2.5", cuda = "12.4", image = "a.sif" }]'
    with pytest.raises(SettingsError, match=r"image = 'a\.sif' is '.*/my sweeps, old/a\.sif', which cannot stand"):
        settings_of(here, f'source = "container"\n{images}\n')


@pytest.mark.parametrize("link", ["project/sub", "project/sub/tests"])
def test_files_of_the_payload_that_a_link_takes_from_elsewhere_are_refused(tmp_path: Path, link: str) -> None:
    here, outside = tmp_path / "site", tmp_path / "outside"
    for directory in (here / "project/sub/tests", outside / "tests"):
        directory.mkdir(parents=True)
    text = '[payload]\ncommand = ["true"]\nfiles = ["{}"]\n'
    assert settings_of(here, text.format("project/sub/tests")).payload
    assert settings_of(here, text.format("../outside/tests")).payload, "the settings say so themselves"
    (here / link).rename(tmp_path / "away")
    (here / link).symlink_to(outside)
    with pytest.raises(SettingsError, match=r"payload\.files = 'project/sub/tests': a link .* leads to '.*/outside"):
        settings_of(here, text.format("project/sub/tests"))
    assert settings_of(here, text.format(here / "project/sub/tests")).payload, "an absolute path is meant"


@pytest.mark.parametrize("text", [PYTORCH, EVERYTHING])
def test_settings_json_gives_the_same_settings_back(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    settings = load(path)
    write_model(tmp_path / "settings.json", settings)
    again = load_stored(tmp_path / "settings.json")
    assert again == settings
    assert [type(v) for v in again.submit.values()] == [type(v) for v in settings.submit.values()]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory; is"),
        (b"", "the file is damaged: Invalid JSON"),
        (b'{"frameworks": {"pytorch": ', "the file is damaged: Invalid JSON"),
        (b"\xff\xfe", "the file is damaged: Invalid JSON"),
        (b"[]", "the file is damaged"),
        (b'{"frameworks": {"pytorch": {"versions": 0}}}', "frameworks.pytorch.versions = 0"),
        (b'{"frameworks": {"pytorch": {}}, "new": 1}', "unknown key new"),
    ],
)
def test_damaged_settings_json(tmp_path: Path, content: bytes | None, words: str) -> None:
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_stored(path)
    assert str(caught.value).startswith(f"{path}: {words}")


# --------------------------------------------------------------------------- sweep try


def test_only_narrows_to_one_tuple_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(EVERYTHING)
    settings = load(path)
    narrow = only(settings, "pytorch", "2.6", "12.6", "9.0")
    assert narrow.frameworks == {"pytorch": settings.frameworks["pytorch"].model_copy(update={"versions": ["2.6"]})}
    assert narrow.cuda == settings.cuda.model_copy(update={"runtimes": ["12.6"]})
    assert narrow.gpus == settings.gpus.model_copy(update={"capabilities": ["9.0"]})
    assert narrow.results == settings.results / "tries"
    for table in ("conda", "node", "limits", "resources", "pool", "submit", "framework_files"):
        assert getattr(narrow, table) == getattr(settings, table), table


def test_only_takes_a_framework_that_the_settings_do_not_name(tmp_path: Path) -> None:
    narrow = only(settings_of(tmp_path), "tensorflow", "2.15", "11.8", "7.0")
    assert narrow.frameworks == {"tensorflow": FrameworkSettings(versions=["2.15"])}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("PyTorch", "2.5", "12.4", "8.0"), "frameworks.PyTorch = 'PyTorch': write a name"),
        (("pytorch", "latest", "12.4", "8.0"), "frameworks.pytorch.versions.0 = 'latest': write a version"),
        (("pytorch", "2.5", "12", "8.0"), "cuda.runtimes.0 = '12': write a CUDA runtime"),
        (("pytorch", "2.5", "12.4", "sm80"), "gpus.capabilities.0 = 'sm80': write a compute capability"),
        (("pytorch", "2.5", "12.4", "8.0\n"), "gpus.capabilities.0 = '8.0\\n': write a compute capability"),
    ],
)
def test_only_says_which_word_is_wrong(tmp_path: Path, arguments: tuple[str, str, str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        only(settings_of(tmp_path), *arguments)
    assert str(caught.value).startswith(f"sweep try: {words}")


# --------------------------------------------------------------------------- sweep init


def fresh_file(pool: bool) -> str:
    seen: dict[str, Any] = {"classes": [], "collector": None, "runtimes": ()}
    if pool:
        seen = {"classes": [GPU], "collector": "pool.example:9618", "runtimes": ("12.4",)}
    return render.settings_template(frameworks=known_frameworks(), **seen)


def uncommented(text: str) -> str:
    return re.sub(r"^# (?=\S+ = |\[payload\])", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("pool", [False, True])
def test_the_file_that_init_writes_says_what_the_defaults_are(tmp_path: Path, pool: bool) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(fresh_file(pool))
    defaults = Settings(frameworks={name: FrameworkSettings() for name in known_frameworks()})
    conda = defaults.conda.model_copy(update={"cache": cache_dir()})
    assert load(path) == defaults.model_copy(update={"results": tmp_path / "results", "conda": conda})


def test_the_file_that_init_writes_describes_the_pool() -> None:
    assert 'capability 8.0: 2 x NVIDIA "A100" # 80GB, 81153 MiB, driver ? (CUDA 12.4)' in fresh_file(True)
    assert "pool.example:9618" in fresh_file(True)
    assert "The pool at" not in fresh_file(False)


def test_the_file_that_init_writes_shows_every_setting() -> None:
    text = uncommented(fresh_file(False))
    shown = tomllib.loads(text)
    sweep = shown.pop("sweep")
    assert set(sweep) == {"results", "framework_files", "pack_logs"}
    assert set(shown) == set(Settings.model_fields) - set(sweep)
    for name, table in tables().items():
        assert set(shown[name]) == set(table.model_fields), name
    assert set(shown["payload"]) == set(PayloadSettings.model_fields)
    for key in FrameworkSettings.model_fields:
        assert f"# {key}: " in text or f"{key} = " in text


def test_the_commented_lines_of_that_file_can_be_put_to_use(tmp_path: Path) -> None:
    path = tmp_path / "sweep.toml"
    path.write_text(uncommented(fresh_file(True)))
    settings = load(path)
    assert settings.submit == {"+WantGPULab": True, "+GPUJobLength": "short"}
    assert settings.gpus.minimum_memory == 10 * 1024
    assert settings.payload is not None
    assert (settings.payload.junit, settings.payload.timeout) == ("junit.xml", 600)
    assert settings.pip.python_version == "3.11"
    assert json.loads(settings.model_dump_json())["resources"]["requirements"] == "HasMyStorage"
