"""Measures what a job does with its GPU while it installs, with a real framework's CUDA wheels.

Run by hand (`python tests/bench/bench_install.py "jax[cuda12]"`); asserts nothing, and downloads gigabytes. Would an
install step on a slot without a GPU pay? The GPU job would then be given the packed environment in place of the
packages: what that saves is the difference between installing and unpacking, less what the archive has more to
transfer than the packages. Times are wall seconds on the machine at hand.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

from sweep import places
from sweep.probe.pack import DRIVER, driver_archive

UV = Path(sys.executable).with_name("uv")


def run(*words: object) -> None:
    """A command that has to succeed."""
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def size(*paths: Path) -> str:
    """Megabytes in files and trees."""
    files = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")))
    return f"{sum(f.lstat().st_size for f in files if f.is_file() and not f.is_symlink()) / 1e6:.0f}"


def climb(python: Path, there: Path, framework: str) -> None:
    """The probe, as far as it comes here: without a GPU up to the rung that looks for one."""
    (there / DRIVER).write_bytes(driver_archive())
    probe = places.probes() / f"{framework}.py"
    options = ["--result", there / "result.json", "--tuple", f"{framework}-1.0-cuda12.9-sm80", "--capability", "8.0"]
    run(python, "-s", "-B", there / DRIVER, *options, "--probe", probe)


def measure(requirement: str) -> list[tuple[str, float, str]]:
    """What each part takes, in seconds, and the megabytes that it leaves."""
    framework = requirement.partition("[")[0].replace("torch", "pytorch")
    with tempfile.TemporaryDirectory() as scratch:
        there = Path(scratch)
        lock, wheels, prefix = there / "requirements.txt", there / "wheels", there / "env"
        archive, restored = there / "env.tar.zst", there / "restored"
        (there / "asked.txt").write_text(requirement + "\n")
        run(UV, "pip", "compile", "--generate-hashes", "--quiet", there / "asked.txt", "-o", lock)
        restored.mkdir()

        def install(*more: object) -> None:
            run(sys.executable, "-m", "venv", "--without-pip", "--clear", prefix)
            run(
                UV,
                "pip",
                "install",
                "--python",
                prefix / "bin/python",
                "--require-hashes",
                "--no-deps",
                "-r",
                lock,
                *more,
            )

        tar = ("tar", "-I", "zstd -T0", "-C")
        local = ("--no-index", "--find-links", wheels, "--cache-dir", there / "cache")
        parts: Sequence[tuple[str, Callable[[], None], tuple[Path, ...]]] = (
            (
                "fetch the packages",
                lambda: run(
                    sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--no-cache-dir", "-q",
                    "-r", lock, "-d", wheels,
                ),
                (wheels,),
            ),
            ("install them, nothing cached", lambda: install(*local), (prefix,)),
            ("install them, unpacked in a cache", lambda: install(*local), (prefix,)),
            ("pack the environment", lambda: run(*tar, there, "-cf", archive, "env"), (archive,)),
            ("unpack it", lambda: run(*tar, restored, "-xf", archive), (restored,)),
            ("probe, up to the device", lambda: climb(prefix / "bin/python", there, framework), ()),
        )  # fmt: skip
        found = []
        for name, action, leaves in parts:
            began = time.perf_counter()
            action()
            found.append((name, time.perf_counter() - began, size(*leaves) if leaves else ""))
        return found


def main() -> None:
    """Measure and print."""
    for requirement in sys.argv[1:] or ["jax[cuda12]"]:
        print(requirement)
        print(tabulate(measure(requirement), headers=["", "seconds", "MB then"], floatfmt=".1f"))


if __name__ == "__main__":
    main()
