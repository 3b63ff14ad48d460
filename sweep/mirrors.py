"""Addresses of channels and indexes, and what a site has in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A package of an explicit lock; or of a requirements.txt an option that names an index or a page of links, or a
# package that is named by its address.
_ADDRESS = re.compile(
    r"^((?:(?:--(?:extra-)?index-url|--find-links|-i|-f)[ \t=]*|[A-Za-z0-9][\w.-]*(?:\[[^]\n]*\])?[ \t]*@[ \t]*)?)"
    r"([a-z]+://\S+)",
    flags=re.MULTILINE,
)


def replaced(url: str, mirrors: Mapping[str, str]) -> str:
    """A URL with the longest address that it begins with replaced by its mirror; as it is where none fits."""
    address = _address_of(url, mirrors)
    return url if address is None else mirrors[address] + url[len(address) :]


def in_lock(text: str, mirrors: Mapping[str, str]) -> str:
    """An explicit lock or a requirements.txt that asks the mirrors; the hashes in it are what they were."""
    return _ADDRESS.sub(lambda match: match[1] + replaced(match[2], mirrors), text)


def used_in_lock(text: str, mirrors: Mapping[str, str]) -> set[str]:
    """The addresses of an explicit lock or a requirements.txt that have a mirror, as `mirrors` has them."""
    found = (_address_of(match[2], mirrors) for match in _ADDRESS.finditer(text))
    return {address for address in found if address is not None}


def _address_of(url: str, mirrors: Mapping[str, str]) -> str | None:
    fitting = [address for address in mirrors if url == address or url.startswith(f"{address}/")]
    return max(fitting, key=len, default=None)
