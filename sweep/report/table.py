"""Outcomes as data frames, and the words and glyphs of a cell. Shared by every kind of table."""

from __future__ import annotations

from typing import Final

import pandas as pd

from sweep.cuda import version_key
from sweep.model import Cause, GpuClass, Outcome, Outcomes, Verdict

GLYPHS: Final = {
    Verdict.WORKS: "✓",
    Verdict.MATCH_FAILURE: "○",
    Verdict.RESOLVE_FAILURE: "△",
    Verdict.GPU_FAILURE: "✗",
    Verdict.INCONCLUSIVE: "?",
}

LEGEND: Final = (
    "✓ works   ○ no slot matched   △ no environment   ✗ failed on the GPU   ? inconclusive   "
    "(in parentheses: settled without a job)"
)


def cell(outcome: Outcome) -> str:
    """Glyph and word of one tuple; parentheses say that no job was needed to know."""
    word = "works" if outcome.cause is Cause.ALL_RUNGS else outcome.cause.value
    text = f"{GLYPHS[outcome.verdict]} {word}"
    return text if outcome.submitted else f"({text})"


def frame(outcomes: Outcomes) -> pd.DataFrame:
    """One row per tuple, with every field of its outcome; the evidence is spread over three columns."""
    rows = []
    for outcome in outcomes.tuples:
        row = outcome.model_dump(mode="json", exclude={"evidence"})
        evidence = outcome.evidence
        row |= {"evidence_file": evidence.file, "evidence_line": evidence.line, "evidence_excerpt": evidence.excerpt}
        rows.append({"sweep": outcomes.sweep, "simulated": outcomes.simulated, **row})
    return pd.DataFrame(rows).astype({"evidence_line": "Int64"}) if rows else pd.DataFrame()


def frameworks(outcomes: Outcomes) -> list[str]:
    """The frameworks of the sweep, in the order of the settings."""
    return list(dict.fromkeys(o.framework for o in outcomes.tuples))


def matrix(outcomes: Outcomes, framework: str) -> pd.DataFrame:
    """Version and CUDA runtime down, capability across, a cell's words inside; newest version first."""
    chosen = [o for o in outcomes.tuples if o.framework == framework]
    table = pd.DataFrame(
        {
            "version": [o.version for o in chosen],
            "CUDA": [o.cuda for o in chosen],
            "capability": [o.capability for o in chosen],
            "cell": [cell(o) for o in chosen],
        }
    ).pivot(index=["version", "CUDA"], columns="capability", values="cell")
    rows = list(dict.fromkeys((o.version, o.cuda) for o in chosen))
    return table.reindex(index=pd.MultiIndex.from_tuples(rows), columns=sorted(table.columns, key=version_key))


def column_title(capability: str, classes: tuple[GpuClass, ...]) -> str:
    """`sm80 ×5`: the capability and how many devices of it the pool has."""
    devices = sum(c.devices for c in classes if c.capability == capability)
    return f"sm{capability.replace('.', '')} ×{devices}"


def failures(outcomes: Outcomes) -> dict[Cause, list[Outcome]]:
    """Everything submitted that does not simply work, by cause; verdict by verdict."""
    found: dict[Cause, list[Outcome]] = {}
    for cause in Cause:
        alike = [o for o in outcomes.tuples if o.cause is cause and o.cause is not Cause.ALL_RUNGS]
        if alike:
            found[cause] = alike
    return found


def headline(outcomes: Outcomes) -> str:
    """The sweep in one sentence."""
    works = sum(o.verdict is Verdict.WORKS for o in outcomes.tuples)
    unsure = sum(o.verdict is Verdict.INCONCLUSIVE for o in outcomes.tuples)
    jobs = sum(o.submitted for o in outcomes.tuples)
    devices = sum(c.devices for c in outcomes.pool.classes)
    kind = "simulated GPUs" if outcomes.simulated else "GPUs"
    return (
        f"Sweep {outcomes.sweep} ({outcomes.state}): {works} of {len(outcomes.tuples)} tuples work, "
        f"{unsure} inconclusive; {jobs} jobs on a pool of {devices} {kind}, {outcomes.gpu_hours:.2f} GPU-hours."
    )
