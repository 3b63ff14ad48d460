"""Testing the rules themselves: a few of the tuples that a rule takes out are tested all the same.

A rule that is wrong hides working tuples for ever, since nothing that it takes out is ever run.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from sweep.model import Cause, Verdict
from sweep.schema import Outcome, PlannedTuple, Prediction

# The rule of verdicts that are carried forward from an earlier sweep.
REUSED = "reused"
# What the solver says cannot be tested by a job: there is nothing to install.
_NOT_TESTABLE = frozenset({"unsatisfiable", "cpu-build", "solve-limit"})


def choose(
    found: Mapping[str, PlannedTuple], count: int, seed: str, can_run: Callable[[str], bool]
) -> dict[str, Prediction]:
    """The tuples of an audit, by id: up to `count` for each rule, with what the rule says of them.

    Each sweep draws others, and the same sweep always the same. A job tells something about a rule only where a
    slot could take it (`can_run`); the rules about slots are what that is about, so for them any tuple will do.
    """
    by_rule: dict[str, list[str]] = {}
    for id_, planned in found.items():
        if planned.rule in _NOT_TESTABLE or planned.cause is None or planned.rule is None:
            continue
        if planned.cause is Cause.NO_SUCH_SLOT or can_run(id_):
            by_rule.setdefault(planned.rule, []).append(id_)
    chosen: dict[str, Prediction] = {}
    for rule, ids in by_rule.items():
        drawn = random.Random(f"{seed}:{rule}").sample(ids, min(count, len(ids)))  # noqa: S311 - not a secret
        for id_ in drawn:
            planned = found[id_]
            assert planned.cause is not None
            chosen[id_] = Prediction(rule=rule, cause=planned.cause, reason=planned.reason)
    return chosen


def tells(cause: Cause, prediction: Prediction | None) -> bool:
    """Whether how a tuple ended says anything about what was predicted of it.

    What is inconclusive does not. A job that waited in vain speaks of slots only, and of those a prediction of no
    such slot has come true; one without an environment says nothing of what would have happened on the GPU.
    """
    if prediction is None or cause.verdict in (Verdict.INCONCLUSIVE, Verdict.MATCH_FAILURE):
        return False
    return cause.verdict is not Verdict.RESOLVE_FAILURE or prediction.cause.verdict is Verdict.RESOLVE_FAILURE


def surprising(cause: Cause, prediction: Prediction | None) -> bool:
    """Whether a tuple ended otherwise than predicted."""
    return prediction is not None and tells(cause, prediction) and cause is not prediction.cause


def wrong_rules(outcomes: Sequence[Outcome]) -> list[str]:
    """A note for each tuple of an audit that came to another verdict than the rule that would have left it out."""
    return [
        _wrong(o, o.prediction)
        for o in outcomes
        if o.audit and o.surprise and o.prediction and o.verdict is not o.prediction.cause.verdict
    ]


def _wrong(outcome: Outcome, said: Prediction) -> str:
    if said.rule == REUSED:
        return (
            f"{outcome.id} would have been {said.cause} {said.reason.partition(':')[0]}, and the check says "
            f"{outcome.cause}: nothing is reused for {outcome.device}, driver {outcome.driver}, from now on"
        )
    return (
        f"rule {said.rule} is wrong: it says {said.cause} of {outcome.id}, and the test says {outcome.cause}; "
        "correct the fact (rules.facts), or switch the rule off (rules.off)"
    )
