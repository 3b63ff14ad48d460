"""Site profiles: what users of a kind of pool write into submit files beside the GPU request, and what it limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sweep import places
from sweep.errors import SettingsError
from sweep.fields import PlainLine, Table
from sweep.tomlfile import did_you_mean, read_toml, validated


class SiteLine(Table):
    """One line of a submit file; left out where the sweep's own settings give the attribute another value."""

    attribute: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    text: PlainLine


class JobLength(Table):
    """A value of a job's attribute by which the site ends the job after so many hours."""

    attribute: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    value: PlainLine
    hours: Annotated[int, Field(gt=0)]


class Site(Table):
    """A site file."""

    schema_: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    title: PlainLine
    line: tuple[SiteLine, ...] = ()
    length: tuple[JobLength, ...] = ()
    source: PlainLine = ""
    date: PlainLine = ""


def names() -> tuple[str, ...]:
    """The sites that are known."""
    return tuple(sorted(path.stem for path in (places.PACKAGE / "sites").glob("*.toml")))


def load_site(name: str) -> Site:
    """A site's profile.

    Raises:
        SettingsError: there is none of that name.
    """
    if name not in names():
        raise SettingsError(f"there is no site profile {name!r}{did_you_mean(name, names(), 'site profiles')}")
    path = places.PACKAGE / "sites" / f"{name}.toml"
    return validated(Site, read_toml(path, "it is part of the package; install it again"), path)


def job_length(attribute: str, value: object) -> tuple[Site, JobLength] | None:
    """The length of job that an attribute of a submit file asks for, with its site; None where it asks for none."""
    asked = (attribute.lower(), str(value).lower())
    for site in map(load_site, names()):
        for length in site.length:
            if (length.attribute.lower(), length.value.lower()) == asked:
                return site, length
    return None
