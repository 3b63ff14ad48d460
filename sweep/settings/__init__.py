"""The tables of sweep.toml, each with what its keys mean and what they may be."""

from sweep.settings.course import LimitSettings, LoadSettings, NotifySettings, ReuseSettings
from sweep.settings.downloads import DownloadSettings
from sweep.settings.machines import CudaSettings, GpuSettings, NodeSettings, PoolSettings, ResourceSettings
from sweep.settings.sources import CondaSettings, FrameworkSettings, ImageSettings, PayloadSettings, PipSettings
from sweep.settings.space import Exclusion, Inclusion, RuleSettings, SpaceSettings
from sweep.settings.whole import OWNED_ATTRIBUTES, OWNED_COMMANDS, Settings

__all__ = [
    "OWNED_ATTRIBUTES",
    "OWNED_COMMANDS",
    "CondaSettings",
    "CudaSettings",
    "DownloadSettings",
    "Exclusion",
    "FrameworkSettings",
    "GpuSettings",
    "ImageSettings",
    "Inclusion",
    "LimitSettings",
    "LoadSettings",
    "NodeSettings",
    "NotifySettings",
    "PayloadSettings",
    "PipSettings",
    "PoolSettings",
    "ResourceSettings",
    "ReuseSettings",
    "RuleSettings",
    "Settings",
    "SpaceSettings",
]
