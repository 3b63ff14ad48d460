"""The store of packages that travel with jobs: whole, by hash, or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from sweep import packages
from sweep.errors import ChannelError, ResultsError
from sweep.packages import Package, Store, Supply, locked

URL = "https://conda.example/c/linux-64/a-1.0-0.conda"
CONTENT = b"an archive"
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "_PAUSE", 0)


class Channel:
    """What stands at the addresses of a channel; counts what is fetched."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = {URL: CONTENT, **contents}
        self.fetched: list[str] = []

    def download(self, url: str, target: Path) -> None:
        self.fetched.append(url)
        if url not in self.contents:
            target.write_bytes(b"half of")
            raise ChannelError("cannot download it: connection closed")
        target.write_bytes(self.contents[url])


def lock(tmp_path: Path, *lines: str, name: str = "explicit.txt") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(["# a comment", "@EXPLICIT", *lines]) + "\n")
    return path


def files(directory: Path) -> set[str]:
    """Every regular file below a directory, hidden ones too."""
    return {str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file() and not p.is_symlink()}


def test_the_lines_of_a_lock() -> None:
    text = f"# platform: linux-64\n@EXPLICIT\n{URL}#{MD5}\nfile:///c/noarch/b-1!2.0+cu-py_0.tar.bz2#{MD5}\n"
    text += f"https://c.example/linux-64/en%2Bcoded-1-0.conda#{MD5}\nhttps://c.example/linux-64/no-hash-1-0.conda\n"
    assert locked(text) == [
        Package(URL, "linux-64", "a-1.0-0.conda", MD5),
        Package("file:///c/noarch/b-1!2.0+cu-py_0.tar.bz2", "noarch", "b-1!2.0+cu-py_0.tar.bz2", MD5),
    ]


def test_each_package_is_fetched_once_and_linked_for_each_environment(tmp_path: Path) -> None:
    channel = Channel()
    store = Store(tmp_path / "store", channel.download)
    locks = [(lock(tmp_path, f"{URL}#{MD5}"), tmp_path / name) for name in ("one", "two")]
    assert store.supply(locks) == Supply(size=len(CONTENT), fetched=len(CONTENT))
    assert store.supply(locks) == Supply(size=len(CONTENT), fetched=0)
    assert channel.fetched == [URL]
    for _, target in locks:
        assert (target / "linux-64" / "a-1.0-0.conda").read_bytes() == CONTENT
    assert files(tmp_path / "store") == {f"{MD5}/linux-64/a-1.0-0.conda"}


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT + b"x"])
def test_a_damaged_package_of_the_store_is_fetched_again(tmp_path: Path, damage: bytes) -> None:
    channel = Channel()
    store = Store(tmp_path / "store", channel.download)
    locks = [(lock(tmp_path, f"{URL}#{MD5}"), tmp_path / "one")]
    store.supply(locks)
    (kept,) = (tmp_path / "store").glob("*/*/*")
    kept.write_bytes(damage)
    assert store.supply(locks).fetched == len(CONTENT)
    assert kept.read_bytes() == CONTENT


def test_another_package_under_the_name_is_refused_and_not_kept(tmp_path: Path) -> None:
    channel = Channel(**{URL: b"another archive"})
    with pytest.raises(ChannelError, match=f"a-1.0-0.conda: its MD5 is .* the lock says {MD5}"):
        Store(tmp_path / "store", channel.download).supply([(lock(tmp_path, f"{URL}#{MD5}"), tmp_path / "one")])
    assert files(tmp_path / "store") == set()


@pytest.mark.parametrize("first", [b"", CONTENT[:-1], None])
def test_a_package_that_came_cut_or_not_at_all_is_asked_for_again(tmp_path: Path, first: bytes | None) -> None:
    channel = Channel()

    def unsteady(url: str, target: Path) -> None:
        channel.download(url, target)
        if len(channel.fetched) < 3:
            target.write_bytes(first or b"")
            if first is None:
                raise ChannelError("cannot download it: connection closed")

    locks = [(lock(tmp_path, f"{URL}#{MD5}"), tmp_path / "one")]
    assert Store(tmp_path / "store", unsteady).supply(locks).fetched == len(CONTENT)
    assert (tmp_path / "one" / "linux-64" / "a-1.0-0.conda").read_bytes() == CONTENT


def test_an_interrupted_download_leaves_nothing_and_says_what_to_do(tmp_path: Path) -> None:
    gone = URL.replace("a-1.0", "gone-1.0")
    store = Store(tmp_path / "store", Channel().download)
    with pytest.raises(ChannelError, match=r'connection closed\n.*downloads\.mirrors.*packages = "fetch"'):
        store.supply([(lock(tmp_path, f"{gone}#{MD5}"), tmp_path / "one")])
    assert files(tmp_path / "store") == set()


def test_mirrors_are_asked_and_the_hash_is_still_the_locks(tmp_path: Path) -> None:
    mirror = URL.replace("conda.example", "mirror.example")
    elsewhere = {"https://conda.example/c": "https://mirror.example/c"}
    channel = Channel(**{mirror: CONTENT})
    locks = [(lock(tmp_path, f"{URL}#{MD5}"), tmp_path / "one")]
    Store(tmp_path / "store", channel.download, elsewhere).supply(locks)
    assert channel.fetched == [mirror]
    channel.contents[mirror] = b"something else"
    with pytest.raises(ChannelError, match=r"mirror\.example/c/linux-64/a-1\.0-0\.conda: its MD5"):
        Store(tmp_path / "another", channel.download, elsewhere).supply(locks)


def test_a_full_disk_is_said_with_the_place_and_the_remedy(tmp_path: Path) -> None:
    def full(url: str, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    with pytest.raises(ResultsError, match=rf"No space left on device; {tmp_path}/store keeps .* make room there"):
        Store(tmp_path / "store", full).supply([(lock(tmp_path, f"{URL}#{MD5}"), tmp_path / "one")])


def test_a_link_of_an_earlier_try_is_replaced(tmp_path: Path) -> None:
    link = tmp_path / "one" / "linux-64" / "a-1.0-0.conda"
    link.parent.mkdir(parents=True)
    link.symlink_to("/nowhere")
    Store(tmp_path / "store", Channel().download).supply([(lock(tmp_path, f"{URL}#{MD5}"), tmp_path / "one")])
    assert link.read_bytes() == CONTENT
