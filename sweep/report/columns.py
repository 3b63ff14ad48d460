"""What the columns of compatibility.csv and .json mean, generated from the model of an outcome.

`sweep.table/1` is the version of these columns. A column more keeps it; one that goes, or means something else,
raises it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tabulate import tabulate

from sweep.report import speed
from sweep.schema import Outcome

SCHEMA: Final = "sweep.table/1"

# Fields of an outcome that are spread over columns of their own, or told by one of their parts.
SPREAD: Final = frozenset({"evidence", "prediction", "known", "payload", "speed"})

_TYPES: Final = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}

_MEANINGS: Final = {
    "id": "the tuple: framework, version, CUDA runtime, compute capability, and the GPU class where it has one",
    "framework": "the framework",
    "version": "its version, as many parts of it as the sweep tells apart",
    "cuda": "the CUDA runtime",
    "capability": "the compute capability of the GPU",
    "gpu": "the GPU class, where each is a tuple of its own",
    "verdict": "what happened to the tuple",
    "cause": "the finer reason under the verdict",
    "reason": "why, in one sentence",
    "rule": "the rule that decided",
    "submitted": "whether it was tested; else planning settled it",
    "audit": "whether it was tested to see that a rule is right which would have settled it",
    "surprise": "whether it ended otherwise than predicted",
    "rung": "the rung of the probe that broke",
    "build": "the conda build that has the CUDA code",
    "lock_sha256": "the digest of the environment's lock",
    "machine": "the machine of the attempt that decided",
    "device": "the name of its GPU",
    "driver": "the release of its driver",
    "uuid": "the UUID of its GPU",
    "compared": "by what the result was found to be of that GPU",
    "started": "when that attempt began, UTC",
    "ended": "when it ended, UTC",
    "expected": "whether a known issue foresees how it ended",
    "attempts": "how often its jobs started",
    "queue_seconds": "how long it waited for its first start, seconds",
    "run_seconds": "how long the attempt that decided ran, seconds",
    "source": "where its environment comes from: conda, pip or container",
    "gpu_seconds": "what all of its attempts held, seconds times GPUs",
    "transfer_seconds": "how long the input of all attempts took to arrive, seconds",
    "install_seconds": "how long its last attempt installed, seconds",
    "probe_seconds": "how long its last attempt probed and measured, seconds",
    "transferred_bytes": "what HTCondor transferred to all of its attempts, without common files, bytes",
    "fetched_bytes": "what its last attempt fetched from channels to install its packages, bytes",
}

# Columns that are no fields of an outcome: type and meaning.
_OTHERS: Final = {
    "sweep": ("text", "the sweep's name, its time in UTC"),
    "simulated": ("true or false", "whether the pool's GPUs are simulated"),
    "change": ("text", "what became of it since the sweep before: newly broken, newly works, ...; empty if nothing"),
    "predicted": ("text", "the cause that a rule predicted"),
    "predicted_by": ("text", "that rule"),
    "known_issue": ("text", "the known issue that foresees a failure of it"),
    "payload_passed": ("true or false", "whether the project's own command ended with exit code 0 in time"),
    "payload_exit_code": ("whole number", "its exit code; below 0 the signal that ended it"),
    "payload_ended": ("text", "how it ended: exited, timeout or interrupted"),
    "payload_seconds": ("number", "how long it ran, seconds"),
    "payload_tests": ("whole number", "the tests in its JUnit file"),
    "payload_failures": ("whole number", "those that failed"),
    "payload_errors": ("whole number", "those that ended in an error"),
    "payload_skipped": ("whole number", "those that were skipped"),
    **dict(speed.described()),
    "evidence_file": ("text", "where the verdict comes from: a file in the sweep's directory"),
    "evidence_line": ("whole number", "the line of that file"),
    "evidence_excerpt": ("text", "the deciding words"),
}


def described() -> Iterator[tuple[str, str, str]]:
    """Each column: its name, its type, what it means."""
    properties: Mapping[str, Any] = Outcome.model_json_schema()["properties"]
    for name in ("sweep", "simulated", "change"):
        yield name, *_OTHERS[name]
    for name, schema in properties.items():
        if name not in SPREAD:
            yield name, _type(schema), _MEANINGS.get(name) or schema.get("description", "")
    for name, (kind, meaning) in _OTHERS.items():
        if name not in ("sweep", "simulated", "change"):
            yield name, kind, meaning


def markdown() -> str:
    """The columns as a Markdown table."""
    rows = [[f"`{name}`", kind, meaning] for name, kind, meaning in described()]
    return tabulate(rows, headers=["column", "type", "means"], tablefmt="github", disable_numparse=True)


def _type(schema: Mapping[str, Any]) -> str:
    """A column's type, without its bounds; what may be missing has the type of what may be there."""
    options = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if "$ref" in options[0] or "enum" in options[0]:
        return "text"
    return _TYPES.get(options[0].get("type", ""), "JSON")
