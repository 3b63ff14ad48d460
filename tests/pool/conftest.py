"""A real pool of simulated GPUs for the tests of this directory; they need the user that `make test` enters."""

import os
import sys
from collections.abc import Iterator

import pytest

from sweep.places import cache_dir
from sweep.sandbox.pool import SandboxPool
from sweep.sandbox.prefix import Prefix, ensure_condor


@pytest.fixture(scope="session")
def condor() -> Prefix:
    """The HTCondor that the pools of this session run."""
    if os.geteuid() == 0:
        pytest.exit(
            "HTCondor refuses root: run `make test`, or `python -m sweep.sandbox exec -- python -m pytest ...`",
            returncode=pytest.ExitCode.USAGE_ERROR,
        )
    return ensure_condor(cache_dir(), print)


@pytest.fixture(scope="session")
def pool(condor: Prefix, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxPool]:
    """One running pool for the whole session; commands and bindings of this process use it."""
    before = dict(os.environ)
    with SandboxPool(condor, tmp_path_factory.mktemp("pool")) as running:
        os.environ.update(running.environment)
        if "htcondor2" in sys.modules:  # it read the configuration when it was imported
            sys.modules["htcondor2"].reload_config()
        yield running
    os.environ.clear()
    os.environ.update(before)
