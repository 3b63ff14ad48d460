"""Outcomes as rows and matrices, and the words and glyphs of a cell. Shared by every kind of table."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sweep import audit
from sweep.cuda import version_key
from sweep.ids import sm
from sweep.model import Cause, GpuClass, Source, Verdict
from sweep.report import columns, speed
from sweep.schema import Evidence, Outcome, Outcomes, Payload

GLYPHS: Final = {
    Verdict.WORKS: "✓",
    Verdict.MATCH_FAILURE: "○",
    Verdict.RESOLVE_FAILURE: "△",
    Verdict.GPU_FAILURE: "✗",
    Verdict.INCONCLUSIVE: "?",
}

LEGEND: Final = (
    "✓ works   ○ no slot matched   △ no environment   ✗ failed on the GPU   ? inconclusive   "
    "(in parentheses: settled without a job)   ! changed since the last sweep   = as predicted   "
    "≠ against the prediction   † a known issue"
)


def cell(outcome: Outcome, *, changed: bool = False) -> str:
    """Glyph and word of one tuple; parentheses say that no job was needed to know, signs how a prediction fared.

    `changed` says that it ended otherwise in the sweep before.
    """
    text = f"{GLYPHS[outcome.verdict]} {word(outcome.cause)}"
    return " ".join([text if outcome.submitted else f"({text})", *signs(outcome, changed=changed)])


def signs(outcome: Outcome, *, changed: bool) -> list[str]:
    """The signs of a cell: changed since the last sweep, as predicted or against it, a known issue."""
    prediction = ["≠" if outcome.surprise else "="] if tells(outcome) else []
    known = ["†"] if outcome.expected and outcome.submitted else []
    return [*(["!"] if changed else []), *prediction, *known]


def word(cause: Cause) -> str:
    """The one word of a cell."""
    return "works" if cause is Cause.ALL_RUNGS else cause.value


def tells(outcome: Outcome) -> bool:
    """Whether a tested tuple says something about the prediction that was made of it."""
    return outcome.submitted and audit.tells(outcome.cause, outcome.prediction)


def rows(outcomes: Outcomes, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    """One row per tuple, with every field of its outcome; the evidence is spread over three columns.

    `kinds` says by tuple what kind of change there was since the last sweep.
    """
    found = []
    for outcome in outcomes.tuples:
        row = outcome.model_dump(mode="json", exclude=set(columns.SPREAD))
        evidence, expected = outcome.evidence, outcome.prediction
        row |= {"predicted": expected and expected.cause.value, "predicted_by": expected and expected.rule}
        row |= {"known_issue": outcome.known and outcome.known.id}
        row |= _payload(outcome.payload) | speed.columns(outcome)
        row |= {"evidence_file": evidence.file, "evidence_line": evidence.line, "evidence_excerpt": evidence.excerpt}
        whole = {"sweep": outcomes.sweep, "simulated": outcomes.simulated, "change": kinds.get(outcome.id)}
        found.append({**whole, **row})
    return found


def _payload(payload: Payload | None) -> dict[str, object]:
    """The columns of the project's own command; all of them empty where it did not run."""
    found = payload.model_dump(mode="json") if payload else {}
    counts = found.get("tests") or {}
    own = {name: found.get(name) for name in ("passed", "exit_code", "ended", "seconds")}
    tests = {name: counts.get(name) for name in ("tests", "failures", "errors", "skipped")}
    return {f"payload_{name}": value for name, value in (own | tests).items()}


def parts(outcomes: Outcomes) -> dict[str, Outcomes]:
    """The outcomes of each framework, in the order of the settings; all but the tuples is that of the whole sweep."""
    alike: dict[str, list[Outcome]] = {}
    for outcome in outcomes.tuples:
        alike.setdefault(outcome.framework, []).append(outcome)
    return {name: outcomes.model_copy(update={"tuples": tuple(tuples)}) for name, tuples in alike.items()}


def source(part: Outcomes) -> str:
    """Where a framework's environments come from, in words; empty for conda channels, where most do."""
    words = {Source.PIP: "wheels of a package index", Source.CONTAINER: "container images"}
    return words.get(part.tuples[0].source, "")


def payloads(outcomes: Outcomes) -> list[tuple[str, str]]:
    """The tuples that the project's own command ran for, each with what became of it in one clause."""
    return [(o.id, told(o.payload)) for o in outcomes.tuples if o.payload is not None]


def told(payload: Payload) -> str:
    """How the project's own command ended, in one clause."""
    end = {"timeout": "did not end in time", "interrupted": "was interrupted"}.get(payload.ended)
    end = end or ("passed" if payload.passed else f"failed with exit code {payload.exit_code}")
    tests = payload.tests
    counts = (
        f", {tests.tests} tests: {tests.failures} failed, {tests.errors} errors, {tests.skipped} skipped"
        if tests
        else ""
    )
    note = f" ({payload.note})" if payload.note else ""
    return f"{end} after {payload.seconds:.1f} s{counts}{note}"


