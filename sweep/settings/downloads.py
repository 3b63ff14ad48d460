"""How packages reach the execute nodes: from channels, mirrors and caches there, or with the jobs."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from sweep.fields import PlainLine, Table


def _address(value: str) -> str:
    """An address that may stand in locks which everybody may read, and unquoted in a shell."""
    if re.search(r"://[^/]*@|/t/[^/]+|\?", value):
        raise ValueError(
            "a password or token in an address would be written where everybody may read it; "
            "write the address without, and keep secrets where the installer looks for them on the execute nodes"
        )
    if not re.fullmatch(r"(https?|file)://[A-Za-z0-9._~:/%+\[\]-]+", value):
        raise ValueError("write an address that begins with http://, https:// or file://, without spaces")
    return value.rstrip("/")


def _proxy(value: str) -> str:
    if not re.fullmatch(r"http://[A-Za-z0-9.\[\]:-]+", _address(value)):
        raise ValueError('write the proxy as "http://HOST:PORT"')
    return value


def _node_directory(value: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9_.+-]+)+", value):
        raise ValueError("write an absolute path on the execute nodes, of letters, digits and _ . / + -")
    return value


Address = Annotated[PlainLine, AfterValidator(_address)]
ProxyAddress = Annotated[PlainLine, AfterValidator(_proxy)]
NodeDirectory = Annotated[PlainLine, AfterValidator(_node_directory)]


class DownloadSettings(Table):
    """How packages reach the execute nodes.

    `packages` is `fetch` where each job fetches its own; with `transfer` the access point fetches them once and
    HTCondor brings them along with each job, with `common` as common files of HTCondor, once for each machine. Both
    concern conda packages. `cache` is a directory on the execute nodes in which jobs keep what they have fetched.
    `mirrors` are addresses to fetch from, by the address of the channel or index that they stand for. `proxy` is the
    HTTP proxy of whatever installs on a node.
    """

    packages: Literal["fetch", "transfer", "common"] = "fetch"
    cache: NodeDirectory | None = None
    mirrors: dict[Address, Address] = Field(default={})
    proxy: ProxyAddress | None = None

    @property
    def with_jobs(self) -> bool:
        """Whether conda packages travel with the jobs."""
        return self.packages != "fetch"
