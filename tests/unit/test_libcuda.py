"""What the driver's library is asked before any framework, against a library of our own in its place."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from sweep.probe.driver import libcuda


class Library:
    """The functions of libcuda that are used, as a driver with so many devices answers; `fails` are error codes."""

    def __init__(self, devices: int = 1, fails: dict[str, int] | None = None) -> None:
        self.devices = devices
        self.fails = fails or {}
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        answers = {
            "cuDriverGetVersion": lambda out: _set(out, 12080),
            "cuInit": lambda flags: None,
            "cuDeviceGetCount": lambda out: _set(out, self.devices),
            "cuDeviceGet": _set,
            "cuDeviceGetName": lambda name, size, device: setattr(name, "value", b"NVIDIA H100"),
            "cuDeviceGetAttribute": lambda out, what, device: _set(out, 9 if what == libcuda.MAJOR else 0),
            "cuDeviceTotalMem_v2": lambda out, device: _set(out, 80 * 2**30),
            "cuDeviceGetUuid": lambda out, device: ctypes.memmove(out._obj, bytes(range(16)), 16),
            "cuGetErrorName": lambda code, out: _set(out, b"CUDA_ERROR_NO_DEVICE"),
        }
        if name not in answers:
            raise AttributeError(f"undefined symbol: {name}")

        def call(*arguments: Any) -> int:
            self.called.append(name)
            if name in self.fails:
                return self.fails[name]
            answers[name](*arguments)
            return 0

        return call


def _set(out: Any, value: Any) -> None:
    out._obj.value = value


def test_what_a_healthy_driver_shows() -> None:
    facts: dict[str, Any] = {}
    libcuda.ask(Library(), facts)
    assert facts == {
        "runtime": "12.8",
        "devices": [
            {
                "uuid": "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f",
                "name": "NVIDIA H100",
                "capability": "9.0",
                "memory_mb": 81920,
            }
        ],
    }


def test_a_call_that_fails_is_named_with_the_drivers_own_word_and_what_is_known_stays() -> None:
    facts: dict[str, Any] = {}
    library = Library(fails={"cuInit": 100})
    with pytest.raises(libcuda.DriverError, match=r"^cuInit: CUDA_ERROR_NO_DEVICE$"):
        libcuda.ask(library, facts)
    assert facts == {"runtime": "12.8"}
    assert "cuDeviceGetCount" not in library.called


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcuda, "NAME", "libcuda-that-is-not-there.so.1")
    facts = libcuda.look()
    assert facts["loads"] is False
    assert "libcuda-that-is-not-there.so.1" in facts["problem"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"loads": True, "devices": [{"name": "NVIDIA H100"}]}, None),
        ({"loads": True, "devices": []}, "the driver's library shows no device"),
        ({"loads": False, "problem": "libcuda.so.1: cannot open shared object file"}, "libcuda.so.1: cannot open"),
        ({"loads": True, "problem": "cuInit: CUDA_ERROR_NO_DEVICE"}, "cuInit: CUDA_ERROR_NO_DEVICE"),
        ({"loads": True, "problem": "cuInit: CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE"}, None),
        ({"loads": True, "problem": "libcuda.so.1: undefined symbol: cuDeviceGetUuid"}, None),
    ],
)
def test_what_of_it_is_the_machines_trouble(facts: dict[str, Any], said: str | None) -> None:
    found = libcuda.trouble(facts)
    assert found is None if said is None else (found or "").startswith(said)


def test_another_library_of_that_name_is_a_problem_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libcuda, "NAME", "libc.so.6")
    facts = libcuda.look()
    assert facts["loads"] is True
    assert "cuDriverGetVersion" in facts["problem"]


@pytest.mark.parametrize(
    ("visible", "form"),
    [
        (None, "unset"),
        ("", "empty"),
        ("0", "index"),
        ("1, 0", "index"),
        ("GPU-6b1a9a9c", "uuid"),
        ("GPU-6b1a9a9c,GPU-1", "uuid"),
        ("MIG-6b26a0f8-1d0a", "mig"),
        ("0,GPU-1", "other"),
        ("NoDevFiles", "other"),
    ],
)
def test_how_the_jobs_devices_are_named(monkeypatch: pytest.MonkeyPatch, visible: str | None, form: str) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert libcuda.form_of_visible() == form
