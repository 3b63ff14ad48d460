"""Addresses in locks and their mirrors: whole parts of an address, the longest first, and nothing else of a lock."""

from __future__ import annotations

import pytest

from sweep.mirrors import in_lock, replaced, used_in_lock

MIRRORS = {"https://c.example": "http://near/all", "https://c.example/forge": "file:///srv/forge"}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://c.example/main/linux-64/a-1-0.conda", "http://near/all/main/linux-64/a-1-0.conda"),
        ("https://c.example/forge/noarch/a-1-0.conda", "file:///srv/forge/noarch/a-1-0.conda"),
        ("https://c.example/forge", "file:///srv/forge"),
        ("https://c.example/forgery/a", "http://near/all/forgery/a"),
        ("https://c.example.org/forge", "https://c.example.org/forge"),
        ("http://c.example/forge", "http://c.example/forge"),
    ],
)
def test_the_longest_address_counts_and_only_as_a_whole(url: str, expected: str) -> None:
    assert replaced(url, MIRRORS) == expected


def test_an_explicit_lock_keeps_all_but_its_addresses() -> None:
    text = "# made from https://c.example/forge\n@EXPLICIT\nhttps://c.example/forge/noarch/a-1-0.conda#0123\n"
    assert in_lock(text, MIRRORS) == text.replace("https://c.example/forge/noarch", "file:///srv/forge/noarch")
    assert in_lock(text, {}) == text


def test_of_a_requirements_txt_the_indexes_are_replaced() -> None:
    text = (
        "# For Python 3.11\n--index-url https://c.example/simple\n--extra-index-url=https://c.example/forge/simple\n\n"
        "torch==2.5.1 \\\n    --hash=sha256:00\n    # via -r requirements.in (https://c.example/forge)\n"
    )
    near = text.replace("--index-url https://c.example/", "--index-url http://near/all/")
    assert in_lock(text, MIRRORS) == near.replace("url=https://c.example/forge", "url=file:///srv/forge")


@pytest.mark.parametrize(
    "before",
    ["--index-url\t", "--extra-index-url  ", "--find-links ", "--find-links=", "-i ", "-f ", "torch @ ", "a.b[c,d]@"],
)
def test_whatever_names_an_address_in_a_requirements_txt_is_covered(before: str) -> None:
    text = f"{before}https://c.example/forge/a-1-py3-none-any.whl\n"
    assert in_lock(text, MIRRORS) == f"{before}file:///srv/forge/a-1-py3-none-any.whl\n"


def test_the_addresses_that_a_lock_has_are_told_by_the_mirror_that_is_asked() -> None:
    text = "# https://c.example/main\n@EXPLICIT\nhttps://c.example/forge/noarch/a-1-0.conda#0123\n"
    assert used_in_lock(text, MIRRORS) == {"https://c.example/forge"}
    assert used_in_lock(text, {"https://other.example": "http://near"}) == set()
