"""The tables of sweep.toml, each with what its keys mean and what they may be."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from sweep.builds import in_series
from sweep.cuda import DriverPolicy, in_order
from sweep.fields import (
    ChannelName,
    ImageName,
    IndexUrl,
    Mebibytes,
    MostRecent,
    PlainLine,
    PlainPath,
    Platform,
    PythonPath,
    Range,
    Seconds,
    Switch,
    Table,
    plain_line,
)
from sweep.model import INSIDE_PATTERN, Capability, Glob, Name, Runtime, Source, Version
from sweep.ranges import within

# Submit commands that the sweep writes itself: a site value would silently change what is tested or how it ends.
OWNED_COMMANDS = frozenset(
    """universe container_image docker_image executable arguments getenv initialdir input output error
    log log_xml queue
    max_materialize max_idle materialize_max_idle allowed_execute_duration allowed_job_duration checkpoint_exit_code
    request_cpus request_memory request_disk request_gpus require_gpus requirements rank_gpus
    gpus_minimum_capability gpus_maximum_capability gpus_minimum_memory gpus_minimum_runtime cuda_version
    should_transfer_files when_to_transfer_output transfer_executable transfer_input_files
    transfer_output_files transfer_output_remaps
    periodic_remove periodic_hold periodic_release on_exit_remove on_exit_hold periodicremovereason
    max_retries retry_until success_exit_code job_machine_attrs job_machine_attrs_history_length
    priority leave_in_queue hold noop_job submit_event_notes submit_event_notes_attrs ulog_execute_attrs""".split()
)
# Where the job attribute behind such a command has another name than the command without its underscores.
OWNED_ATTRIBUTES = frozenset(
    """jobuniverse cmd args env iwd in out err stdin stdout stderr userlog transferin transferinput transferoutput
    jobmaxretries onexitremovereason onexitholdreason leavejobinqueue jobstatus
    jobprio requestcpu requestgpu""".split()
) | {command.replace("_", "") for command in OWNED_COMMANDS}


class PoolSettings(Table):
    """How to reach the pool. By default HTCondor's own configuration decides."""

    condor_config: PlainLine | None = None


class CudaSettings(Table):
    """Which CUDA runtimes, and which drivers may run them."""

    runtimes: MostRecent | list[Runtime] | Range = 4
    driver_policy: DriverPolicy = DriverPolicy.MINOR

    @field_validator("runtimes")
    @classmethod
    def _in_order(cls, value: int | list[str] | str) -> int | list[str] | str:
        if isinstance(value, list):
            if not value:
                raise ValueError("the list is empty; name at least one runtime")
            return list(in_order(value))
        return value


class GpuSettings(Table):
    """Which GPUs of the pool take part."""

    capabilities: Literal["pool"] | list[Capability] = "pool"
    mig: Switch = True
    minimum_memory: Mebibytes | None = None

    @field_validator("capabilities")
    @classmethod
    def _in_order(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, str):
            return value
        if not value:
            raise ValueError('the list is empty; name capabilities, or write "pool"')
        return list(in_order(value))


class ImageSettings(Table):
    """A container image that has one version of a framework for one CUDA runtime; `python` is a command in it."""

    version: Version
    cuda: Runtime
    image: ImageName
    python: Annotated[str, Field(pattern=r"^[A-Za-z0-9_./+-]+$")] = "python3"


