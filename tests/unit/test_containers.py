"""Container images as environments: their submit files, the slots that take them, and their digests.

There is no container engine here: that condor_submit makes such an ad of the file is tested on the sandbox's pool.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from classad2 import ClassAd, ExprTree
from planning import settings_of
from slot_ads import A100, device, job, slot

from sweep import images, prune, render
from sweep.errors import ChannelError
from sweep.framework import load_frameworks
from sweep.match import Ask, Feasibility, Matcher
from sweep.model import EnvironmentKey, Source, VersionTuple
from sweep.pool import inventory
from sweep.schema import EnvironmentState
from sweep.settings import Settings

GPU = "GPU-0a72f964"
DIGEST = "5" * 64
DOCKER = f"docker://a.example:5000/torch/torch@sha256:{DIGEST}"
TUPLE = VersionTuple(framework="pytorch", version="2.5", cuda="12.4", capability="8.0")


def container_settings(directory: Path, image: str = DOCKER) -> Settings:
    images = f'[{{ version = "2.5.1", cuda = "12.4", image = "{image}", python = "/opt/bin/python3" }}]'
    return settings_of(directory, f'source = "container"\nimages = {images}\n')


def submit_file(directory: Path, image: str, tuple_: VersionTuple = TUPLE) -> dict[str, str]:
    text = render.dry_submit_file(tuple_, container_settings(directory, image), directory)
    return dict(re.findall(r"^(\w+) *= *(.*)$", text, flags=re.MULTILINE))


# --------------------------------------------------------------------------- the job


@pytest.mark.parametrize("image", [DOCKER, "/images/pytorch-2.sif"])
def test_a_job_runs_in_its_image(tmp_path: Path, image: str) -> None:
    found = submit_file(tmp_path, image)
    assert (found["universe"], found["container_image"]) == ("container", image)
    assert found["executable"] == f"{tmp_path}/job-container.sh"
    assert found["arguments"] == '"pytorch-2.5-cuda12.4-sm80 pytorch 12.4 8.0 /opt/bin/python3"'
    assert "docker_image" not in found


def test_a_tuple_without_an_image_asks_for_no_engine(tmp_path: Path) -> None:
    found = submit_file(tmp_path, DOCKER, TUPLE.model_copy(update={"cuda": "12.8"}))
    assert found["universe"] == "vanilla"


def test_nothing_is_transferred_but_the_probe(tmp_path: Path) -> None:
    inputs = render.transfer_inputs(TUPLE, container_settings(tmp_path), tmp_path, {Source.CONDA: ["micromamba"]})
    assert [Path(path).name for path in inputs] == ["driver.pyz", "pytorch.py"]


def test_each_source_has_a_script_of_its_own(tmp_path: Path) -> None:
    settings = container_settings(tmp_path)
    render.write_common(settings, load_frameworks(settings), tmp_path / "here")
    script = (tmp_path / "here/job-container.sh").read_text()
    assert not (tmp_path / "here/job.sh").exists()
    assert "run_installer" not in script
    assert not re.search(r"{{|}}|{%|%}", script)


# --------------------------------------------------------------------------- the pool


def asked(directory: Path, image: str, **offered: object) -> Feasibility:
    """What is said of the tuple on a pool of one machine that offers this beside its GPU."""
    settings = container_settings(directory, image)
    ad = job(directory, settings, "8.0", "12.4")
    # What condor_submit 25.14 writes for a container instead of the operating system.
    clause = "TARGET.HasContainer && TARGET." + ("HasSIF" if image.endswith(".sif") else "HasDockerURL")
    text = str(ad.lookup("Requirements"))
    assert '(TARGET.OpSys == "LINUX")' in text
    ad["Requirements"] = ExprTree(text.replace('(TARGET.OpSys == "LINUX")', clause))
    ads: list[ClassAd] = [slot("a", {GPU: device(A100)}, **offered)]
    return Matcher(ads, inventory(ads, "pool.example").classes).feasibility(ad, Ask("8.0", "12.0"))


@pytest.mark.parametrize(
    ("image", "offered", "possible"),
    [
        (DOCKER, {"HasContainer": True, "HasDockerURL": True}, 1),
        (DOCKER, {"HasContainer": True, "HasSIF": True}, 0),
        (DOCKER, {"HasContainer": True, "HasDockerURL": False}, 0),
        ("/images/a.sif", {"HasContainer": True, "HasSIF": True}, 1),
        ("/images/a.sif", {"HasContainer": True, "HasDockerURL": True}, 0),
        (DOCKER, {}, 0),
    ],
)
def test_slots_match_by_what_they_can_run(
    tmp_path: Path, image: str, offered: dict[str, object], possible: int
) -> None:
    answer = asked(tmp_path, image, **offered)
    assert answer.possible == possible
    assert answer.rule == (None if possible else "no-container-support")


def test_the_clause_that_a_pool_without_engines_lacks_is_named(tmp_path: Path) -> None:
    assert asked(tmp_path, DOCKER).clause == (
        "(TARGET.HasContainer) && (TARGET.HasDockerURL): no slot with GPUs of capability 8.0 runs such container "
        "images (1 slot(s) would take the job without this clause)"
    )


def test_tuples_of_other_sources_are_asked_for_apart(tmp_path: Path) -> None:
    settings = container_settings(tmp_path)
    without = TUPLE.model_copy(update={"cuda": "12.8"})
    assert [render.universe(t, settings) for t in (TUPLE, without)] == ["docker", "vanilla"]
    sif = container_settings(tmp_path, "/images/a.sif")
    assert render.universe(TUPLE, sif) == "sif"


# --------------------------------------------------------------------------- the environment


def test_the_digest_is_the_lock(tmp_path: Path) -> None:
    found = images.resolve(
        {"x": EnvironmentKey(framework="pytorch", version="2.5", cuda="12.4")}, container_settings(tmp_path), tmp_path
    )["x"]
    assert (found.state, found.source, found.image) == (EnvironmentState.RESOLVED, "container", DOCKER)
    assert (found.lock_sha256, found.size, found.packages) == (DIGEST, 0, 0)


def test_a_file_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a.sif").write_bytes(b"an image")
    assert images.digest(str(tmp_path / "a.sif")) == hashlib.sha256(b"an image").hexdigest()
    with pytest.raises(ChannelError, match=r"b\.sif cannot be read here: No such file.*name a file that it has"):
        images.digest(str(tmp_path / "b.sif"))


def test_a_version_without_an_image_is_settled(tmp_path: Path) -> None:
    key = EnvironmentKey(framework="pytorch", version="2.5", cuda="12.8")
    environments = images.resolve({key.id: key}, container_settings(tmp_path), tmp_path)
    tuple_ = TUPLE.model_copy(update={"cuda": "12.8"})
    (planned,) = prune.without_environment([tuple_], environments).values()
    assert planned.reason == "frameworks.pytorch.images has none with 2.5 for CUDA 12.8"
    assert (tmp_path / planned.evidence).read_text().startswith("frameworks.pytorch.images")
