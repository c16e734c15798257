"""A run that grows while it is watched."""

import pytest

from tests.growing import GrowingRun


@pytest.fixture
def grown(tmp_path):
    """A run below a study; its lock is given back at the end."""
    run = GrowingRun(tmp_path / "study" / "run")
    yield run
    run.lock.close()