class FrameworkSettings(Table):
    """Which versions of one framework, each with which Python, and where its environments come from.

    `python` is the newest that the builds of a version support, one for all, or a table from version series to
    Python in which a series that is not named takes the newest. `channels` replaces conda.channels for this
    framework alone. `indexes` are package indexes that have the framework for one CUDA runtime each, looked at
    before pip.index. `images` are the containers that there are.
    """

    versions: MostRecent | list[Version] | Range = 3
    prereleases: Switch = False
    python: Literal["newest"] | Version | dict[Range, Version] = "newest"
    source: Source = Source.CONDA
    channels: list[ChannelName] | None = None
    indexes: dict[Runtime, IndexUrl] = Field(default={})
    images: list[ImageSettings] = Field(default=[])

    @field_validator("versions", "channels")
    @classmethod
    def _not_empty(cls, value: int | list[str] | str | None) -> int | list[str] | str | None:
        if isinstance(value, list) and not value:
            raise ValueError("the list is empty; name at least one entry")
        return value

    @model_validator(mode="after")
    def _of_one_source(self) -> FrameworkSettings:
        needs = {"channels": Source.CONDA, "indexes": Source.PIP, "images": Source.CONTAINER}
        for key, source in needs.items():
            if getattr(self, key) and self.source is not source:
                raise ValueError(f'{key} belong to source = "{source}", and the source is "{self.source}"')
        if self.source is Source.CONTAINER:
            if not self.images:
                raise ValueError('source = "container" needs images = [{ version, cuda, image }, ...]')
            if self.python != "newest":
                raise ValueError("a container image has its own Python; remove python")
        return self

    def image_of(self, version: str, cuda: str) -> ImageSettings | None:
        """The first image that has a version, or one of a series, for a CUDA runtime; None where there is none."""
        fits = (i for i in self.images if i.cuda == cuda and in_series(i.version, version))
        return next(fits, None)

    def python_of(self, version: str) -> str | None:
        """The Python that the settings pin for a version; None leaves it to what the builds support."""
        if isinstance(self.python, dict):
            return next((pin for series, pin in self.python.items() if within(version, series)), None)
        return None if self.python == "newest" else self.python


class Exclusion(Table):
    """Tuples that are not to be tested: those to which every given range applies."""

    framework: Name | None = None
    version: Range | None = None
    cuda: Range | None = None
    capability: Range | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Exclusion:
        if not any((self.framework, self.version, self.cuda, self.capability)):
            raise ValueError("an entry without a key would exclude everything; name at least one")
        return self


class Inclusion(Table):
    """One tuple that is to be a candidate although the product does not have it, or an exclusion took it out."""

    framework: Name
    version: Version
    cuda: Runtime
    capability: Capability


class SpaceSettings(Table):
    """What is taken out of the product of versions, runtimes and capabilities, and what is added to it.

    `only` are globs over tuple ids. `one_per` says what a tuple is tested once for: a capability, or each GPU class
    (device model and driver) of it.
    """

    only: list[Glob] = Field(default=[])
    exclude: list[Exclusion] = Field(default=[])
    include: list[Inclusion] = Field(default=[])
    one_per: Literal["capability", "gpu-class"] = "capability"


class RuleSettings(Table):
    """How the planning rules are used.

    `audit` is how many of the tuples that each rule takes out are tested all the same, `predicted` whether a tuple
    with a predicted failure is, `off` the rules that do not speak at all. `facts` is a directory of corrected fact
    tables, `known` a file of known issues of the site's own.
    """

    audit: Annotated[int, Field(ge=0, le=100, strict=True)] = 0
    predicted: Literal["test", "skip"] = "test"
    off: list[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]] = Field(default=[])
    facts: PlainPath | None = None
    known: PlainPath | None = None


class CondaSettings(Table):
    """Where builds come from and how environments reach the execute node."""

    channels: list[ChannelName] = Field(default=["conda-forge"], min_length=1)
    cache: PlainPath | None = None
    installer: Literal["micromamba", "rattler"] = "micromamba"
    installer_python: PlainLine | None = None
    offline: Switch = False
    solve_limit: Seconds = 60

    @model_validator(mode="after")
    def _rattler_needs_a_python(self) -> CondaSettings:
        if self.installer == "rattler" and not self.installer_python:
            raise ValueError(
                'installer = "rattler" needs installer_python: the absolute path of a Python that has '
                "py-rattler on every execute node"
            )
        if self.installer_python is not None and not re.fullmatch(r"/[A-Za-z0-9_./+-]+", self.installer_python):
            raise ValueError("installer_python must be an absolute path of letters, digits and _ . / + -")
        return self


class PipSettings(Table):
    """Where wheels come from and how they reach the execute node.

    `index` is what pip itself is configured with on the access point, where nothing else is said. `python` is the
    Python on the execute nodes that environments are made with.
    """

    index: IndexUrl | None = None
    python: PythonPath | None = None
    installer: Literal["uv", "pip"] = "uv"

    @property
    def python_version(self) -> str | None:
        """The version that the path of the Python ends in, such as `3.11`."""
        found = re.search(r"python([0-9]+\.[0-9]+)$", self.python or "")
        return found[1] if found else None


