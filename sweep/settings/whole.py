"""A whole sweep.toml."""

from __future__ import annotations

import math
import re
from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from sweep.fields import (
    PlainPath,
    Switch,
    Table,
    plain_line,
)
from sweep.model import Name, Source
from sweep.settings.course import LimitSettings, LoadSettings, NotifySettings, ReuseSettings
from sweep.settings.downloads import DownloadSettings
from sweep.settings.machines import CudaSettings, GpuSettings, NodeSettings, PoolSettings, ResourceSettings
from sweep.settings.sources import CondaSettings, FrameworkSettings, PayloadSettings, PipSettings
from sweep.settings.space import RuleSettings, SpaceSettings
from sweep.sites import job_length

# Submit commands that the sweep writes itself: a site value would silently change what is tested or how it ends.
OWNED_COMMANDS = frozenset(
    """universe container_image docker_image executable arguments getenv initialdir input output error
    log log_xml queue
    max_materialize max_idle materialize_max_idle allowed_execute_duration allowed_job_duration checkpoint_exit_code
    request_cpus request_memory request_disk request_gpus require_gpus requirements rank_gpus
    gpus_minimum_capability gpus_maximum_capability gpus_minimum_memory gpus_minimum_runtime cuda_version
    should_transfer_files when_to_transfer_output transfer_executable transfer_input_files transfer_common_input
    transfer_output_files transfer_output_remaps
    periodic_remove periodic_hold periodic_release on_exit_remove on_exit_hold periodicremovereason
    max_retries retry_until success_exit_code job_machine_attrs job_machine_attrs_history_length
    priority leave_in_queue hold noop_job submit_event_notes submit_event_notes_attrs ulog_execute_attrs""".split()
)
# Where the job attribute behind such a command has another name than the command without its underscores.
OWNED_ATTRIBUTES = frozenset(
    """jobuniverse cmd args env iwd in out err stdin stdout stderr userlog transferin transferinput transferoutput
    jobmaxretries onexitremovereason onexitholdreason leavejobinqueue jobstatus
    jobprio requestcpu requestgpu commoninputfiles commoninputcatalogs""".split()
) | {command.replace("_", "") for command in OWNED_COMMANDS}


class Settings(Table):
    """A whole sweep.toml, with paths made absolute."""

    results: PlainPath = Path("results")
    framework_files: PlainPath | None = None
    pack_logs: Switch = False
    pool: PoolSettings = PoolSettings()
    cuda: CudaSettings = CudaSettings()
    gpus: GpuSettings = GpuSettings()
    space: SpaceSettings = SpaceSettings()
    rules: RuleSettings = RuleSettings()
    conda: CondaSettings = CondaSettings()
    pip: PipSettings = PipSettings()
    node: NodeSettings = NodeSettings()
    downloads: DownloadSettings = DownloadSettings()
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
    def _site_commands(
        cls, commands: dict[str, str | int | float | bool], info: ValidationInfo
    ) -> dict[str, str | int | float | bool]:
        limits = info.data.get("limits")
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
            asked = job_length(re.sub(r"^(\+|My\.)", "", name, flags=re.IGNORECASE), value)
            if asked and limits and limits.run > asked[1].hours * 3600:
                raise ValueError(
                    f"{name} = {value!r}: {asked[0].title} ends such a job after {asked[1].hours} h, and limits.run "
                    f"is {limits.run / 3600:g} h: the job would lose its result; shorten it, or ask for longer jobs"
                )
        return commands
