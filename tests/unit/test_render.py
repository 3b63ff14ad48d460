"""plan.json and templates -> submit files and DAGs: every value where it belongs, and none that breaks out."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from classad2 import ParserType, parseOne
from hypothesis import given
from hypothesis import strategies as st
from planning import settings_of

from sweep import render, sweeps
from sweep.errors import ResultsError, SettingsError
from sweep.framework import load_frameworks
from sweep.match import Feasibility
from sweep.model import Cause, GpuClass, Pool, Source, VersionTuple
from sweep.prune import settled, submitted
from sweep.schema import Plan
from sweep.settings import Settings

A = VersionTuple(framework="pytorch", version="2.5", cuda="12.4", capability="8.0")
B = VersionTuple(framework="pytorch", version="2.10", cuda="11.8", capability="12.0")
C = VersionTuple(framework="pytorch", version="2.10", cuda="11.8", capability="9.0")
HERE = Path("/srv/results/2026-11-20T060000")
MICROMAMBA = {Source.CONDA: ["micromamba"]}


# A job that has neither failed on a machine nor lacked its files there.
UNTRIED = "NumJobCompletions =?= 0 && (NumHoldsByReason.TransferInputError ?: 0) == 0"


def plan_of(*tuples: VersionTuple, here: Path = HERE) -> Plan:
    """A plan that submits these tuples, and has settled C."""
    now = datetime(2026, 11, 20, 6, tzinfo=UTC)
    return Plan(
        sweep=here.name,
        created=now,
        deadline=datetime(2026, 11, 23, 6, tzinfo=UTC),
        queue_limit=1,
        run_limit=1,
        driver_policy="minor",
        simulated=True,
        pool=Pool(taken=now, collector="", slots=0, classes=()),
        channels=(),
        environments=(),
        tuples=(
            *(submitted(t, Feasibility(3, 1), None, None) for t in tuples),
            settled(C, Cause.NO_BUILD, "no-build", "none"),
        ),
    )


def commands(text: str) -> dict[str, str]:
    """The commands of a submit file, by name in lower case; continued lines joined as HTCondor joins them."""
    joined = re.sub(r"\\\n\s*", "", text)
    found: dict[str, str] = {}
    for line in joined.splitlines():
        if line and not line.startswith("#") and line != "queue":
            name, equals, value = line.partition("=")
            assert equals, f"not a command: {line!r}"
            assert name.strip().lower() not in found, f"twice: {line!r}"
            found[name.strip().lower()] = value.strip()
    assert joined.rstrip().endswith("\nqueue")
    assert re.findall(r"^queue.*$", joined, flags=re.MULTILINE) == ["queue"]
    return found


def submit_file(settings: Settings, tuple_: VersionTuple = A, here: Path = HERE) -> dict[str, str]:
    return commands(render.dry_submit_file(tuple_, settings, here))


# --------------------------------------------------------------------------- the submit file


def test_the_defaults(tmp_path: Path) -> None:
    found = submit_file(settings_of(tmp_path))
    expected = {
        "universe": "vanilla",
        "executable": f"{HERE}/job.sh",
        "arguments": '"pytorch-2.5-cuda12.4-sm80 pytorch 12.4 8.0"',
        "request_gpus": "1",
        "require_gpus": "Capability == 8.0",
        "gpus_minimum_runtime": "12.0",
        "request_cpus": "1",
        "request_memory": "8192MB",
        "request_disk": "40960MB",
        "max_retries": "2",
        "retry_until": "ExitBySignal =!= true && ExitCode == 0",
        "requirements": f'TARGET.Arch == "X86_64" && ({UNTRIED} || '
        "(TARGET.Machine =!= MachineAttrMachine1 && TARGET.Machine =!= MachineAttrMachine2))",
        "job_machine_attrs_history_length": "3",
        "transfer_output_files": "result.json",
        "my.sweeptuple": '"pytorch-2.5-cuda12.4-sm80"',
        "my.sweepqueuelimit": "86400",
        "my.sweeprunlimit": "7200",
        "my.sweepheldlimit": "600",
    }
    assert {name: found[name] for name in expected} == expected
    assert "gpus_minimum_memory" not in found


def test_every_setting_that_a_job_sees(tmp_path: Path) -> None:
    text = """
