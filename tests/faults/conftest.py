import pytest

from gradlab.launch import training
from tests.launch.conftest import children

__all__ = ["children"]


@pytest.fixture
def eager(monkeypatch):
    """A checkpoint after every chunk."""
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