@dataclass(frozen=True)
class Matrix:
    """Words of cells, by version and CUDA runtime in the plan's order; each row has a cell for each place."""

    places: tuple[str, ...]
    rows: Mapping[tuple[str, str], tuple[str, ...]]


def matrix(part: Outcomes, changed: Collection[str] = ()) -> Matrix:
    """Of one framework, version and CUDA runtime down, capability (or GPU class) across, a cell's words inside.

    `changed` are the tuples to be marked as such.
    Rows without any build are left to `never_built`: they would say the same thing in every cell.
    """
    built = [o for o in part.tuples if o.cause is not Cause.NO_BUILD]
    cells = {(o.version, o.cuda, place_of(o)): cell(o, changed=o.id in changed) for o in built}
    places = in_order(place for *_, place in cells)
    keys = dict.fromkeys((o.version, o.cuda) for o in built)
    # A version that not every capability was a candidate for leaves cells empty.
    return Matrix(places, {key: tuple(cells.get((*key, place), "") for place in places) for key in keys})


def in_order(places: Iterable[str]) -> tuple[str, ...]:
    """The distinct places, lowest capability first."""
    return tuple(sorted(set(places), key=lambda place: (version_key(place.partition(" ")[0]), place)))


def place_of(outcome: Outcome) -> str:
    """What a column stands for: a capability, or a GPU class of it."""
    return f"{outcome.capability} {outcome.gpu}" if outcome.gpu else outcome.capability


def never_built(part: Outcomes) -> str:
    """The (version, CUDA) pairs of a framework that have no build, in one sentence; empty when there is none."""
    pairs: dict[str, list[str]] = {}
    for o in part.tuples:
        if o.cause is Cause.NO_BUILD:
            runtimes = pairs.setdefault(o.version, [])
            if o.cuda not in runtimes:
                runtimes.append(o.cuda)
    said = "; ".join(f"{version} for CUDA {', '.join(runtimes)}" for version, runtimes in pairs.items())
    return f"(△ no-build) on every GPU: {said}" if said else ""


def column_title(place: str, classes: tuple[GpuClass, ...]) -> str:
    """`sm80 ×5`: the capability, the GPU class where each is a column, and how many devices of it the pool has."""
    capability, _, gpu = place.partition(" ")
    devices = sum(c.devices for c in classes if c.capability == capability and gpu in ("", c.label))
    return " ".join(filter(None, (sm(capability), gpu, f"×{devices}")))


def where(evidence: Evidence) -> str:
    """`file:line`, where the evidence has a line."""
    return f"{evidence.file}:{evidence.line}" if evidence.line else evidence.file


def names(ids: Iterable[str]) -> list[str]:
    """`pytorch-2.8-cuda12.9 sm60 sm70`, an environment each: enough to write every tuple's id."""
    found: dict[str, list[str]] = {}
    for tuple_id in ids:
        environment, _, gpu = tuple_id.partition("-sm")
        found.setdefault(environment, []).append(f"sm{gpu}")
    return [" ".join((environment, *gpus)) for environment, gpus in found.items()]


@dataclass(frozen=True)
class Group:
    """Outcomes with the same cause that are explained by the same words: the first one's."""

    cause: Cause
    outcomes: tuple[Outcome, ...]

    @property
    def names(self) -> list[str]:
        """Enough to write every tuple's id, an environment each."""
        return names(o.id for o in self.outcomes)

    @property
    def evidence(self) -> str:
        """Where to look: the first one's file and line; the others' are like it."""
        return where(self.outcomes[0].evidence)

    @property
    def reason(self) -> str:
        """The first one's words, and the known issue that has foreseen all of them."""
        known = self.outcomes[0].known
        if known is None or not all(o.expected and o.known == known for o in self.outcomes):
            return self.outcomes[0].reason
        return f"{self.outcomes[0].reason} († known issue {known.id}: {known.link})"


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


@dataclass(frozen=True)
class Foretold:
    """How the predictions of one rule fared: what it said, and the tuples that say something about it."""

    rule: str
    cause: Cause
    audit: bool
    outcomes: tuple[Outcome, ...]

    @property
    def against(self) -> list[str]:
        """The tuples that ended otherwise."""
        return [f"{o.id} ({o.cause})" for o in self.outcomes if o.surprise]


def foretold(outcomes: Outcomes) -> list[Foretold]:
    """The predictions that were put to the test, by rule."""
    found: dict[tuple[str, Cause, bool], list[Outcome]] = {}
    for o in outcomes.tuples:
        if o.prediction is not None and tells(o):
            found.setdefault((o.prediction.rule, o.prediction.cause, o.audit), []).append(o)
    return [Foretold(rule, cause, audit, tuple(alike)) for (rule, cause, audit), alike in found.items()]


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
