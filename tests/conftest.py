"""A test process gives its compiled programs back when it holds many: a process dies near 65 530 memory maps.

`--minutes N` bounds the time of a run on a machine that is slow for reasons of its own: tests that have not begun after
N minutes are skipped, with that reason, and counted. Without it every test runs.
"""

import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# no test depends on the speed of the machine
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

MOST_MAPS, MOST_PAGES = 20_000, 2**30 // 4096  # of a page of 4 KiB: 1 GiB
PROCESS = Path("/proc/self")
BEGAN = time.monotonic()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--minutes", type=float, help="skip the tests that have not begun after so many minutes")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes = item.config.getoption("--minutes")
    if minutes is not None and time.monotonic() - BEGAN > 60 * minutes:
        pytest.skip(f"not begun after {minutes:g} minutes")


def crowded() -> bool:
    """Whether this process holds many memory maps, or much memory; False where the system does not say."""
    if not (PROCESS / "maps").exists():
        return False
    maps = (PROCESS / "maps").read_bytes().count(b"\n")
    return maps > MOST_MAPS or int((PROCESS / "statm").read_text().split()[1]) > MOST_PAGES


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    yield
    if "jax" in sys.modules and crowded():
        import jax

        from gradlab.engine import compiled

        jax.clear_caches()  # the programs of single operations, one for every shape
        compiled.release()
        compiled.free_memory()
