"""Runs the rungs that compute with a real framework on the CPU; prints what each came to, as JSON.

usage: python climb_on_cpu.py DRIVER PROBE PLACE FORMATS [DAMAGE ...]

It is the driver's own code (from `driver.pyz`) and the framework's own probe file; only the place where the probe
puts its arrays is another one, cuDNN is not asked for its version, and only number formats of the comma-separated
FORMATS are tried. With DAMAGE only the rung `kernel` is, once with each: see `damaged`.
"""

from __future__ import annotations

import json
import sys
from typing import Any

COMPUTING = ("copy", "kernel", "library", "gradient", "jit")


def damaged(right: Any, damage: str) -> Any:
    """The probe's `matmul`, handing back a wrong answer that is made of the framework's own right one."""

    def wrong(a: Any, b: Any, form: str) -> Any:
        dtype, values = right(a, b, form)
        if damage == "bit-flip":
            # The lowest bit in which exact answers may differ.
            values[3][4] += 1 / 256
        elif damage == "unwritten":
            values[-1][-1] = float("nan")
        elif damage == "wrong-type":
            dtype = "float64"
        elif damage == "wrong-shape":
            values = values[:-1]
        elif damage == "transposed":
            values = [list(column) for column in zip(*values, strict=True)]
        elif damage == "zeros":
            values = [[0.0 for _ in row] for row in values]
        return dtype, values

    return wrong


def main() -> None:
    driver, path, place, formats = sys.argv[1:5]
    sys.path.insert(0, driver)
    from sweep_driver.child import load_probe
    from sweep_driver.rungs import LADDER
    from sweep_driver.speed import MEASURES

    probe = load_probe(path)
    probe.PLACE = place
    probe.FORMATS = [name for name in probe.FORMATS if name in formats.split(",")]
    probe.cudnn = dict
    said: dict[str, Any] = {"version": probe.load()["version"]}
    right = probe.matmul
    for damage in sys.argv[5:]:
        probe.matmul = damaged(right, damage)
        said[damage] = outcome(LADDER["kernel"], probe)
    for rung in () if sys.argv[5:] else COMPUTING:
        said[rung] = "lacking" if rung in probe.LACKS else outcome(LADDER[rung], probe)
    if not sys.argv[5:]:
        said["workload"] = [name for name in probe.BENCHES if runs(probe, name, MEASURES[name].sizes[0])]
    print(json.dumps(said))


def runs(probe: Any, name: str, size: int) -> bool:
    """Run a part of the workload in both of its places."""
    for place in ("gpu", "cpu"):
        probe.bench(name, size, place)(2)
    return True


def outcome(rung: Any, probe: Any) -> Any:
    """`passed`, the number formats that did, or the error."""
    try:
        facts = rung(probe, "9.0") or {}
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return facts.get("formats", "passed")


main()