[cuda]
driver_policy = "strict"
[gpus]
mig = false
minimum_memory = "16GB"
[limits]
queue = "1h"
run = "3h"
held = "7m"
retries = 1
[resources]
cpus = 4
memory = "2GB"
disk = "1GB"
requirements = 'Site == "here" || HasStorage'
"""
    found = submit_file(settings_of(tmp_path, text), B)
    expected = {
        "arguments": '"pytorch-2.10-cuda11.8-sm120 pytorch 11.8 12.0"',
        "require_gpus": 'Capability == 12.0 && regexp("MIG", DeviceName) =!= true',
        "gpus_minimum_runtime": "11.8",
        "gpus_minimum_memory": "16384MB",
        "request_cpus": "4",
        "request_memory": "2048MB",
        "request_disk": "1024MB",
        "max_retries": "1",
        "job_machine_attrs": "Machine",
        "job_machine_attrs_history_length": "2",
        "requirements": 'TARGET.Arch == "X86_64" && (Site == "here" || HasStorage) && '
        f"({UNTRIED} || (TARGET.Machine =!= MachineAttrMachine1))",
        "my.sweepqueuelimit": "3600",
        "my.sweeprunlimit": "10800",
        "my.sweepheldlimit": "420",
    }
    assert {name: found[name] for name in expected} == expected


def test_a_job_whose_files_did_not_arrive_is_released_while_it_may_be_repeated(tmp_path: Path) -> None:
    found = submit_file(settings_of(tmp_path, '[limits]\nretries = 1\nheld = "100s"'))
    ad = parseOne(f"Release = {found['periodic_release']}\nSweepHeldLimit = 100", ParserType.Old)
    now = int(datetime.now(UTC).timestamp())
    for code, holds, completions, held_for, expected in (
        (13, 1, 0, 0, True),  # input: at once, on another machine
        (13, 2, 0, 0, False),  # no machine is left
        (13, 1, 1, 0, False),  # it has failed on one machine, and got no files on the other
        (12, 1, 0, 10, False),  # output: the access point gets some time
        (12, 1, 0, 60, True),
        (12, 2, 0, 60, False),
        (1, 1, 0, 60, False),  # a person's hold is a person's
    ):
        ad["HoldReasonCode"], ad["NumHolds"], ad["NumJobCompletions"] = code, holds, completions
        ad["EnteredCurrentStatus"] = now - held_for
        assert ad.eval("Release") is expected, (code, holds, completions, held_for)


def test_without_retries_no_machine_is_avoided(tmp_path: Path) -> None:
    found = submit_file(settings_of(tmp_path, "[limits]\nretries = 0"))
    assert found["max_retries"] == "0"
    assert not {"job_machine_attrs", "job_machine_attrs_history_length"} & set(found)
    assert found["requirements"] == 'TARGET.Arch == "X86_64"'


def test_an_arm_pool_is_asked_for_by_its_architecture(tmp_path: Path) -> None:
    found = submit_file(settings_of(tmp_path, '[node]\nplatform = "linux-aarch64"'))
    assert found["requirements"].startswith('TARGET.Arch == "aarch64" && ')


def test_nothing_outlives_the_deadline_and_every_limit_has_its_token(tmp_path: Path) -> None:
    found = submit_file(settings_of(tmp_path))
    assert found["periodic_remove"].startswith("(time() > $(deadline:9999999999)) || ")
    for state, limit in ((1, "SweepQueueLimit"), (2, "SweepRunLimit"), (5, "SweepHeldLimit")):
        assert f"(JobStatus == {state} && time() - EnteredCurrentStatus > {limit})" in found["periodic_remove"]
    reason = parseOne(
        "Reason = " + found["my.periodicremovereason"].replace("$(deadline:9999999999)", "9999999999"), ParserType.Old
    )
    for status, started, token in (
        (1, None, "sweep:never-matched"),
        (1, 1700000000, "sweep:idle-again"),
        (2, 1700000000, "sweep:run-limit"),
        (5, None, "sweep:held:13:2"),
    ):
        reason["JobStatus"], reason["HoldReasonCode"], reason["HoldReasonSubCode"] = status, 13, 2
        if started:
            reason["JobStartDate"] = started
        elif "JobStartDate" in reason:
            del reason["JobStartDate"]
        assert reason.eval("Reason") == token


def test_the_periodic_expression_is_a_boolean_in_every_state(tmp_path: Path) -> None:
    found = submit_file(settings_of(tmp_path))
    text = found["periodic_remove"].replace("$(deadline:9999999999)", "9999999999")
    ad = parseOne(f"Remove = {text}\nSweepQueueLimit = 100\nSweepRunLimit = 10\nSweepHeldLimit = 1", ParserType.Old)
    ad["EnteredCurrentStatus"] = 0
    for status, expected in ((1, True), (2, True), (3, False), (4, False), (5, True), (6, False)):
        ad["JobStatus"] = status
        assert ad.eval("Remove") is expected
    ad["EnteredCurrentStatus"] = int(datetime.now(UTC).timestamp()) + 1000
    for status in (1, 2, 5):
        ad["JobStatus"] = status
        assert ad.eval("Remove") is False


# --------------------------------------------------------------------------- commands of the site


def test_site_commands_stand_as_they_are_and_attributes_are_classad_literals(tmp_path: Path) -> None:
    text = """[submit]
