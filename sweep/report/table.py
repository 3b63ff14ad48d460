"""Outcomes as data frames, and the words and glyphs of a cell. Shared by every kind of table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from sweep.cuda import version_key
from sweep.model import Cause, GpuClass, Verdict
from sweep.schema import Outcome, Outcomes

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
    """Version and CUDA runtime down, capability across, a cell's words inside; in the order of the plan.

    Rows without any build are left to `never_built`: they would say the same thing in every cell.
    """
    built = [o for o in outcomes.tuples if o.framework == framework and o.cause is not Cause.NO_BUILD]
    table = pd.DataFrame(
        {
            "version": [o.version for o in built],
            "CUDA": [o.cuda for o in built],
            "capability": [o.capability for o in built],
            "cell": [cell(o) for o in built],
        }
    ).pivot(index=["version", "CUDA"], columns="capability", values="cell")
    rows = list(dict.fromkeys((o.version, o.cuda) for o in built))
    columns = sorted(table.columns, key=version_key)
    # A version that not every capability was a candidate for leaves cells empty.
    index = pd.MultiIndex.from_tuples(rows, names=["version", "CUDA"])
    return table.reindex(index=index, columns=columns).fillna("")


def never_built(outcomes: Outcomes, framework: str) -> str:
    """The (version, CUDA) pairs that have no build, in one sentence; empty when there is none."""
    pairs: dict[str, list[str]] = {}
    for o in outcomes.tuples:
        if o.framework == framework and o.cause is Cause.NO_BUILD:
            runtimes = pairs.setdefault(o.version, [])
            if o.cuda not in runtimes:
                runtimes.append(o.cuda)
    said = "; ".join(f"{version} for CUDA {', '.join(runtimes)}" for version, runtimes in pairs.items())
    return f"(△ no-build) on every GPU: {said}" if said else ""


def column_title(capability: str, classes: tuple[GpuClass, ...]) -> str:
    """`sm80 ×5`: the capability and how many devices of it the pool has."""
    devices = sum(c.devices for c in classes if c.capability == capability)
    return f"sm{capability.replace('.', '')} ×{devices}"


@dataclass(frozen=True)
class Group:
    """Outcomes with the same cause that are explained by the same words: the first one's."""

    cause: Cause
    outcomes: tuple[Outcome, ...]

    @property
    def names(self) -> list[str]:
        """`pytorch-2.8-cuda12.9 sm60 sm70`, an environment each: enough to write every tuple's id."""
        found: dict[str, list[str]] = {}
        for o in self.outcomes:
            environment, _, capability = o.id.rpartition("-")
            found.setdefault(environment, []).append(capability)
        return [" ".join((environment, *capabilities)) for environment, capabilities in found.items()]

    @property
    def evidence(self) -> str:
        """Where to look: the first one's file and line; the others' are like it."""
        first = self.outcomes[0].evidence
        return f"{first.file}:{first.line}" if first.line else first.file


def failures(outcomes: Outcomes) -> list[Group]:
    """Everything that does not simply work, by cause, grouped so that each failure is told once.

    What the probe said differs in details from GPU to GPU, so there an environment, a rung and a rule make a group;
    everything else is grouped by its reason.
    """
    order = list(Cause)
    found: dict[tuple[Cause, str], list[Outcome]] = {}
    for o in sorted(outcomes.tuples, key=lambda o: order.index(o.cause)):
        if o.cause is not Cause.ALL_RUNGS:
            probed = f"{o.id.rpartition('-')[0]} {o.rung} {o.rule}" if o.rung else o.reason
            found.setdefault((o.cause, probed), []).append(o)
    return [Group(cause, tuple(alike)) for (cause, _), alike in found.items()]


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
