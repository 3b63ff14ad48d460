"""The rules that settle a tuple at planning. Each is certain, has a name, and leaves its reason in the plan.

Rules run in this order, and the first that applies is recorded: no build exists, no slot can ever match, the
environment has no CUDA solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sweep import condor, render
from sweep.config import Settings
from sweep.cuda import driver_floor
from sweep.match import Ask, Feasibility, Matcher
from sweep.model import Cause, EnvironmentKey, VersionTuple
from sweep.offer import Offer
from sweep.schema import EnvironmentState, PlannedEnvironment, PlannedTuple


def settled(tuple_: VersionTuple, cause: Cause, rule: str, reason: str, evidence: str = "plan.json") -> PlannedTuple:
    """A tuple that needs no job."""
    return PlannedTuple(
        id=tuple_.id, **tuple_.model_dump(), submitted=False, rule=rule, cause=cause, reason=reason, evidence=evidence
    )


def submitted(tuple_: VersionTuple, answer: Feasibility) -> PlannedTuple:
    """A tuple that no rule settles; its reason says what it may wait for."""
    reason = f"{answer.possible} slot(s) could take it when empty, {answer.free} of them at planning"
    return PlannedTuple(id=tuple_.id, **tuple_.model_dump(), submitted=True, reason=reason)


def without_build(candidates: Iterable[VersionTuple], offers: Mapping[str, Offer]) -> dict[str, PlannedTuple]:
    """Rule `no-build`: no CUDA build of this version says that it runs with this runtime."""
    served: dict[EnvironmentKey, bool] = {}
    found = {}
    for tuple_ in candidates:
        key, offer = tuple_.environment, offers[tuple_.framework]
        if key not in served:
            served[key] = offer.serves(key.version, key.cuda)
        if not served[key]:
            found[tuple_.id] = settled(tuple_, Cause.NO_BUILD, "no-build", offer.description(tuple_.version))
    return found


def feasibilities(
    candidates: Sequence[VersionTuple], settings: Settings, here: Path, matcher: Matcher
) -> dict[str, Feasibility]:
    """For each tuple, how many slots could take it: decided once for all that ask the same of a GPU."""
    policy = settings.cuda.driver_policy
    answers: dict[Ask, Feasibility] = {}
    found = {}
    for tuple_ in candidates:
        ask = Ask(tuple_.capability, driver_floor(tuple_.cuda, policy))
        if ask not in answers:
            # A dry run of condor_submit gives the job's ad exactly as a submission would.
            text = render.dry_submit_file(tuple_, settings, here)
            answers[ask] = matcher.feasibility(condor.job_ad(text), ask)
        found[tuple_.id] = answers[ask]
    return found


def without_slot(candidates: Sequence[VersionTuple], answers: Mapping[str, Feasibility]) -> dict[str, PlannedTuple]:
    """Tuples that no slot can ever match: the clause that rules all of them out is the reason."""
    return {
        t.id: settled(t, Cause.NO_SUCH_SLOT, answers[t.id].rule or "no-willing-slot", answers[t.id].clause)
        for t in candidates
        if not answers[t.id].possible
    }


def without_environment(
    candidates: Iterable[VersionTuple], environments: Mapping[str, PlannedEnvironment]
) -> dict[str, PlannedTuple]:
    """Rules `unsatisfiable` and `cpu-build`: the solver's answer settles every tuple of the environment.

    A solver that did not come to an end (rule `solve-limit`) has said nothing: those tuples are inconclusive.
    """
    causes = {
        EnvironmentState.UNSATISFIABLE: (Cause.UNSATISFIABLE, "unsatisfiable"),
        EnvironmentState.CPU_BUILD: (Cause.CPU_BUILD, "cpu-build"),
        EnvironmentState.UNSOLVED: (Cause.INFRASTRUCTURE, "solve-limit"),
    }
    found = {}
    for tuple_ in candidates:
        environment = environments[tuple_.environment.id]
        if environment.state in causes:
            cause, rule = causes[environment.state]
            reason = _gist(environment.explanation or "")
            if rule == "solve-limit":
                reason = f"the solver did not end in time; raise conda.solve_limit ({reason})"
            if cause is Cause.CPU_BUILD:
                reason = f"the solver takes the CPU build {environment.build}: {reason}"
            evidence = f"environments/{environment.id}/explanation.txt"
            found[tuple_.id] = settled(tuple_, cause, rule, reason, evidence)
    return found


def _gist(explanation: str) -> str:
    """The lines of the solver's tree that name what is missing or in conflict, on one line."""
    lines = [line.strip(" │├└─╰·\t") for line in explanation.splitlines()]
    telling = [line for line in lines if "no candidates were found" in line.lower() or "conflict" in line.lower()]
    return "; ".join(dict.fromkeys(telling or lines[:3]))[:300]
