"""The files that cross a process, one module each.

Each has the name and version of its schema in its first field; a reader refuses a schema that it does not know.
"""

from sweep.schema.outcomes import Evidence, FunnelRow, Known, Outcome, Outcomes, Outlier, PoolEnd, SlotAnswer, Spent
from sweep.schema.plan import (
    ChannelSnapshot,
    ClassShare,
    EnvironmentState,
    Estimate,
    Plan,
    PlannedEnvironment,
    PlannedTuple,
    Prediction,
    SpaceCounts,
    SubdirSnapshot,
)
from sweep.schema.records import Amount, EachOnce, OfTuple
from sweep.schema.result import (
    FrameworkFacts,
    NodeDevice,
    NodeFacts,
    ProbeResult,
    RungOutcome,
    RungRecord,
    StepRecord,
    Untrusted,
)

__all__ = [
    "Amount",
    "ChannelSnapshot",
    "ClassShare",
    "EachOnce",
    "EnvironmentState",
    "Estimate",
    "Evidence",
    "FrameworkFacts",
    "FunnelRow",
    "Known",
    "NodeDevice",
    "NodeFacts",
    "OfTuple",
    "Outcome",
    "Outcomes",
    "Outlier",
    "Plan",
    "PlannedEnvironment",
    "PlannedTuple",
    "PoolEnd",
    "Prediction",
    "ProbeResult",
    "RungOutcome",
    "RungRecord",
    "SlotAnswer",
    "SpaceCounts",
    "Spent",
    "StepRecord",
    "SubdirSnapshot",
    "Untrusted",
]
