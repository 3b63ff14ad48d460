"""What a sweep has cost: GPU-hours by verdict and by GPU, and what the GPUs did in that time."""

from __future__ import annotations

from collections.abc import Callable

from tabulate import tabulate

from sweep.ids import sm
from sweep.model import Verdict
from sweep.schema import Outcome, Outcomes


def lines(outcomes: Outcomes, tablefmt: str) -> list[str]:
    """The tables, one after the other; none where no job ran."""
    ran = [o for o in outcomes.tuples if o.gpu_seconds]
    if not ran:
        return []
    by_verdict = _table(ran, "verdict", lambda o: o.verdict.value, [v.value for v in Verdict], tablefmt)
    by_gpu = _table(ran, "GPU", lambda o: o.device or "never started", None, tablefmt)
    return [summary(outcomes), "", *by_verdict, "", *by_gpu]


def summary(outcomes: Outcomes) -> str:
    """What the GPUs were held for, against the budget if there was one; and what was fetched and transferred."""
    held = sum(o.gpu_seconds for o in outcomes.tuples)
    parts = {
        "transferring input": sum(o.transfer_seconds or 0.0 for o in outcomes.tuples),
        "installing": sum(o.install_seconds or 0.0 for o in outcomes.tuples),
        "probing": sum(o.probe_seconds or 0.0 for o in outcomes.tuples),
    }
    told = ""
    if held and any(parts.values()):
        parts["starting, ending and attempts that were replaced"] = max(0.0, held - sum(parts.values()))
        told = ": " + ", ".join(f"{seconds / held:.0%} {what}" for what, seconds in parts.items())
    return f"{held / 3600:.2f} GPU-hours{_budgets(outcomes)}{told}.{_traffic(outcomes)}"


def _budgets(outcomes: Outcomes) -> str:
    """The budgets, that of the sweep and those of capabilities with what these spent; empty where there are none."""
    whole = f" of a budget of {outcomes.budget:g}" if outcomes.budget is not None else ""
    held = {
        capability: sum(o.gpu_seconds for o in outcomes.tuples if o.capability == capability) / 3600
        for capability in outcomes.budgets
    }
    each = ", ".join(f"{sm(c)} {hours:.2f} of {outcomes.budgets[c]:g}" for c, hours in held.items())
    return whole + (f" ({each})" if each else "")


def _traffic(outcomes: Outcomes) -> str:
    """What was fetched from channels and transferred by HTCondor, in one sentence; empty where nothing is known."""
    fetched = [o.fetched_bytes for o in outcomes.tuples if o.fetched_bytes is not None]
    transferred = [o.transferred_bytes for o in outcomes.tuples if o.transferred_bytes is not None]
    if not fetched and not transferred:
        return ""
    at_once = f", {_bytes(outcomes.supplied)} of it by the access point for all" if outcomes.supplied else ""
    return (
        f" {_bytes(outcomes.supplied + sum(fetched))} fetched from channels{at_once}, {_bytes(sum(transferred))} "
        f"transferred by HTCondor; per tuple {_mean(fetched)} fetched and {_mean(transferred)} transferred."
    )


def _mean(sizes: list[int]) -> str:
    return _bytes(sum(sizes) / len(sizes)) if sizes else "an unknown amount"


def _bytes(size: float) -> str:
    """A number of bytes in GB, or in MB or kB where it is small."""
    if size >= 1e8:
        return f"{size / 1e9:.2f} GB"
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def _table(
    ran: list[Outcome], title: str, key: Callable[[Outcome], str], order: list[str] | None, tablefmt: str
) -> list[str]:
    groups: dict[str, list[Outcome]] = {name: [] for name in order or ()}
    for outcome in ran:
        groups.setdefault(key(outcome), []).append(outcome)
    rows = [
        [
            name,
            len(some),
            sum(o.attempts for o in some),
            sum(o.gpu_seconds for o in some) / 3600,
            sum(o.transfer_seconds or 0.0 for o in some) / 3600,
            sum(o.install_seconds or 0.0 for o in some) / 3600,
            sum(o.probe_seconds or 0.0 for o in some) / 3600,
        ]
        for name, some in groups.items()
        if some
    ]
    headers = [title, "tuples", "attempts", "GPU-hours", "transferring", "installing", "probing"]
    return tabulate(rows, headers=headers, tablefmt=tablefmt, floatfmt=".3f").splitlines()
