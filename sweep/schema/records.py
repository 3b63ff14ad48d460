"""What records about a tuple have in common, in whichever file they stand."""

from __future__ import annotations

from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from sweep.ids import tuple_id
from sweep.model import (
    Capability,
    EnvironmentKey,
    Frozen,
    Label,
    Name,
    Runtime,
    Version,
)

# Hours or seconds of something.
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class OfTuple(Frozen):
    """A record about one tuple: its id, and the parts that the id is made of, for those who read the file.

    The id names directories and nodes of the DAG, so it is refused where it is not what the parts make.
    """

    id: str
    framework: Name
    version: Version
    cuda: Runtime
    capability: Capability
    gpu: Label | None = None

    @property
    def environment(self) -> EnvironmentKey:
        """The environment that this tuple shares with the same versions on other GPUs."""
        return EnvironmentKey(framework=self.framework, version=self.version, cuda=self.cuda)

    @model_validator(mode="after")
    def _named_by_its_parts(self) -> Self:
        made = tuple_id(self.framework, self.version, self.cuda, self.capability, self.gpu)
        if self.id != made:
            raise ValueError(f"the id of this tuple is {made}")
        return self


AnyRecord = TypeVar("AnyRecord", bound=OfTuple)


def _each_once(records: tuple[AnyRecord, ...]) -> tuple[AnyRecord, ...]:
    if len({record.id for record in records}) < len(records):
        raise ValueError("a tuple occurs twice")
    return records


EachOnce = Annotated[tuple[AnyRecord, ...], AfterValidator(_each_once)]
