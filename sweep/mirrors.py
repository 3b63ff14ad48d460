"""Addresses of channels and indexes, and what a site has in their place."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A package of an explicit lock, or an option of a requirements.txt that names an index.
_ADDRESS = re.compile(r"^((?:--(?:extra-)?index-url[ =])?)([a-z]+://\S+)", flags=re.MULTILINE)


def replaced(url: str, mirrors: Mapping[str, str]) -> str:
    """A URL with the longest address that it begins with replaced by its mirror; as it is where none fits."""
    fitting = [address for address in mirrors if url == address or url.startswith(f"{address}/")]
    if not fitting:
        return url
    longest = max(fitting, key=len)
    return mirrors[longest] + url[len(longest) :]


def in_lock(text: str, mirrors: Mapping[str, str]) -> str:
    """An explicit lock or a requirements.txt that asks the mirrors; the hashes in it are what they were."""
    return _ADDRESS.sub(lambda match: match[1] + replaced(match[2], mirrors), text)
