"""Fetches and unpacks HTCondor's Debian packages with a private apt state; the system's own is not touched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from sweep.errors import SandboxError

# The suite that carries a current HTCondor with daemons.
SUITE = "sid"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# HTCondor, and the libraries that its daemons are linked to. Everything else that the package depends on serves
# features that a private pool does not use.
PACKAGES = (
    "condor",
    "libc6",
    "libstdc++6",
    "libgcc-s1",
    "libgomp1",
    "libpcre2-8-0",
    "libssl3t64",
    "libsqlite3-0",
    "libuuid1",
    "zlib1g",
    "libzstd1",
)

_TRIPLETS = {"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}
_LOADERS = {"amd64": "ld-linux-x86-64.so.2", "arm64": "ld-linux-aarch64.so.1"}

_INSTALL_IT = "Install HTCondor (with its daemons) by hand, and the sandbox will use that one."


def architecture() -> str:
    """dpkg's name of this machine's architecture.

    Raises:
        SandboxError: this is not a Debian-like machine, or one of an architecture without HTCondor packages.
    """
    if not all(map(shutil.which, ("dpkg", "dpkg-deb", "apt-get"))):
        raise SandboxError(f"HTCondor is not installed, and without apt and dpkg none can be fetched. {_INSTALL_IT}")
    name = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
    if name not in _TRIPLETS:
        raise SandboxError(f"no HTCondor packages are known for the architecture {name!r}. {_INSTALL_IT}")
    return name


def triplet(arch: str) -> str:
    """The name of the library directory of an architecture."""
    return _TRIPLETS[arch]


def loader(arch: str) -> str:
    """The file name of the dynamic loader of an architecture."""
    return _LOADERS[arch]


def unpack(root: Path, say: Callable[[str], None]) -> None:
    """Downloads the packages and unpacks them below `root`; leaves only the unpacked files there.

    Raises:
        SandboxError: no Debian archive in the machine's apt settings, or a download or package that fails.
    """
    arch = architecture()
    site = archive_site()
    state = root / "apt"
    debs = state / "debs"
    for directory in (state / "lists" / "partial", state / "cache" / "archives" / "partial", debs):
        directory.mkdir(parents=True)
    (state / "status").touch()
    signed_by = f" signed-by={KEYRING}" if KEYRING.exists() else ""
    (state / "sources.list").write_text(f"deb [arch={arch}{signed_by}] {site} {SUITE} main\n")
    (state / "apt.conf").write_text(private_settings(state, arch))
    apt = ["apt-get", "-c", str(state / "apt.conf")]

    say(f"reading the package list of Debian {SUITE} (11 MB)")
    _run([*apt, "update"], debs)
    say("downloading HTCondor (18 MB)")
    _run([*apt, "download", *PACKAGES], debs)
    say("unpacking HTCondor")
    for deb in sorted(debs.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(deb), str(root)], debs)
    shutil.rmtree(state)


def archive_site() -> str:
    """The address of the Debian archive that this machine's apt settings name.

    Raises:
        SandboxError: they name none.
    """
    fields = "$(SITE)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)|$(ORIGIN)"
    site = site_by_origin(_listing("indextargets", "--format", fields))
    if site is None and os_release().get("ID") == "debian":
        site = site_by_address(_listing("update", "--print-uris"))
    if site is None:
        raise SandboxError(
            "HTCondor is not installed, and this machine's apt settings name no Debian archive to fetch it from. "
            f"{_INSTALL_IT} Or add a Debian source to /etc/apt/sources.list.d."
        )
    return site


def site_by_origin(listing: str) -> str | None:
    """The archive among the index targets that apt has fetched: `site|release|component|created-by|origin` lines."""
    for line in listing.splitlines():
        site, release, component, created_by, origin = line.split("|")
        # The security archive has the same origin, but no unstable suite; its releases have a hyphen.
        if origin == "Debian" and release.isalpha() and component == "main" and created_by == "Packages":
            return site
    return None


def site_by_address(listing: str) -> str | None:
    """The archive among the addresses that `apt-get update` would fetch.

    For a Debian machine on which nobody has run that yet, as in most container images. Others keep archives of
    the same shape, but only the distribution's own has an updates suite beside each release.
    """
    found = re.findall(r"^'(\S+)/dists/([a-z]+)(-updates)?/main/binary-", listing, re.MULTILINE)
    sites = [(site, bool(updates)) for site, _, updates in found]
    with_updates = [site for site, updates in sites if updates]
    plain = [site for site, updates in sites if not updates]
    return next((site for site in plain if site in with_updates), plain[0] if plain else None)


def _listing(*arguments: str) -> str:
    run = subprocess.run(["apt-get", *arguments], capture_output=True, text=True, env=_plain_locale())
    return run.stdout


def os_release() -> dict[str, str]:
    """The keys of /etc/os-release; empty where there is none."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key: value.strip("\"'") for key, _, value in pairs}


def private_settings(state: Path, arch: str) -> str:
    """An apt configuration that is read after the machine's own, whose proxy and certificates still count."""
    settings = {
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "APT::Architecture": arch,
        "APT::Architectures": arch,
        "APT::Sandbox::User": "",  # as root apt would step down to a user who may not enter our directory
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "false",  # a mirror may be frozen; the signature still counts
        "Acquire::Retries": "3",
        "APT::Update::Error-Mode": "any",  # a list that could not be fetched is else only a warning
    }
    # Lists have to be emptied before they are set. The hooks would work on the system's own package state.
    cleared = ("APT::Architectures", "APT::Update::Pre-Invoke", "APT::Update::Post-Invoke")
    lines = [f"#clear {name};" for name in (*cleared, "APT::Update::Post-Invoke-Success")]
    lines += [f'{key} "{value}";' for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def _run(command: Sequence[str], directory: Path) -> None:
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, env=_plain_locale())
    if run.returncode != 0:
        said = (run.stderr or run.stdout).strip()[-1200:]
        raise SandboxError(f"HTCondor could not be fetched: {command[0]} failed:\n{said}\n{_INSTALL_IT}")


def _plain_locale() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
