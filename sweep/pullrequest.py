"""Label-gated runs: whether a label on a pull request may start a sweep, and what the sweep then says there.

The event is written by the hosting service, but a pull request's author chose much of its text: it is untrusted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sweep.errors import RefusedError
from sweep.files import read_whole
from sweep.model import visible

# By this line a comment is found again, so that there is one, updated in place.
MARKER = "<!-- compatibility sweep -->"
# What the hosting service takes as a comment.
LONGEST = 65_536
# Who may start a sweep; labels may be set by people with less.
MAY_START = ("write", "maintain", "admin")


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Label(_Part):
    name: Annotated[str, Field(max_length=200)]


class _Head(_Part):
    sha: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]


class _PullRequest(_Part):
    number: Annotated[int, Field(ge=1)]
    state: Literal["open", "closed"]
    head: _Head


class Labelled(_Part):
    """The part of a `labeled` event that matters: the label, and the commit that the pull request was at then."""

    action: Annotated[str, Field(max_length=50)]
    label: _Label
    pull_request: _PullRequest


def check(event: Path, label: str, permission: str) -> Labelled:
    """The event, if it may start a sweep: an open pull request got this very label by someone who may write.

    `permission` is what the hosting service says of the person who set the label.

    Raises:
        RefusedError: it may not; the text says why.
    """
    try:
        found = Labelled.model_validate_json(read_whole(event))
    except OSError as error:
        raise RefusedError(f"{event}: {error.strerror}; name the file that GITHUB_EVENT_PATH names") from error
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise RefusedError(f"{event} is no event of a labelled pull request: {where}: {first['msg']}") from error
    if found.action != "labeled":
        raise RefusedError(f"nothing was labelled: the event's action is {visible(found.action)!r}")
    if found.label.name != label:
        raise RefusedError(f"the label is {visible(found.label.name)!r}, not {label!r}")
    if found.pull_request.state != "open":
        raise RefusedError(f"pull request {found.pull_request.number} is {found.pull_request.state}")
    if permission not in MAY_START:
        raise RefusedError(
            f"whoever set the label has the permission {visible(permission)!r}; it takes {', '.join(MAY_START)}"
        )
    return found


def comment(report: Path, sha: str) -> str:
    """The comment's text: the sweep's Markdown tables, or why there are none, for one commit of a pull request."""
    head = f"{MARKER}\nGPU sweep of {sha[:12]}\n\n"
    tables = report / "compatibility.md"
    try:
        text = read_whole(tables).decode("utf-8", "replace")
    except OSError:
        text = "The sweep left no table; the run's log says what went wrong.\n"
    room = LONGEST - len(head)
    if len(text) <= room:
        return head + text
    note = "\n\n(Cut here: the whole table is in the run's artifact.)\n"
    return head + text[: room - len(note)].rpartition("\n")[0] + note