class PayloadSettings(Table):
    """A command of the project's own that runs in each tuple's environment.

    It runs after the probe has passed its kernel rung, or instead of the probe. `command` is a list of words, or a
    text for the shell; its directory holds `files`, and `packages` are added to what each environment is asked for.
    `junit` is where below that directory it writes a JUnit file.
    """

    command: Annotated[list[PlainLine], Field(min_length=1)] | Annotated[str, Field(min_length=1, max_length=20_000)]
    files: list[PlainPath] = Field(default=[])
    packages: list[PlainLine] = Field(default=[])
    instead_of_probe: Switch = False
    timeout: Seconds = 600
    junit: Annotated[str, Field(pattern=INSIDE_PATTERN)] | None = None

    @field_validator("command")
    @classmethod
    def _no_nul(cls, command: list[str] | str) -> list[str] | str:
        if isinstance(command, str) and "\0" in command:
            raise ValueError("a NUL character cannot stand in a shell's text")
        return command

    @field_validator("files")
    @classmethod
    def _different_names(cls, files: list[Path]) -> list[Path]:
        names = [path.name for path in files]
        if repeated := sorted({name for name in names if names.count(name) > 1 or name in ("", "..")}):
            raise ValueError(f"the last parts of the paths are the names there, and {repeated[0]!r} cannot be one")
        return files


class NodeSettings(Table):
    """What the solver may assume of an execute node; nothing of the access point is consulted.

    Without a value it is the least that the machines offer that an environment may land on.
    """

    glibc: Version | None = None
    linux: Version | None = None
    archspec: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")] | None = None
    platform: Platform = "linux-64"


