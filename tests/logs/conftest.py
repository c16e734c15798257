"""Every test of logs works in an empty folder: `gradlab ingest` stores below outputs/ of the current one."""

import pytest


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path
