"""SHA-256 of what verdicts rest on beside locks and machines: rules and probes. A diff asks whether they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sweep import places
from sweep.facts import Facts
from sweep.schema import Digests, Plan
from sweep.settings import RuleSettings


def of_sweep(here: Path, plan: Plan) -> Digests:
    """Those of the sweep in directory `here`: its own copies of the probes, and the cause rules as they are now."""
    return Digests(
        planning=plan.rules_sha256,
        causes=cause_rules(),
        probes=probes(here, {t.framework for t in plan.tuples}),
    )


def cause_rules() -> str:
    """Of the cause rules, as they are now."""
    return _sha256([(places.PACKAGE / "rules" / "causes.toml").read_bytes()])


def probes(here: Path, frameworks: Iterable[str]) -> dict[str, str]:
    """By framework, of the sweep's own copies of its probe and of the driver; without those that are not there."""
    return {name: found for name in sorted(frameworks) if (found := _probe(here, name))}


def planning_rules(facts: Facts, settings: RuleSettings) -> str:
    """What tells sets of planning rules apart: the tables of facts, and which of the rules spoke."""
    tables = (facts.toolkits, facts.drivers, facts.arch_lists, facts.systems, facts.upstreams, facts.predictions)
    used = settings.model_dump_json(include={"predicted", "off"})
    return _sha256(text.encode() for text in (*(table.model_dump_json() for table in tables), used))


def _probe(here: Path, framework: str) -> str | None:
    """The framework's own probe and the driver that runs it; None where they were tidied away."""
    folder = here / "probe"
    files = [folder / f"{framework}.py", *sorted(folder.glob("driver.py*"))]
    try:
        return _sha256(path.read_bytes() for path in files)
    except OSError:
        return None


def _sha256(parts: Iterable[bytes]) -> str:
    """Of several texts; each is hashed first, so that nothing moves unseen from one to the next."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
