"""How packages reach the jobs of a sweep, as its settings want it: what planning makes ready, and where it lies.

The lock of an environment is the same whatever is done here: jobs get another text of it where they are to ask
mirrors, and links to the packages where these travel along.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sweep import condor, mirrors, places
from sweep.errors import SettingsError
from sweep.files import read_whole, write_atomic
from sweep.model import EnvironmentKey, Source
from sweep.packages import DIRECTORY, Store, Supply
from sweep.schema import PlannedEnvironment
from sweep.settings import Settings

if TYPE_CHECKING:
    from sweep.channels import Channels

# What jobs get in the place of an environment's own files lies apart from these.
_FOR_JOBS = "job"
# The attribute of a job that has common files; condor_submit makes it from 25.14 on.
_COMMON_FILES = "CommonInputFiles"


def check(settings: Settings) -> None:
    """Refuse what this access point cannot do.

    Raises:
        SettingsError: packages are to be common files, and condor_submit does not know them.
        PoolError, SubmitError: condor_submit does not answer, or refuses any job.
    """
    if settings.downloads.packages != "common":
        return
    ad = condor.job_ad("executable = /bin/true\nrequest_cpus = 1\ntransfer_common_input = /packages\nqueue\n")
    if _COMMON_FILES not in ad:
        raise SettingsError(
            'downloads.packages = "common" needs HTCondor 25.14 or newer, and condor_submit here does not know '
            'transfer_common_input; write "transfer", which any version does'
        )


def prepare(
    environments: Sequence[PlannedEnvironment], settings: Settings, channels: Channels, here: Path
) -> tuple[Supply | None, tuple[str, ...]]:
    """Make ready what the jobs of some environments install from; what travels with them, if anything, and notes.

    Raises:
        ChannelError: a package that is to travel cannot be had, or is not the one of its lock.
        ResultsError: the sweep's directory, or where packages are kept, cannot be written.
    """
    downloads = settings.downloads
    notes = _write_locks_with_mirrors(environments, downloads.mirrors, here) if downloads.mirrors else ()
    if not downloads.with_jobs:
        return None, notes
    store = Store((settings.conda.cache or places.cache_dir()) / DIRECTORY, channels.download, downloads.mirrors)
    supply = store.supply(
        (_directory(here, e) / lock, _for_jobs(here, e) / DIRECTORY)
        for e in environments
        if e.source is Source.CONDA and (lock := e.source.lock)
    )
    if any(e.source is Source.PIP for e in environments):
        notes += ("wheels are fetched by the jobs: downloads.packages is for conda packages",)
    return supply, notes


def _write_locks_with_mirrors(
    environments: Sequence[PlannedEnvironment], elsewhere: Mapping[str, str], here: Path
) -> tuple[str, ...]:
    """Write the locks that ask mirrors; a note of each address in whose place none of them asks one."""
    locks = [(environment, lock) for environment in environments if (lock := environment.source.lock)]
    used: set[str] = set()
    for environment, lock in locks:
        text = read_whole(_directory(here, environment) / lock).decode()
        used |= mirrors.used_in_lock(text, elsewhere)
        write_atomic(_for_jobs(here, environment) / lock, mirrors.in_lock(text, elsewhere), durable=False)
    return tuple(
        f"downloads.mirrors: {address} is in none of this plan's locks, so its mirror is not asked; write the "
        "address as the locks have it"
        for address in elsewhere
        if locks and address not in used
    )


def lock(here: Path, environment: EnvironmentKey, source: Source, settings: Settings) -> Path | None:
    """The lock that the jobs of an environment get; None where they need none."""
    if not source.lock:
        return None
    return (_for_jobs if settings.downloads.mirrors else _directory)(here, environment) / source.lock


def packages(here: Path, environment: EnvironmentKey, source: Source, settings: Settings) -> Path | None:
    """The directory of packages that travels with the jobs of an environment; None where none does."""
    travels = settings.downloads.with_jobs and source is Source.CONDA
    return _for_jobs(here, environment) / DIRECTORY if travels else None


def _directory(here: Path, environment: PlannedEnvironment | EnvironmentKey) -> Path:
    return here / "environments" / environment.id


def _for_jobs(here: Path, environment: PlannedEnvironment | EnvironmentKey) -> Path:
    return _directory(here, environment) / _FOR_JOBS
