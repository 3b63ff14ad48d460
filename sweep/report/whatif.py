"""A forecast for people: what a change of the pool would take, framework by framework."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from sweep.facts import Facts
from sweep.report.advice import gpus
from sweep.schema import Outcomes
from sweep.whatif import Change, Forecast, Loss, foreseeable, what_if


def sentence(change: Change) -> str:
    """The change in words."""
    parts = [f"every driver at least {change.driver}"] if change.driver else []
    parts += [f"without CUDA {runtime}" for runtime in change.cuda]
    parts += [f"without GPUs {word}" for word in change.retired]
    return ", ".join(parts)


def lines(outcomes: Outcomes, change: Change, forecast: Forecast) -> Iterator[str]:
    """The forecast in plain lines."""
    gone = [loss for loss in forecast.losses if loss.whole]
    fewer = [loss for loss in forecast.losses if not loss.whole]
    yield f"What if: {sentence(change)}? By sweep {outcomes.sweep} and the fact tables; nothing was tested for this."
    yield (
        f"{len(gone)} of {forecast.working} working tuples would be lost, {len(fewer)} more would lose some of their "
        f"devices; {len(forecast.curable)} that found no driver new enough could be tried."
    )
    if forecast.losses:
        yield ""
        yield from tabulate(
            _rows(forecast), headers=["framework", "tuples lost", "versions left nowhere", "devices left without it"]
        ).splitlines()
    for loss_kind, losses in (("Lost", gone), ("Fewer devices", fewer)):
        if losses:
            yield ""
            yield f"{loss_kind}:"
            yield from _grouped(losses)
    if forecast.curable:
        yield ""
        yield "Could be tried then:"
        yield from (f"  {o.id} ({o.cause} today)" for o in forecast.curable)


def _rows(forecast: Forecast) -> Iterator[list[Any]]:
    stranded = {s.framework: s for s in forecast.stranded}
    for framework in dict.fromkeys(loss.outcome.framework for loss in forecast.losses):
        losses = [loss for loss in forecast.losses if loss.outcome.framework == framework and loss.whole]
        without = stranded.get(framework)
        yield [
            framework,
            len(losses),
            ", ".join(_nowhere(forecast, framework)) or "none",
            f"{without.devices}: {gpus(without.gpus)}" if without else "none",
        ]


def _nowhere(forecast: Forecast, framework: str) -> list[str]:
    """The versions of a framework that work somewhere now, and nowhere after the change."""
    left = set(forecast.left)
    lost = dict.fromkeys(loss.outcome.version for loss in forecast.losses if loss.outcome.framework == framework)
    return [version for version in lost if (framework, version) not in left]


def _grouped(losses: list[Loss]) -> Iterator[str]:
    """Losses with the same reason under it, an environment on each line."""
    whys: dict[str, dict[str, list[Loss]]] = {}
    for loss in losses:
        environment = loss.outcome.environment.id
        whys.setdefault(loss.why, {}).setdefault(environment, []).append(loss)
    for why, environments in whys.items():
        yield f"  {why}"
        for environment, alike in environments.items():
            places = ", ".join(f"{_place(loss)} ({loss.lost} of {loss.devices})" for loss in alike)
            yield f"    {environment}: {places}"


def _place(loss: Loss) -> str:
    return f"sm{loss.outcome.id.rpartition('-sm')[2]}"


@dataclass(frozen=True)
class Line:
    """A forecast in one line: the change, tuples lost, tuples with fewer devices, and whom it leaves without what."""

    change: str
    lost: int
    fewer: int
    without: str
    to_try: int


def for_page(outcomes: Outcomes, facts: Facts) -> list[Line]:
    """What each foreseeable change would cost."""
    found = []
    for change in foreseeable(outcomes, facts):
        forecast = what_if(outcomes, change, facts)
        gone = sum(loss.whole for loss in forecast.losses)
        without = "; ".join(f"{s.framework}: {gpus(s.gpus)}" for s in forecast.stranded)
        found.append(Line(sentence(change), gone, len(forecast.losses) - gone, without, len(forecast.curable)))
    return found


def as_json(outcomes: Outcomes, change: Change, forecast: Forecast) -> str:
    """The same for programs."""
    data = {
        "schema": "sweep.forecast/1",
        "sweep": outcomes.sweep,
        "change": {"driver": change.driver, "drop_cuda": list(change.cuda), "retire": list(change.retired)},
        "working": forecast.working,
        "losses": [
            {"id": loss.outcome.id, "devices": loss.devices, "lost": loss.lost, "why": loss.why}
            for loss in forecast.losses
        ],
        "without_framework": {s.framework: [c.label for c in s.gpus] for s in forecast.stranded},
        "could_be_tried": [o.id for o in forecast.curable],
    }
    return json.dumps(data, indent=1)
