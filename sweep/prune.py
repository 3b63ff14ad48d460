"""The rules that settle a tuple at planning. Each is certain, has a name, and leaves its reason in the plan.

`rules` has the catalogue. They run in this order, and the first that applies is recorded: no build exists, the
toolkit has no code for the GPU, no slot can ever match, the environment has no CUDA solution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweep import condor, render
from sweep.cuda import driver_floor
from sweep.facts import Facts
from sweep.match import Ask, Feasibility, Matcher
from sweep.model import Cause, EnvironmentKey, GpuClass, Source, Verdict, VersionTuple
from sweep.offer import Offer
from sweep.predict import toolkit_dropped
from sweep.ranges import within
from sweep.schema import EnvironmentState, PlannedEnvironment, PlannedTuple, Prediction
from sweep.settings import Settings

Settled = dict[str, PlannedTuple]  # by tuple id


def settled(tuple_: VersionTuple, cause: Cause, rule: str, reason: str, evidence: str = "plan.json") -> PlannedTuple:
    """A tuple that needs no job."""
    return _planned(tuple_, submitted=False, rule=rule, cause=cause, reason=reason, evidence=evidence)


def submitted(
    tuple_: VersionTuple, answer: Feasibility, audited: Prediction | None, prediction: Prediction | None
) -> PlannedTuple:
    """A tuple that gets a job; its reason says what it may wait for. `audited` is what a rule says that it tests."""
    reason = f"{answer.possible} slot(s) could take it when empty, {answer.free} of them at planning"
    audit = audited is not None
    return _planned(tuple_, submitted=True, reason=reason, prediction=audited or prediction, audit=audit)


def _planned(tuple_: VersionTuple, **decided: Any) -> PlannedTuple:
    return PlannedTuple(
        id=tuple_.id,
        framework=tuple_.framework,
        version=tuple_.version,
        cuda=tuple_.cuda,
        capability=tuple_.capability,
        gpu=tuple_.gpu,
        **decided,
    )


def without_build(candidates: Iterable[VersionTuple], offers: Mapping[str, Offer], facts: Facts) -> Settled:
    """Rules `no-build` and `missing-from-channel`: no CUDA build of this version says that it runs with this runtime.

    The second is said where one was built, as far as is known, and these channels lack it: a mirror or a snapshot.
    """
    said: dict[EnvironmentKey, tuple[str, str] | None] = {}
    found = {}
    for tuple_ in candidates:
        key = tuple_.environment
        if key not in said:
            said[key] = _no_build(key, offers[key.framework], facts)
        if (answer := said[key]) is not None:
            rule, reason = answer
            found[tuple_.id] = settled(tuple_, Cause.NO_BUILD, rule, reason)
    return found


def _no_build(key: EnvironmentKey, offer: Offer, facts: Facts) -> tuple[str, str] | None:
    if offer.serves(key.version, key.cuda):
        return None
    description = offer.description(key.version)
    # What is known to have been built is conda-forge's.
    upstream = facts.upstream(key.framework, key.version) or () if offer.source is Source.CONDA else ()
    major = key.cuda.partition(".")[0]
    lost = [c for c in upstream if c.partition(".")[0] == major and within(key.cuda, f">={c}")]
    if not lost:
        return "no-build", description
    return "missing-from-channel", (
        f"conda-forge built {key.version} with CUDA {' and '.join(lost)}, but {description}; "
        "are these channels a mirror or a snapshot?"
    )


def without_code(candidates: Iterable[VersionTuple], facts: Facts) -> Settled:
    """Rule `toolkit-dropped-capability`: this CUDA runtime's toolkit no longer makes code for the GPU."""
    said: dict[tuple[str, str], str | None] = {}
    found = {}
    for tuple_ in candidates:
        pair = (tuple_.cuda, tuple_.capability)
        if pair not in said:
            said[pair] = toolkit_dropped(*pair, facts)
        if (reason := said[pair]) is not None:
            found[tuple_.id] = settled(tuple_, Cause.NO_KERNEL_IMAGE, "toolkit-dropped-capability", reason)
    return found


def feasibilities(
    candidates: Sequence[VersionTuple],
    settings: Settings,
    here: Path,
    matcher: Matcher,
    classes: Mapping[str, GpuClass],
) -> dict[str, Feasibility]:
    """For each tuple, how many slots could take it: decided once for all that ask the same of a GPU and a machine.

    `classes` are the pool's GPU classes by label.
    """
    policy = settings.cuda.driver_policy
    answers: dict[tuple[Ask, str], Feasibility] = {}
    found = {}
    for tuple_ in candidates:
        gpu = classes[tuple_.gpu] if tuple_.gpu else None
        ask = Ask(tuple_.capability, driver_floor(tuple_.cuda, policy), gpu)
        key = (ask, render.universe(tuple_, settings))
        if key not in answers:
            # A dry run of condor_submit gives the job's ad exactly as a submission would.
            text = render.dry_submit_file(tuple_, settings, here, gpu)
            answers[key] = matcher.feasibility(condor.job_ad(text), ask)
        found[tuple_.id] = answers[key]
    return found


def without_slot(candidates: Iterable[VersionTuple], answers: Mapping[str, Feasibility]) -> Settled:
    """Tuples that no slot can ever match: the clause that rules all of them out is the reason."""
    return {
        t.id: settled(t, Cause.NO_SUCH_SLOT, answers[t.id].rule or "no-willing-slot", answers[t.id].clause)
        for t in candidates
        if not answers[t.id].possible
    }


def without_environment(
    candidates: Iterable[VersionTuple], environments: Mapping[str, PlannedEnvironment]
) -> Settled:
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
            reason = environment.explanation or ""
            if rule == "solve-limit":
                reason = f"the solver did not end in time; raise conda.solve_limit ({reason})"
            if cause is Cause.CPU_BUILD:
                reason = f"the solver takes the CPU build {environment.build}: {reason}"
            evidence = f"environments/{environment.id}/explanation.txt"
            found[tuple_.id] = settled(tuple_, cause, rule, reason, evidence)
    return found


def predicted(candidates: Iterable[VersionTuple], predictions: Mapping[str, Prediction]) -> Settled:
    """Tuples with a predicted failure, where the settings say that those are not worth a GPU.

    What is expected to work, if less than wholly, is tested all the same.
    """
    found = {}
    for tuple_ in candidates:
        expected = predictions.get(tuple_.id)
        if expected is not None and expected.cause.verdict is not Verdict.WORKS:
            found[tuple_.id] = settled(tuple_, expected.cause, expected.rule, f"predicted: {expected.reason}")
    return found
