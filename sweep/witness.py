"""Whether a result is of the device that the job was given.

Five witnesses name a device: the tuple, which asks for a capability (and for a GPU class, where each is tested by
itself); the event log, whose start of the job carries the slot's description; the slot's ad as the job found it; the
driver's own library, asked without any framework; and the framework. Not all of them know everything (old startds say
little, old frameworks name no capability), but no two of them may disagree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sweep.events import Attempt
from sweep.model import GpuClass
from sweep.schema import NodeDevice, PlannedTuple, ProbeResult

_SHORTEST = 8  # digits of a UUID that HTCondor itself takes for enough


@dataclass(frozen=True)
class Testimony:
    """What could be compared, in words; why the result is not to be believed, if so; the device, as far as known."""

    compared: tuple[str, ...] = ()
    mismatch: str | None = None
    capability: str | None = None
    uuid: str | None = None
    driver: str | None = None


SILENCE = Testimony()


def hear(planned: PlannedTuple, gpu: GpuClass | None, attempt: Attempt | None, result: ProbeResult) -> Testimony:
    """Compare what the witnesses say; `attempt` is the start that left the result."""
    logged = attempt.uuid if attempt else None
    seen = _device(result, logged)
    shown = _of_library(result)
    capabilities = {
        "the event log": _capability(attempt.capability if attempt else None),
        "the slot": _capability(seen.capability if seen else None),
        "the driver": _capability(shown.capability if shown else None),
        "the framework": _capability(result.framework.capability if result.framework else None),
    }
    known = {who: said for who, said in capabilities.items() if said is not None}
    drivers = (seen.driver if seen else None, result.node.driver, attempt.driver if attempt else None)
    driver = next(filter(None, drivers), None)
    uuids = _uuids(result)
    comparable = logged is not None and bool(uuids)
    said = Testimony(
        compared=(
            *(("UUID: the event log, the slot",) if comparable else ()),
            *((f"capability: {', '.join(('the tuple', *known))}",) if known else ()),
            *(("GPU class",) if gpu else ()),
        ),
        capability=next(iter(known.values()), None),
        uuid=next((u for u in uuids if logged is None or same_uuid(u, logged)), logged),
        driver=driver,
    )
    wrong = next((who for who, capability in known.items() if capability != planned.capability), None)
    if comparable and logged is not None and not any(same_uuid(u, logged) for u in uuids):
        return _refused(said, f"the result is of device {', '.join(uuids)}, but the event log has {logged}")
    if shown is not None and shown.uuid and logged and _whole_gpu(logged) and not same_uuid(shown.uuid, logged):
        return _refused(said, f"the driver shows device {shown.uuid}, but the event log has {logged}")
    if wrong is not None:
        return _refused(said, f"{wrong} says capability {known[wrong]}, but the tuple is of {planned.capability}")
    if gpu is not None:
        device = (seen.name if seen else None) or (attempt.device if attempt else None)
        if device is not None and device != gpu.device:
            return _refused(said, f"the device is {device}, but the tuple is of {gpu.device}")
        if driver is not None and gpu.driver is not None and driver != gpu.driver:
            return _refused(said, f"the driver is {driver}, but the tuple is of {gpu.driver}")
    return said


def same_uuid(one: str, other: str) -> bool:
    """Whether two names of devices are of the same one; HTCondor may shorten a UUID and leave out `GPU-`."""
    first, second = _digits(one), _digits(other)
    return first.startswith(second) or second.startswith(first)


def _refused(said: Testimony, why: str) -> Testimony:
    return Testimony(said.compared, why, said.capability, said.uuid, said.driver)


def _digits(uuid: str) -> str:
    return uuid.lower().removeprefix("gpu-")


def _whole(uuid: str | None) -> bool:
    """Whether a name is long enough to tell devices apart; an index such as `0` is not."""
    return uuid is not None and len(_digits(uuid)) >= _SHORTEST


def _uuids(result: ProbeResult) -> list[str]:
    """The devices that the job had: as the slot names them, else as CUDA_VISIBLE_DEVICES does."""
    named = [d.uuid for d in result.node.devices if d.uuid is not None]
    visible = (result.node.cuda_visible_devices or "").split(",")
    return [u for u in named or visible if _whole(u)]


def _of_library(result: ProbeResult) -> NodeDevice | None:
    """The one device that the driver's library showed to the job, if it was one."""
    devices = result.node.library.devices if result.node.library else []
    return devices[0] if len(devices) == 1 else None


def _whole_gpu(uuid: str) -> bool:
    """Whether a name is that of a GPU; old drivers answer for a MIG slice with the UUID of the GPU that it is of."""
    return _whole(uuid) and not uuid.upper().startswith("MIG")


def _device(result: ProbeResult, uuid: str | None) -> NodeDevice | None:
    """The one device of the result that the job had, if that can be told."""
    devices = result.node.devices
    if uuid is not None and (same := [d for d in devices if d.uuid and _whole(d.uuid) and same_uuid(d.uuid, uuid)]):
        return same[0]
    return devices[0] if len(devices) == 1 else None


def _capability(said: str | None) -> str | None:
    """A capability as tuples write it: `12` is `12.0`; what is no number stays as it is, and agrees with nothing."""
    if said is None:
        return None
    return f"{said}.0" if re.fullmatch(r"\d{1,2}", said) else said
