"""The stored sweeps of data/sweeps, three real ones of a pool that changes between them; and texts of them."""

from __future__ import annotations

from pathlib import Path

from sweep.diff import Diff, diff
from sweep.files import read_model
from sweep.model import VersionTuple
from sweep.report import changes, markdown, summary
from sweep.schema import Outcomes

SWEEPS = Path(__file__).parent / "data" / "sweeps"
BEFORE = {"winter": None, "spring": "winter", "summer": "spring"}
FIRST = "none to tell, this is the first finished sweep here"


def stored(name: str) -> Outcomes:
    """One of the sweeps: winter, spring or summer."""
    return read_model(SWEEPS / f"{name}.json", Outcomes, "make.py")


def since(name: str) -> Diff | str:
    """Its difference to the one before."""
    before = BEFORE[name]
    return diff(stored(before), stored(name)) if before else FIRST


def golden(name: str) -> dict[str, str]:
    """The texts made of a sweep that are kept beside it, by the name of their file."""
    outcomes, changed = stored(name), since(name)
    found = {
        f"{name}.md": markdown.render(outcomes, changed),
        f"{name}.summary.txt": summary.render(Path("/srv/results", outcomes.sweep), outcomes, changed),
    }
    if isinstance(changed, Diff):
        found[f"{name}.diff.txt"] = "\n".join(changes.lines(changed)) + "\n"
    return found


def large(size: int) -> Outcomes:
    """A sweep of so many tuples, as various as the spring sweep: it again and again, under other versions."""
    small = stored("spring")
    found = []
    for minor in range(size // len(small.tuples) + 1):
        for o in small.tuples:
            version = f"{minor}.{o.version}"
            name = VersionTuple(framework=o.framework, version=version, cuda=o.cuda, capability=o.capability).id
            place = o.evidence.model_copy(update={"file": o.evidence.file.replace(o.id, name)})
            reason = f"{o.reason} (number {len(found)})"  # real ones differ in sizes, paths and line numbers
            changes = {"id": name, "version": version, "evidence": place, "reason": reason}
            found.append(o.model_copy(update=changes))
    return small.model_copy(update={"tuples": tuple(found[:size])})
