"""A plan in plain lines: the funnel, every candidate, what it will cost, how long planning took; and the rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from tabulate import tabulate

from sweep import timings
from sweep.funnel import origin
from sweep.ids import sm
from sweep.rules import Rule
from sweep.schema import Estimate, Plan, PlannedTuple


def overview(plan: Plan) -> Iterator[str]:
    """The funnel with counts per rule, environments, and the estimate."""
    came = origin(plan.space)
    yield f"{len(plan.tuples)} candidate tuples{f' ({came})' if came else ''}"
    pruned = Counter(t.rule for t in plan.tuples if not t.submitted)
    for rule, count in pruned.most_common():
        yield f"{count:>6}  pruned: {rule}"
    jobs = [t for t in plan.tuples if t.submitted]
    audits = sum(t.audit for t in jobs)
    predicted = sum(t.prediction is not None and not t.audit for t in jobs)
    said = ([f"{predicted} with a prediction"] if predicted else []) + (
        [f"{audits} to audit rules"] if audits else []
    )
    detail = f" ({', '.join(said)})" if said else ""
    yield f"{len(jobs):>6}  to be submitted{detail}"
    yield from _environments(plan)
    if plan.estimate is not None:
        yield from _cost(plan.estimate)
        yield from _against_budgets(plan.estimate, plan)
    yield from (f"note: {note}" for note in plan.notes)


def _environments(plan: Plan) -> Iterator[str]:
    resolved = [e for e in plan.environments if e.lock_sha256]
    size = sum(e.size for e in resolved) / 1e9
    yield f"{len(resolved)} of {len(plan.environments)} environments resolved and locked, {size:.2f} GB in all"
    for environment in resolved:
        if environment.same_as:
            yield f"        {environment.id} has the same lock as {environment.same_as}"


def _against_budgets(cost: Estimate, plan: Plan) -> Iterator[str]:
    asked = [("budget", plan.budget, cost.gpu_hours)] if plan.budget is not None else []
    for capability, budget in plan.budgets.items():
        hours = sum(c.gpu_hours for c in cost.classes if c.capability == capability)
        asked.append((f"budget of {sm(capability)}", budget, hours))
    for name, budget, hours in asked:
        part = "all of it" if hours <= budget else f"about {budget / hours:.0%} of it, the most telling first"
        yield f"{name}: {budget:g} GPU-hours, enough for {part}"


def _cost(cost: Estimate) -> Iterator[str]:
    yield (
        f"estimate: {cost.gpu_hours:.1f} GPU-hours ({cost.basis}), {cost.downloads / 1e9:.1f} GB downloaded"
        + (
            f", at most {cost.transfers / 1e9:.1f} GB of packages transferred by HTCondor"
            if cost.transfers
            else " by jobs without a cache"
        )
    )
    rows = [[c.label, sm(c.capability), c.devices, c.jobs, f"{c.gpu_hours:.2f}"] for c in cost.classes]
    table = tabulate(rows, headers=["GPU class", "capability", "devices", "jobs that may land there", "GPU-hours"])
    yield from (f"  {line}" for line in table.splitlines())
    if cost.at_once:
        yield f"at once: {', '.join(f'{limit} on {name}' for name, limit in cost.at_once.items())} (load.share)"
    if cost.hours:
        yield f"takes {cost.hours:.1f} h at least, if these are always free"


def listing(plan: Plan) -> Iterator[str]:
    """Every candidate with what becomes of it, one a line."""
    width = max(len(t.id) for t in plan.tuples)
    for planned in plan.tuples:
        yield f"{planned.id:<{width}}  {_fate(planned)}"


def _fate(planned: PlannedTuple) -> str:
    if not planned.submitted:
        return f"pruned      {planned.cause} by {planned.rule}: {planned.reason}"
    expected = planned.prediction
    if expected is None:
        return f"submitted   {planned.reason}"
    why = f"audit of {expected.rule}" if planned.audit else f"predicted {expected.cause} by {expected.rule}"
    return f"submitted   {why}: {expected.reason}"


def timing_lines(plan: Plan) -> list[str]:
    """How long each stage of planning took."""
    return ["planning took", *timings.lines(plan.timings)]


def rule_lines(rules: Sequence[Rule]) -> Iterator[str]:
    """The catalogue, a paragraph for each rule."""
    for rule in rules:
        yield f"{rule.id}  ({rule.effect}: {rule.cause})"
        yield f"    {rule.question}"
        yield f"    from {rule.inputs}"
        yield f"    source: {rule.source} ({rule.date})"


def rules_json(rules: Sequence[Rule]) -> str:
    """The catalogue as JSON."""
    return json.dumps([asdict(rule) for rule in rules], indent=1)
