"""Which tests are slow, and how a test process gives memory back."""

import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

MOST_MAPS, MOST_PAGES = 20_000, 2**30 // 4096  # of a page of 4 KiB: 1 GiB
PROCESS = Path("/proc/self")

# no test depends on the speed of the machine
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.hookimpl(tryfirst=True)  # before the tests of `-m` are chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test marked `few(n)`, all cases but n are slow; those that stay are spread evenly over the others."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("few") and not item.get_closest_marker("slow"):
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for every in cases.values():
        few = every[0].get_closest_marker("few").args[0]
        kept = {round(index * (len(every) - 1) / max(few - 1, 1)) for index in range(few)}
        for index, item in enumerate(every):
            if index not in kept:
                item.add_marker("slow")


def crowded() -> bool:
    """Whether this process holds many memory maps, or much memory; False where the system does not say."""
    if not (PROCESS / "maps").exists():
        return False
    maps = (PROCESS / "maps").read_bytes().count(b"\n")
    return maps > MOST_MAPS or int((PROCESS / "statm").read_text().split()[1]) > MOST_PAGES


@pytest.fixture(scope="module", autouse=True)
def _memory_is_given_back():
    """Compiled programs are dropped when there are many: a process dies near 65 530 memory maps."""
    yield
    if "jax" in sys.modules and crowded():
        import jax

        from gradlab.engine import compiled

        jax.clear_caches()  # the programs of single operations, one for every shape
        compiled.release()
        compiled.free_memory()