"+WantGPULab" = true
"+GPUJobLength" = "short"
"My.ProjectName" = 'the "big" one'
accounting_group = "physics.gpu"
rank = -3
nice_user = false
"""
    found = submit_file(settings_of(tmp_path, text))
    expected = {
        "+wantgpulab": "true",
        "+gpujoblength": '"short"',
        "my.projectname": '"the \\"big\\" one"',
        "accounting_group": "physics.gpu",
        "rank": "-3",
        "nice_user": "false",
    }
    assert {name: found[name] for name in expected} == expected


PRINTABLE = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF).filter(str.isprintable) | st.sampled_from("\"\\'$ "),
    max_size=20,
).filter(lambda text: not text.endswith("\\"))


@given(PRINTABLE)
def test_any_text_of_an_attribute_reaches_the_job_unchanged(value: str) -> None:
    """Submit files are read with the old ClassAd syntax, which classad2 has too."""
    settings = Settings.model_validate({"frameworks": {"pytorch": {}}, "submit": {"+Text": value}})
    found = submit_file(settings)
    assert parseOne(f"Text = {found['+text']}\n", ParserType.Old)["Text"] == value


def test_a_value_cannot_add_a_line(tmp_path: Path) -> None:
    for value in ("x\\nqueue 1000", "x\\r+Owner = 1", "x\\u2028y", "x\\u0085y", "\\u001b[2J"):
        with pytest.raises(SettingsError):
            settings_of(tmp_path, f'[submit]\n"+Text" = "{value}"')


# --------------------------------------------------------------------------- paths


@pytest.mark.parametrize(
    "path",
    [
        "/srv/my results/x",
        "/srv/a,b",
        '/srv/a"b',
        "/srv/a'b",
        "/srv/a\nb",
        "/srv/a\n",
        "/srv/a\tb",
        "/srv/$(x)",
        "/srv/$HOME",
        "/srv/a;b",
        "/srv/a#b",
        "/srv/a\\b",
        "/srv/{a}",
        "/srv/é",
        "relative/path",
    ],
)
def test_a_path_that_a_dag_cannot_carry(tmp_path: Path, path: str) -> None:
    settings = settings_of(tmp_path)
    for use in (
        lambda: render.safe_path(Path(path)),
        lambda: render.dry_submit_file(A, settings, Path(path)),
        lambda: render.parent_dag(Path(path) / "2026-11-20T060000", Path("/usr/bin/python3"), 86400),
        lambda: render.parent_dag(HERE, Path(path), 86400),
        lambda: render.tuples_dag(plan_of(A), Path(path), settings),
    ):
        with pytest.raises(ResultsError) as caught:
            use()
        assert repr(path)[1:-1] in str(caught.value)
        assert "choose another directory: sweep.results" in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("path", ["/srv/results", "/home/a.b-c_d/x=1/@y%z:~^+-", "/x"])
def test_a_path_that_it_can(path: str) -> None:
    assert render.safe_path(Path(path)) == path


# --------------------------------------------------------------------------- the sweep's files


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A sweep's directory with everything that rendering writes."""
    settings = settings_of(tmp_path)
    here = tmp_path / "2026-11-20T060000"
    render.write_common(settings, load_frameworks(settings), here)
    render.write_tuples(plan_of(A, B, here=here), settings, here, MICROMAMBA)
    return here


@pytest.mark.parametrize(("machines", "retries"), [(1, "0"), (2, "1"), (5, "2")])
def test_a_job_is_repeated_only_where_there_are_other_machines(tmp_path: Path, machines: int, retries: str) -> None:
    settings = settings_of(tmp_path)
    here = tmp_path / "2026-11-20T060000"
    names = tuple(f"node{n}" for n in range(machines))
    able = GpuClass(
        capability="8.0",
        device="NVIDIA A100",
        memory_mb=81153,
        runtime="12.4",
        driver="550.54.15",
        mig=False,
        devices=9,
        machines=names,
    )
    other = able.model_copy(update={"capability": "9.0", "machines": ("other",)})
    plan = plan_of(A, here=here)
    plan = plan.model_copy(update={"pool": plan.pool.model_copy(update={"classes": (able, other)})})
    render.write_tuples(plan, settings, here, MICROMAMBA)
    found = commands((here / "tuples" / A.id / "job.sub").read_text())
    assert found["max_retries"] == retries
    assert ("MachineAttrMachine1" in found["requirements"]) is (machines > 1)


