"""One tuple's story in order, from the files of its sweep: the rules, its environment, its jobs, its verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from sweep import earlier
from sweep.audit import tells
from sweep.candidates import find
from sweep.files import read_model
from sweep.places import OUTCOMES, PLAN
from sweep.report import history
from sweep.rules import Rule
from sweep.schema import EnvironmentState, Outcome, Plan, PlannedEnvironment, PlannedTuple


def story(here: Path, tuple_id: str, rules: Sequence[Rule]) -> str:
    """What a sweep knows of one tuple, as paragraphs for a terminal or a mail.

    Raises:
        BadFileError: the sweep has no plan, or no such tuple.
    """
    plan = read_model(here / PLAN, Plan, "sweep plan")
    planned = find(plan, tuple_id)
    environment = next((e for e in plan.environments if e.id == planned.environment.id), None)
    outcome = None
    if (here / OUTCOMES).is_file():
        outcomes = earlier.read(here)
        outcome = next((o for o in outcomes.tuples if o.id == tuple_id), None)
    by_id = {rule.id: rule for rule in rules}
    parts = [
        _what(plan, planned),
        _fate(planned, by_id, rules),
        _expectation(planned, by_id),
        _environment(here, environment),
        history.jobs(here, tuple_id),
        history.ladder(here, tuple_id) if planned.submitted and outcome else (),
        _verdict(here, planned, outcome),
    ]
    return "\n\n".join("\n".join(lines) for part in parts if (lines := list(part))) + "\n"


def _what(plan: Plan, planned: PlannedTuple) -> Iterator[str]:
    yield planned.id
    yield (
        f"  {planned.framework} {planned.version} with CUDA {planned.cuda} on GPUs of compute capability "
        f"{planned.capability}, sweep {plan.sweep}, driver policy {plan.driver_policy}"
    )
    alike = [c for c in plan.pool.classes if c.capability == planned.capability and planned.gpu in (None, c.label)]
    for c in alike:
        driver = f"driver {c.driver or 'unknown'}, which runs CUDA up to {c.runtime}"
        yield f"  the pool has {c.devices} x {c.device} ({c.memory_mb} MiB, {driver})"
    if not alike:
        yield f"  the pool has none: its capabilities are {', '.join(plan.pool.capabilities)}"


def _fate(planned: PlannedTuple, by_id: dict[str, Rule], rules: Sequence[Rule]) -> Iterator[str]:
    if planned.submitted:
        yield "Tested: no rule takes it out"
        yield f"  {planned.reason}"
        return
    yield f"Not tested: rule {planned.rule} settles it as {planned.cause}"
    yield f"  {planned.reason}"
    if (rule := by_id.get(planned.rule or "")) is not None:
        yield from _rule(rule)
        passed = [r.id for r in rules[: rules.index(rule)] if r.effect == "prune"]
        if passed and rule.effect == "prune":
            yield f"  rules before it, which let it pass: {', '.join(passed)}"
    if planned.evidence != PLAN:
        yield f"  evidence: {planned.evidence}"


def _rule(rule: Rule) -> Iterator[str]:
    yield f"  the rule asks: {rule.question}"
    yield f"  from: {rule.inputs}"
    yield f"  source: {rule.source} ({rule.date})"


def _expectation(planned: PlannedTuple, by_id: dict[str, Rule]) -> Iterator[str]:
    expected = planned.prediction
    if expected is None:
        return
    if planned.audit:
        yield f"An audit of rule {expected.rule}, which would have settled it as {expected.cause}"
    else:
        yield f"Predicted: {expected.cause}, by rule {expected.rule}"
    yield f"  {expected.reason}"
    if (rule := by_id.get(expected.rule)) is not None:
        yield from _rule(rule)


def _environment(here: Path, environment: PlannedEnvironment | None) -> Iterator[str]:
    if environment is None:
        return
    yield f"Environment {environment.id}: {environment.state}"
    yield f"  asked for: {', '.join(environment.specs)}"
    if environment.virtual_packages:
        yield f"  on a node with: {', '.join(environment.virtual_packages)}"
    if environment.state is EnvironmentState.RESOLVED:
        compiled = f", compiled with CUDA {environment.compiled}" if environment.compiled else ""
        built = f" on {environment.built:%Y-%m-%d}" if environment.built else ""
        yield f"  build: {environment.build}{compiled}{built}"
        yield (
            f"  installs: CUDA runtime {environment.runtime or 'unknown'}, Python {environment.python or 'none'}, "
            + (f"{environment.packages} packages, {environment.size / 1e9:.2f} GB to download")
        )
        lock = environment.source.lock
        place = f"lock: environments/{environment.id}/{lock}" if lock else f"image: {environment.image}"
        yield f"  {place} (SHA-256 {environment.lock_sha256})"
        if environment.same_as:
            yield f"  the same lock as {environment.same_as}"
        return
    yield f"  {environment.explanation}"
    for spec in environment.missing:
        yield f"  the channels have nothing for {spec}: a gap of the channel, not a conflict of versions"
    yield f"  the solver's whole text: {here}/environments/{environment.id}/explanation.txt"


def _verdict(here: Path, planned: PlannedTuple, outcome: Outcome | None) -> Iterator[str]:
    if outcome is None:
        if planned.submitted:
            yield "No verdict yet"
        return
    yield f"Verdict: {outcome.verdict}, {outcome.cause}: {outcome.cause.meaning}"
    if tells(outcome.cause, outcome.prediction):
        yield "  against the prediction" if outcome.surprise else "  as predicted"
    if not outcome.submitted:
        return
    yield f"  {outcome.reason}"
    if outcome.machine:
        device = f"{outcome.device or 'an unnamed device'} {outcome.uuid or ''}".strip()
        yield f"  decided on {outcome.machine}: {device}, driver {outcome.driver or 'unknown'}"
    if outcome.compared:
        yield f"  the result is of that device by what agrees: {outcome.compared}"
    yield f"  {outcome.attempts} attempt(s), {_seconds(outcome.queue_seconds)} in the queue, " + (
        f"{_seconds(outcome.run_seconds)} on the slot, {_seconds(outcome.gpu_seconds)} of GPU time in all"
    )
    if outcome.transferred_bytes is not None or outcome.fetched_bytes is not None:
        yield f"  {_megabytes(outcome.transferred_bytes)} transferred by HTCondor, " + (
            f"{_megabytes(outcome.fetched_bytes)} fetched from channels by the last attempt"
        )
    if outcome.known:
        kind = "expected" if outcome.expected else "not as expected"
        yield f"  known issue {outcome.known.id}, {kind}: {outcome.known.text} ({outcome.known.link})"
    line = f":{outcome.evidence.line}" if outcome.evidence.line else ""
    said = json.dumps(outcome.evidence.excerpt, ensure_ascii=False)
    yield f"  evidence: {here}/{outcome.evidence.file}{line}: {said}"
    yield f"  again by hand: sweep rerun {planned.id} {here}"


def _megabytes(value: int | None) -> str:
    return "an unknown amount" if value is None else f"{value / 1e6:.1f} MB"


def _seconds(value: float | None) -> str:
    return "no time" if value is None else f"{value:.0f} s"
