"""The candidates on their way through the planning rules: each is settled once, or goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sweep import audit
from sweep.model import VersionTuple
from sweep.schema import PlannedTuple, Prediction
from sweep.settings import RuleSettings


class Sieve:
    """What is left of the candidates, what was settled, and which tuples go on to test a rule that took them out.

    Args:
        candidates: the tuples to begin with.
        settings: which rules are off, and how many tuples of each are audited.
        seed: decides the audit's draw; the sweep's name.
        can_run: whether any slot could take a tuple's job.
    """

    def __init__(
        self,
        candidates: Sequence[VersionTuple],
        settings: RuleSettings,
        seed: str,
        can_run: Callable[[str], bool],
    ) -> None:
        self.rest: Sequence[VersionTuple] = candidates
        self.settled: dict[str, PlannedTuple] = {}
        self.audited: dict[str, Prediction] = {}
        self._spared: dict[str, PlannedTuple] = {}
        self._settings = settings
        self._seed = seed
        self._can_run = can_run

    def apply(self, found: Mapping[str, PlannedTuple]) -> None:
        """Take out what rules have found, but for the rules that are off and the tuples of the audit."""
        found = {id_: t for id_, t in found.items() if t.rule not in self._settings.off}
        # A tuple that audits one rule already is not drawn again: this rule's word ends its test.
        fresh = {id_: t for id_, t in found.items() if id_ not in self.audited}
        drawn = audit.choose(fresh, self._settings.audit, self._seed, self._can_run)
        self.audited |= drawn
        self._spared |= {id_: found[id_] for id_ in drawn}
        self.settled |= {id_: self._last_word(id_, t) for id_, t in found.items() if id_ not in drawn}
        self.rest = [t for t in self.rest if t.id not in self.settled]

    def _last_word(self, id_: str, planned: PlannedTuple) -> PlannedTuple:
        """Of a tuple that was spared for an audit and then settled all the same: the first rule was right."""
        first = self._spared.get(id_)
        if first is None:
            return planned
        if first.cause is not None and planned.cause is not None and first.cause.verdict is planned.cause.verdict:
            reason = f"{first.reason} (audited; rule {planned.rule} agrees: {planned.reason})"
            return first.model_copy(update={"reason": reason, "evidence": planned.evidence})
        return planned