def test_a_submit_file_for_each_submitted_tuple_and_no_other(written: Path) -> None:
    assert {p.parent.name for p in written.glob("tuples/*/job.sub")} == {A.id, B.id}
    assert [p.name for p in written.rglob(".*")] == []


def test_a_submit_file_takes_along_what_the_job_needs(written: Path) -> None:
    found = commands((written / "tuples" / B.id / "job.sub").read_text())
    assert found["initialdir"] == f"{written}/tuples/{B.id}"
    assert found["transfer_input_files"].split(", ") == [
        f"{written}/probe/driver.pyz",
        f"{written}/probe/pytorch.py",
        f"{written}/probe/micromamba",
        f"{written}/environments/pytorch-2.10-cuda11.8/explicit.txt",
    ]
    for path in (found["executable"], *found["transfer_input_files"].split(", ")[:2]):
        assert Path(path).is_file()


def test_a_payload_travels_and_what_it_leaves_comes_back(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[payload]\ncommand = ["true"]\n')
    here = tmp_path / "2026-11-20T060000"
    render.write_common(settings, load_frameworks(settings), here)
    render.write_tuples(plan_of(A, here=here), settings, here, MICROMAMBA)
    found = commands((here / "tuples" / A.id / "job.sub").read_text())
    assert found["transfer_output_files"] == "result.json, payload.json, payload.out, payload.xml"
    assert (
        found["transfer_output_remaps"]
        == '"'
        + "; ".join(
            f"{name} = $(run:by_hand_){name}"
            for name in ("result.json", "payload.json", "payload.out", "payload.xml")
        )
        + '"'
    )
    inputs = [Path(path) for path in found["transfer_input_files"].split(", ")]
    assert [path.name for path in inputs[-3:]] == ["run_payload.py", "payload.sh", "payload.tar"]
    assert all(path.is_file() for path in inputs[-3:])
    subprocess.run(["sh", "-n", here / "job.sh"], check=True)


def test_a_job_of_wheels_takes_the_lock_and_the_nodes_python(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 'source = "pip"\npython = "3.11"\n[pip]\npython = "/usr/bin/python{python}"\n')
    here = tmp_path / "2026-11-20T060000"
    render.write_common(settings, load_frameworks(settings), here)
    render.write_tuples(plan_of(A, here=here), settings, here, {Source.PIP: ["install_wheels.py", "uv"]})
    found = commands((here / "tuples" / A.id / "job.sub").read_text())
    assert found["executable"] == f"{here}/job-pip.sh"
    assert found["arguments"] == '"pytorch-2.5-cuda12.4-sm80 pytorch 12.4 8.0 /usr/bin/python3.11"'
    names = [Path(path).name for path in found["transfer_input_files"].split(", ")]
    assert names[1:] == ["pytorch.py", "install_wheels.py", "uv", "requirements.txt"]
    subprocess.run(["sh", "-n", here / "job-pip.sh"], check=True)
    assert not (here / "job.sh").exists()


def test_the_dag_has_one_node_for_each_submitted_tuple(written: Path) -> None:
    text = (written / "tuples.dag").read_text()
    jobs = dict(re.findall(r"^JOB (\S+) (\S+)$", text, flags=re.MULTILINE))
    assert jobs == {t.id.replace(".", "_"): f"{written}/tuples/{t.id}/job.sub" for t in (A, B)}
    variables = dict(re.findall(r"^VARS (\S+) (.*)$", text, flags=re.MULTILINE))
    deadline = int(datetime(2026, 11, 23, 6, tzinfo=UTC).timestamp())
    assert variables == dict.fromkeys(jobs, f'run="./" events="{written}/events.log" deadline="{deadline}"')
    assert f"SET_JOB_ATTR PeriodicRemove = time() > {deadline}\n" in text


def test_the_variables_of_the_dag_are_those_of_the_submit_file(written: Path) -> None:
    given_ = set(re.findall(r'(\w+)="', (written / "tuples.dag").read_text())) - {"PeriodicRemoveReason"}
    used = set(re.findall(r"\$\((\w+):", (written / "tuples" / A.id / "job.sub").read_text()))
    assert given_ == used == {"run", "events", "deadline"}


def test_the_job_script_is_a_shell_script_with_the_settings_in_it(written: Path) -> None:
    script = written / "job.sh"
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", script], check=True)
    text = script.read_text()
    assert "\ninstaller='micromamba'\n" in text
    assert "\ninstall_limit=3600\nprobe_limit=1800\n" in text
    assert not re.search(r"{{|}}|{%|%}", text)


def test_the_parent_dag_names_its_own_directory_everywhere() -> None:
    text = render.parent_dag(HERE, Path("/opt/python/bin/python3"), 86400)
    assert not re.search(r"{{|}}|{%|%}", text)
    assert f'SET_JOB_ATTR SweepDirectory = "{HERE}"\nSET_JOB_ATTR SweepResults = "{HERE.parent}"\n' in text
    assert f"SUBDAG EXTERNAL tuples {HERE}/tuples.dag\n" in text
    scripts = re.findall(r"^SCRIPT .* (PRE|POST) (\w+) (\S+) .* -m sweep (\w+) (\S+)", text, flags=re.MULTILINE)
    assert scripts == [
        ("PRE", "tuples", "/opt/python/bin/python3", "plan", str(HERE)),
        ("PRE", "close", "/opt/python/bin/python3", "close", str(HERE)),
    ]
    assert re.search(r"^FINAL close \S+ NOOP$", text, flags=re.MULTILINE)


def test_the_parent_dag_of_a_planned_sweep_only_closes(tmp_path: Path) -> None:
    text = render.parent_dag(HERE, Path("/opt/python/bin/python3"), 86400)
    dag = tmp_path / "sweep.dag"
    dag.write_text(text)
    sweeps._leave_planning_out(dag)
    planned = dag.read_text()
    assert re.findall(r"^SCRIPT .* -m sweep (\w+) ", planned, flags=re.MULTILINE) == ["close"]
    assert set(planned.splitlines()) < set(text.splitlines())


def test_a_damaged_parent_dag_is_left_to_htcondors_checker(tmp_path: Path) -> None:
    dag = tmp_path / "sweep.dag"
    dag.write_bytes(b"\xff\xfe\0\n")
    sweeps._leave_planning_out(dag)
    assert dag.read_bytes() == b"\xff\xfe\0\n"


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        render.write_tuples(plan_of(A), settings, tmp_path / "file", MICROMAMBA)
    with pytest.raises(ResultsError, match="cannot write"):
        render.write_common(settings, load_frameworks(settings), tmp_path / "file")


def test_a_plan_is_the_same_after_its_file(tmp_path: Path) -> None:
    plan = plan_of(A, B)
    text = plan.model_dump_json(by_alias=True)
    assert json.loads(text)["schema"] == "sweep.plan/1"
    settings = settings_of(tmp_path)
    assert render.tuples_dag(Plan.model_validate_json(text), HERE, settings) == render.tuples_dag(
        plan, HERE, settings
    )


def test_budgets_of_capabilities_are_looked_at_before_each_of_their_tuples(tmp_path: Path) -> None:
    plan = plan_of(A, B).model_copy(update={"budgets": {"12.0": 3.0}})
    text = render.tuples_dag(plan, HERE, settings_of(tmp_path))
    before = re.findall(r"^SCRIPT PRE (\S+) \S+/gate.sh before (\S+) (\S+)$", text, re.M)
    assert before == [(render.node_name(B.id), B.environment.id, "12.0")]
    assert re.findall(r"^PRE_SKIP (\S+) 99$", text, re.M) == [render.node_name(B.id)]
    assert re.search(r"^SERVICE budget \S+/budget.sub$", text, re.M)
    assert re.findall(r"^SCRIPT POST (\S+) \S+/gate.sh on$", text, re.M) == [render.node_name(B.id)]


@pytest.mark.parametrize(("share", "limited"), [(1.0, False), (0.99, True)])
def test_a_share_of_the_whole_pool_is_no_limit(tmp_path: Path, share: float, limited: bool) -> None:
    text = render.tuples_dag(plan_of(A, B), HERE, settings_of(tmp_path, f"[load]\nshare = {share}\n"))
    assert bool(re.findall(r"^(?:MAXJOBS|CATEGORY) ", text, re.M)) is limited


def test_how_many_jobs_may_wait_is_told_to_dagman(tmp_path: Path) -> None:
    here = tmp_path / "results" / HERE.name
    render.write_tuples(plan_of(A), settings_of(tmp_path, "[load]\nidle = 7\n"), here, MICROMAMBA)
    assert f"\nCONFIG {here}/dagman.config\n" in (here / "tuples.dag").read_text()
    assert (here / "dagman.config").read_text() == "DAGMAN_MAX_JOBS_IDLE = 7\n"


def test_a_submitted_tuple_knows_what_it_may_wait_for() -> None:
    planned = submitted(A, Feasibility(3, 1), None, None)
    assert planned.reason == "3 slot(s) could take it when empty, 1 of them at planning"