class LimitSettings(Table):
    """How long things may take."""

    queue: Seconds = 24 * 3600
    run: Seconds = 2 * 3600
    install: Seconds = 3600
    probe: Seconds = 1800
    held: Seconds = 600
    deadline: Seconds = 3 * 86400
    retries: Annotated[int, Field(ge=0, le=10, strict=True)] = 2

    @model_validator(mode="after")
    def _fit(self) -> LimitSettings:
        if self.install + self.probe > self.run - self.slack:
            raise ValueError(
                f"install ({self.install} s) and probe ({self.probe} s) together must stay below run ({self.run} s) "
                f"by {self.slack} s, which the job may need to stop itself: what HTCondor removes loses its result"
            )
        if self.deadline < self.queue:
            raise ValueError(
                f"deadline ({self.deadline} s) is shorter than queue ({self.queue} s): lengthen it, or shorten queue"
            )
        return self

    @property
    def slack(self) -> int:
        """Seconds of a run that no step may plan with: a tenth, and six minutes at most.

        Ending an installation, a probe and a payload that hang can take that long (templates/job.sh.j2).
        """
        return min(self.run // 10, 360)


class LoadSettings(Table):
    """How much of the pool the sweep may take.

    `share` is the part of the devices of each capability that it may have at once, waiting jobs counted in; one job
    at least. `priority` is HTCondor's job priority, which orders the jobs of one user. `gpu_hours` is a budget: when
    it is spent nothing more is started. With `gate` one tuple of each environment goes first, and what it proves of
    the environment is not run again.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31, strict=True)] = -10
    gpu_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    gate: Switch = True


Address = Annotated[PlainLine, Field(pattern=r"^[^\s@,;<>]+@[^\s@,;<>]+$", max_length=200)]


class NotifySettings(Table):
    """Who is told when a sweep has ended, and when. Nobody by default.

    `when` is `changes` for a sweep in which something changed or failed, or `always`. Mail goes through `smtp`
    (`host:port`) or, without it, through the site's `sendmail`. `webhook_file` is a file that holds an address.
    """

    when: Literal["changes", "always"] = "changes"
    mail: list[Address] = Field(default=[])
    mail_from: Address | None = None
    smtp: Annotated[PlainLine, Field(pattern=r"^[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}$")] | None = None
    sendmail: PlainPath = Path("/usr/sbin/sendmail")
    webhook_file: PlainPath | None = None

    @model_validator(mode="after")
    def _a_server_wants_a_sender(self) -> NotifySettings:
        if self.smtp and not self.mail_from:
            raise ValueError("smtp needs mail_from: a mail server wants to know who sends; name an address")
        return self


class ReuseSettings(Table):
    """Whether verdicts of earlier sweeps are carried forward while nothing that they rest on has changed.

    `age` is how old they may be; None reuses nothing. `recheck` is the share that is tested all the same.
    """

    age: Seconds | None = None
    recheck: Annotated[float, Field(ge=0, le=1)] = 0.05


class ResourceSettings(Table):
    """What each job asks for. `requirements` is an extra ClassAd clause of the site's own."""

    cpus: Annotated[int, Field(ge=1, le=1024, strict=True)] = 1
    memory: Mebibytes = 8 * 1024
    disk: Mebibytes = 40 * 1024
    requirements: PlainLine | None = None


class Settings(Table):
    """A whole sweep.toml, with paths made absolute."""

    results: PlainPath = Path("results")
    framework_files: PlainPath | None = None
    pool: PoolSettings = PoolSettings()
    cuda: CudaSettings = CudaSettings()
    gpus: GpuSettings = GpuSettings()
    space: SpaceSettings = SpaceSettings()
    rules: RuleSettings = RuleSettings()
    conda: CondaSettings = CondaSettings()
    pip: PipSettings = PipSettings()
    node: NodeSettings = NodeSettings()
    limits: LimitSettings = LimitSettings()
    load: LoadSettings = LoadSettings()
    reuse: ReuseSettings = ReuseSettings()
    resources: ResourceSettings = ResourceSettings()
    frameworks: dict[Name, FrameworkSettings] = Field(min_length=1)
    payload: PayloadSettings | None = None
    notify: NotifySettings = NotifySettings()
    submit: dict[str, str | int | float | bool] = Field(default={})

    @field_validator("frameworks")
    @classmethod
    def _wheels_need_a_python(
        cls, frameworks: dict[str, FrameworkSettings], info: ValidationInfo
    ) -> dict[str, FrameworkSettings]:
        pip = info.data.get("pip")
        for name, framework in frameworks.items():
            if pip is None or framework.source is not Source.PIP:
                continue
            if pip.python is None:
                raise ValueError(
                    f'{name} has source = "pip", which needs pip.python: the absolute path of a Python on the '
                    'execute nodes, such as "/usr/bin/python3.11"; nodes without a Python take source = "conda"'
                )
            if framework.python == "newest" and pip.python_version is None:
                raise ValueError(
                    f"{name}: wheels are made for one Python, and pip.python = {pip.python!r} does not say which; "
                    f'end it in the version, such as "/usr/bin/python3.11", or set python in [frameworks.{name}]'
                )
        return frameworks

    @field_validator("payload")
    @classmethod
    def _fits_into_the_run(cls, payload: PayloadSettings | None, info: ValidationInfo) -> PayloadSettings | None:
        limits = info.data.get("limits")
        if payload and limits and limits.install + limits.probe + payload.timeout > limits.run - limits.slack:
            raise ValueError(
                f"limits.install ({limits.install} s), limits.probe ({limits.probe} s) and payload.timeout "
                f"({payload.timeout} s) together must stay below limits.run ({limits.run} s) by {limits.slack} s, "
                "which the job may need to stop itself; lengthen that one"
            )
        return payload

    @field_validator("submit")
    @classmethod
    def _site_commands(cls, commands: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name, value in commands.items():
            if not re.fullmatch(r"(\+|My\.)?[A-Za-z_][A-Za-z0-9_]*", name, flags=re.IGNORECASE):
                raise ValueError(f"{name!r} is not the name of a submit command or +Attribute")
            bare = re.sub(r"^(\+|my\.)", "", name.lower()).replace("_", "")
            if bare in OWNED_ATTRIBUTES or bare.startswith(("gpusm", "sweep")):
                raise ValueError(f"{name!r} belongs to the sweep itself and cannot be set here; remove it")
            try:
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError("write a finite number")
                if isinstance(value, str):
                    plain_line(value)
            except ValueError as error:
                raise ValueError(f"{name} = {value!r}: {error}") from None
        return commands
