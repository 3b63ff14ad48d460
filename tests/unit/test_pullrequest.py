"""Label-gated runs: who may start a sweep, what is said on the pull request, and the workflow that calls both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sweep import places
from sweep.cli import cli
from sweep.errors import RefusedError
from sweep.pullrequest import LONGEST, MARKER, check, comment

SHA = "0123456789abcdef0123456789abcdef01234567"
WORKFLOW = places.templates() / "github" / "gpu-sweep.yml"
EXAMPLE = Path(__file__).resolve().parents[2] / "results" / "example"


def event(directory: Path, **changes: Any) -> Path:
    """An event as the hosting service writes it, with what is left out of it here cut away."""
    whole = {
        "action": "labeled",
        "label": {"id": 1, "name": "gpu-sweep", "color": "ededed"},
        "number": 7,
        "pull_request": {
            "number": 7,
            "state": "open",
            "title": "$(reboot) `reboot` <script>",
            "head": {"ref": "patch-1;reboot", "sha": SHA, "repo": {"full_name": "someone/project"}},
        },
        "sender": {"login": "maintainer"},
    }
    path = directory / "event.json"
    path.write_text(json.dumps(whole | changes))
    return path


@pytest.mark.parametrize("permission", ["write", "maintain", "admin"])
def test_a_maintainers_label_starts_a_sweep_of_the_commit_that_was_labelled(tmp_path: Path, permission: str) -> None:
    done = CliRunner().invoke(cli, ["pull-request", "check", str(event(tmp_path)), "--permission", permission])
    assert (done.exit_code, done.output) == (0, f"number=7\nsha={SHA}\n")


def pull_request(**changes: Any) -> dict[str, Any]:
    return {"number": 7, "state": "open", "head": {"sha": SHA}} | changes


@pytest.mark.parametrize(
    ("changes", "permission", "said"),
    [
        ({}, "triage", "permission 'triage'; it takes write, maintain, admin"),
        ({}, "read", "permission 'read'"),
        ({}, "", "permission ''"),
        ({"action": "opened"}, "admin", "nothing was labelled: the event's action is 'opened'"),
        ({"action": "synchronize"}, "admin", "'synchronize'"),
        ({"label": {"name": "bug"}}, "admin", "the label is 'bug', not 'gpu-sweep'"),
        ({"label": None}, "admin", "label"),
        ({"pull_request": pull_request(state="closed")}, "admin", "pull request 7 is closed"),
        ({"pull_request": pull_request(head={"sha": "main"})}, "admin", "pull_request.head.sha"),
        ({"pull_request": pull_request(head={"sha": f"{SHA}\nsha=1"})}, "admin", "pull_request.head.sha"),
        ({"pull_request": pull_request(number="7; reboot")}, "admin", "pull_request.number"),
    ],
)
def test_everything_else_is_refused(tmp_path: Path, changes: dict[str, Any], permission: str, said: str) -> None:
    with pytest.raises(RefusedError, match=re.escape(said)):
        check(event(tmp_path, **changes), "gpu-sweep", permission)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"action": "labeled"}', "\x00"])
def test_what_is_no_event_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "event.json").write_text(content)
    with pytest.raises(RefusedError):
        check(tmp_path / "event.json", "gpu-sweep", "admin")


def test_an_event_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="GITHUB_EVENT_PATH"):
        check(tmp_path / "none.json", "gpu-sweep", "admin")


# --------------------------------------------------------------------------- the comment


def test_the_comment_is_found_again_and_holds_the_table() -> None:
    text = comment(EXAMPLE, SHA)
    assert text.startswith(f"{MARKER}\nGPU sweep of 0123456789ab\n")
    assert (EXAMPLE / "compatibility.md").read_text() in text


def test_a_comment_is_cut_at_a_line_where_the_hosting_service_would_refuse_it(tmp_path: Path) -> None:
    (tmp_path / "compatibility.md").write_text("| é | works |\n" * 10_000)
    text = comment(tmp_path, SHA)
    assert LONGEST - 20 < len(text) <= LONGEST
    assert text.splitlines()[-3:] == ["| é | works |", "", "(Cut here: the whole table is in the run's artifact.)"]


def test_a_sweep_without_a_table_says_so(tmp_path: Path) -> None:
    assert "left no table" in comment(tmp_path, SHA)


# --------------------------------------------------------------------------- the workflow

JOBS: dict[str, Any] = yaml.safe_load(WORKFLOW.read_text())["jobs"]


def test_the_workflow_is_one_by_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", WORKFLOW]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_starts_by_a_label_alone_and_with_the_base_branchs_workflow() -> None:
    whole = yaml.safe_load(WORKFLOW.read_text())
    assert whole[True] == {"pull_request_target": {"types": ["labeled"]}}  # YAML reads the key `on` as true
    assert whole["permissions"] == {}
    assert JOBS["gate"]["if"] == f"github.event.label.name == '{whole['env']['LABEL']}'"
    assert JOBS["sweep"]["needs"] == "gate"


def test_the_job_with_the_pull_requests_code_can_write_nothing_and_knows_no_secret() -> None:
    sweep = JOBS["sweep"]
    assert sweep["permissions"] == {"contents": "read"}
    assert "secrets" not in json.dumps(JOBS)
    assert "github.token" not in json.dumps(sweep)
    (checkout,) = (step for step in sweep["steps"] if step.get("uses", "").startswith("actions/checkout"))
    assert checkout["with"]["persist-credentials"] is False
    assert checkout["with"]["ref"] == "${{ needs.gate.outputs.sha }}"
    assert not any("checkout" in step.get("uses", "") for name in ("gate", "comment") for step in JOBS[name]["steps"])


def test_nothing_of_the_event_is_pasted_into_a_shell() -> None:
    scripts = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    assert len(scripts) >= 5
    assert not any("${{" in script for script in scripts)


def test_the_commands_that_it_calls_are_there() -> None:
    scripts = "\n".join(step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step)
    for command, options in (
        ("submit", ("--wait", "--only", "--gpu-hours")),
        ("pull-request check", ("--label", "--permission")),
        ("pull-request comment", ("--sha",)),
    ):
        said = CliRunner().invoke(cli, [*command.split(), "--help"]).output
        assert re.search(rf'sweep"(?: --settings sweep.toml)? {command}\b', scripts)
        for option in options:
            assert option in said
            assert option in scripts
    assert MARKER in scripts


def test_the_label_is_taken_off_however_it_ended() -> None:
    (step,) = (step for step in JOBS["comment"]["steps"] if "DELETE" in step.get("run", ""))
    assert step["if"] == "always()"
    assert JOBS["comment"]["if"].startswith("always()")
