"""What other libraries have to say of a machine that is not as they wish: one line at most, none with --quiet."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from gradlab.commands.main import main
from gradlab.engine import compiled
from gradlab.launch import machine
from tests.launch import stored
from tests.recipes import TINY

RUN = ["run", *TINY, "device=cpu", "probe=[backward]", "steps=4"]
LINE = r"the compilation cache \S+ cannot be used: .+; programs are compiled anew"
SETTINGS = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
SETTINGS += ("jax_persistent_cache_min_entry_size_bytes",)


def forget() -> None:
    """The programs of this process, and the cache that JAX has opened."""
    compiled.release()
    jax.clear_caches()
    compilation_cache.reset_cache()


@pytest.fixture(autouse=True)
def cold(tmp_path, monkeypatch):
    """A process that has compiled nothing, in a folder of its own; compiled fast, to run slower."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    monkeypatch.chdir(tmp_path)
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", None)
    forget()
    yield tmp_path
    for name, value in (before | {"jax_disable_most_optimizations": False}).items():
        jax.config.update(name, value)
    forget()


@pytest.fixture
def mounted(tmp_path):
    """What mounts a file system in memory; it needs root."""
    places = []

    def mount(options: str) -> Path:
        place = tmp_path / f"mount{len(places)}"
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", options, "none", place]
        if os.geteuid() or subprocess.run(words, capture_output=True).returncode:
            pytest.skip("a file system can be mounted by root only")
        places.append(place)
        return place

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


def entries(cache: Path) -> list[Path]:
    return list(cache.rglob("*-cache"))


def below_a_file(place: Path, mount) -> Path:
    (place / "file").touch()
    return place / "file" / "cache"


def a_file(place: Path, mount) -> Path:
    (place / "cache" / "gradlab").mkdir(parents=True)
    (place / "cache" / "gradlab" / "jax").touch()
    return place / "cache"


def full(place: Path, mount) -> Path:
    place = mount("size=64k")
    (place / "other").write_bytes(bytes(2**16))
    return place


def read_only(place: Path, mount) -> Path:
    return mount("ro")


def damaged(place: Path, change) -> Path:
    """A cache in which every program has been changed."""
    cache = place / "cache"
    assert compiled_with(cache) == ([], "")
    assert len(entries(cache)) >= PROGRAMS
    for path in entries(cache):
        path.write_bytes(change(path.read_bytes()))
    return cache


def cut(place: Path, mount) -> Path:
    return damaged(place, lambda content: content[: len(content) // 2])


def zeroed(place: Path, mount) -> Path:
    return damaged(place, lambda content: bytes(len(content)))


def empty(place: Path, mount) -> Path:
    return damaged(place, lambda _: b"")


def flipped(place: Path, mount) -> Path:
    return damaged(place, lambda content: content[:99] + bytes([content[99] ^ 1]) + content[100:])


UNUSABLE = [below_a_file, a_file, full, read_only, cut, zeroed, empty, flipped]
PROGRAMS = 3


def compiled_with(cache: Path) -> tuple[list[str], str]:
    """Compile a few programs in a process that has this cache: what JAX says of it, and what gradlab does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        jax.config.update("jax_compilation_cache_dir", None)
        return compiled_anew()


def compiled_anew() -> tuple[list[str], str]:
    forget()
    machine.prepare()
    with machine.compilation_cache() as faults:
        for factor in range(PROGRAMS):
            jax.jit(lambda x, factor=factor: factor * x.sum())(np.ones(3))
    return faults, machine.notice(faults)


@pytest.mark.parametrize("made", UNUSABLE)
def test_a_cache_that_cannot_be_used_is_one_line_and_what_is_damaged_in_it_is_deleted(
    cold, mounted, capfd, made
):
    cache = made(cold, mounted)
    faults, notice = compiled_with(cache)
    assert faults
    assert re.fullmatch(LINE, notice)
    assert capfd.readouterr() == ("", "")
    assert not any(path.stat().st_size == 0 for path in entries(cache))  # JAX would not write an entry again
    if made in (cut, zeroed, empty, flipped):
        compiled_with(cache)
        assert compiled_with(cache) == ([], "")


def test_control_otherwise_jax_warns_of_each_program_and_of_each_again(cold, monkeypatch):
    cache = cut(cold, None)
    monkeypatch.setattr(machine, "CACHE_FAULT", "nothing like it (.)(.)")
    for _ in range(2):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            assert compiled_with(cache) == ([], "")
        told = [one for one in seen if "persistent compilation cache" in str(one.message)]
        assert len(told) >= PROGRAMS


def test_a_cache_that_is_missing_is_made(cold, capfd):
    assert compiled_with(cold / "new" / "cache") == ([], "")
    assert capfd.readouterr() == ("", "")
    assert entries(cold / "new")


def test_a_cache_of_the_user_s_own_is_told_of_and_not_touched(cold):
    compiled_with(cold / "cache")  # each program, however fast it was compiled, is kept
    jax.config.update("jax_compilation_cache_dir", str(cold / "mine"))
    assert compiled_anew() == ([], "")
    for path in entries(cold / "mine"):
        path.write_bytes(b"")
    _, notice = compiled_anew()
    assert f"the compilation cache {cold / 'mine'} cannot be used" in notice
    assert len(entries(cold / "mine")) >= PROGRAMS


@pytest.mark.slow
@pytest.mark.parametrize("made", UNUSABLE)
def test_a_run_says_so_once_and_is_the_same(cold, mounted, capfd, monkeypatch, made):
    cache = made(cold, mounted)
    forget()
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    jax.config.update("jax_compilation_cache_dir", None)
    capfd.readouterr()
    assert main([*RUN, "outputs=quiet", "--quiet"]) == 0
    assert capfd.readouterr() == ("", "")
    forget()
    assert main(["run", "-m", *RUN[1:], "outputs=told", "lr=0.1,0.2"]) == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert said.out.count("compilation cache") == (
        1 if made in (below_a_file, a_file, full, read_only) else 0
    )
    for status in Path("quiet").rglob("status.json"):
        told = Path("told") / status.parent.relative_to("quiet")
        assert stored.result(told) == stored.result(status.parent)


@pytest.mark.slow
def test_a_user_without_a_home(cold, monkeypatch, capfd):
    """As in a container whose user has no name."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", unknown)
    assert main(RUN) == 0
    said = capfd.readouterr()
    assert said.err == ""
    assert said.out.count("there is no home folder for the compilation cache") == 1


def poor(place: Path, mount) -> dict[str, str]:
    """The environment of a user who may write nowhere but into the outputs."""
    nowhere = str(below_a_file(place, mount))
    names = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    unset = {"MPLCONFIGDIR", "JAX_COMPILATION_CACHE_DIR"}
    return {key: value for key, value in os.environ.items() if key not in unset} | dict.fromkeys(
        names, nowhere
    )


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--quiet"], []], ids=["quiet", "told"])
def test_a_process_that_can_write_nowhere_but_into_the_outputs(cold, mounted, words):
    done = subprocess.run(
        [sys.executable, "-m", "gradlab", *RUN, *words, f"outputs={cold / 'outputs'}"],
        cwd=mounted("ro"),
        env=poor(cold, mounted) | {"PYTHONPATH": str(Path(machine.__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall(LINE, done.stdout)) == (0 if words else 1)
    assert not words or done.stdout == ""
    assert {path.name for path in cold.rglob("figures/*")} == {"profile.png", "heatmap.png", "training.png"}
    assert not list(cold.rglob("*.tmp"))
