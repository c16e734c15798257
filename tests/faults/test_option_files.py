"""Hostile files of options and experiments: refused in one line within seconds, or read as what they say."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from gradlab.commands.compose import vetting
from gradlab.commands.main import main
from gradlab.recipe import small_files
from tests.faults.test_data_files import Hang, confined
from tests.recipes import TINY

NAME = "name: norm\nthreshold: 1.0\n"  # a good option, which most hostile texts add something to


def _socket(path: Path) -> None:
    """A socket, made under a short name: those of sockets are limited."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{folder}/s")
        Path(folder, "s").rename(path)


def _huge(path: Path) -> None:
    path.write_text(NAME, "utf-8")
    os.truncate(path, 1 << 40)


THINGS = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": _socket,
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
    "the terminal": lambda path: path.symlink_to("/dev/tty"),
    "an empty device": lambda path: path.symlink_to("/dev/null"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "a folder by a link": lambda path: path.symlink_to("/"),
    "a broken link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a huge file": _huge,
}
ALIASES = "a0: &a0 [1, 1]\n" + "".join(
    f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9)
)
TEXTS = {
    "no mapping": b"- name\n",
    "a word": b"name\n",
    "no UTF-8": NAME.encode() + b"\xff\xfe: 1\n",
    "UTF-16": NAME.encode("utf-16"),
    "a zero byte": NAME.encode() + b"a: \0\n",
    "an escape": NAME.encode() + b"\x1b[2J: 1\n",
    "zeros": bytes(1 << 20),
    "many aliases": NAME + ALIASES,
    "an alias of itself": NAME + "a: &a [*a]\n",
    "a mapping of itself": NAME + "a: &a {b: *a}\n",
    "a merge of itself": NAME + "a: &a\n  <<: *a\n",
    "many merges": NAME + "a: &a {b: 1}\n" + "c:\n  <<: [" + "*a, " * 100_000 + "*a]\n",
    "an unknown alias": NAME + "a: *b\n",
    "lists in lists": NAME + "a: " + "[" * 100_000 + "\n",
    "closed lists in lists": NAME + "a: " + "[" * 1_000 + "]" * 1_000 + "\n",
    "mappings in mappings": NAME + "a: " + "{a: " * 100_000 + "\n",
    "dashes": NAME + "a:\n  " + "- " * 100_000 + "\n",
    "question marks": NAME + "? " * 100_000 + "\n",
    "indents": NAME + "".join(f"{' ' * i}a{i}:\n" for i in range(1_000)),
    "one word": NAME + "a" * 1_000_000 + ": 1\n",
    "one value": NAME + "a: " + "b" * 1_000_000 + "\n",
    "spaces": NAME + " " * 1_000_000 + "a: 1\n",
    "open quotes": NAME + "a: '" + "b" * 500_000,
    "escapes": NAME + 'a: "' + "\\x41" * 200_000 + '"\n',
    "many keys": NAME + "".join(f"k{i}:\n" for i in range(100_000)),
    "many entries": NAME + "a: [" + "1, " * 300_000 + "]\n",
    "many documents": NAME + "---\n" * 200_000,
    "two documents": NAME + "---\nname: value\n",
    "many anchors": NAME + "a:\n" + "".join(f"  - &b{i} 1\n" for i in range(50_000)),
    "a key twice": NAME + "threshold: 2.0\n",
    "a list as a key": NAME + "? [a, b]\n: 1\n",
    "a mapping as a key": NAME + "? {a: b}\n: 1\n",
    "a number as a key": NAME + "1: 2\n",
    "null as a key": NAME + "null: 2\n",
    "true as a key": NAME + "yes: 2\n",
    "keys of two types": NAME + "p: {1: 2, a: 3}\n",
    "5000 digits": NAME + "threshold: " + "9" * 5_000 + "\n",
    "hexadecimal digits": NAME + "threshold: 0x" + "f" * 5_000 + "\n",
    "binary digits": NAME + "threshold: 0b" + "1" * 20_000 + "\n",
    "octal digits": NAME + "threshold: 0" + "7" * 20_000 + "\n",
    "base sixty": NAME + "threshold: 1" + ":59" * 5_000 + "\n",
    "fractions": NAME + "threshold: 0." + "9" * 500_000 + "\n",
    "not a number": NAME + "threshold: .nan\n",
    "infinity": NAME + "threshold: .inf\n",
    "a date that is none": NAME + "threshold: !!timestamp 2001-99-99\n",
    "an integer that is none": NAME + "threshold: !!int abc\n",
    "a float that is none": NAME + "threshold: !!float abc\n",
    "a flag that is none": NAME + "threshold: !!bool maybe\n",
    "bytes": NAME + "threshold: !!binary aGVsbG8=\n",
    "bytes that are none": NAME + "threshold: !!binary a\n",
    "a set": NAME + "threshold: !!set {a, b}\n",
    "pairs": NAME + "threshold: !!pairs [a: 1]\n",
    "an unknown tag": NAME + "threshold: !x 1\n",
    "an object": NAME + "threshold: !!python/object/apply:os.getcwd []\n",
    "a name": NAME + "threshold: !!python/name:os.system\n",
    "a list of no entries": NAME + "threshold: []\n",
    "a tab": NAME + "\tthreshold: 1\n",
    "a directive": "%YAML 9.9\n---\n" + NAME,
    "an unknown key": NAME + "x: 1\n",
    "a long key": NAME + "x" * 500 + ": 1\n",
    "a key missing": "name: norm\nthreshold: ???\n",
}
NAMES = {
    "a name that is none": "name:\n",
    "a name that is a list": "name: [norm]\n",
    "a name that is a number": "name: 3\n",
    "a name of nothing": "name: no_such\n",
    "a long name": f"name: {'n' * 500_000}\n",
    "an import of nothing": "name: no.such:thing\n",
    "a name with a line break": 'name: "no\\nsuch"\n',
    "a path as a name": "name: ../clip/norm\n",
}
NO_OPTIONS = {"nothing": b"", "a comment": b"# Is it safe?\n"}  # and good experiments
GOOD = {
    "plain": NAME,
    "an alias": "name: norm\nthreshold: &a 1.0\np: *a\n",
    "a merge": NAME + "<<: {p: 2.0}\n",
    "Windows": NAME.replace("\n", "\r\n"),
    "a mark at the start": "\ufeff" + NAME,
}

EXPERIMENTS = {
    "probes of two types": "probes: {1: {name: forward, every: 1}, a: {name: forward, every: 1}}",
    "numbers in probes": "probes: {forward: {1: 2}}",
    "a part with a number": "clip: {name: norm, threshold: 1.0, p: 2.0, where: gradient, 1: 2}",
    "a part with numbers and null": "clip: {1: 2, null: 3}",
    "a part with true": "clip: {true: 1}",
    "a root key with a dot": "clip.threshold: 1.0",
    "a root key with a group": "clip@x: norm",
    "defaults of nothing": "defaults: [null]",
    "defaults of itself": "defaults: [override /experiment: odd]",
    "defaults of numbers": "defaults: [{1: 2}]",
    "defaults of lists": "defaults: [{override /clip: [[norm]]}]",
    "a group that is none": "defaults: [override /no_such: norm]",
    "an option that is none": "defaults: [override /clip: no_such]",
    "two options": "defaults: [override /clip: [norm, value]]",
    "seeds of a table": "seeds: {a: 1}",
    "log of a list": "log: [1]",
    "log of two keys": "log: {every: 1, often: 2}",
    "stop of numbers": "stop: {1: 2}",
    "lr factors of a list": "lr_factors: [1]",
    "lr factors of numbers": "lr_factors: {1: -1}",
    "phases of numbers": "optimizer: {name: phases, memory: fresh, phases: [1, 2]}",
    "phases with numbers as keys": "optimizer: {name: phases, memory: fresh, phases: [{1: 2}, {optimizer: sgd}]}",
    "phases in phases": "optimizer: {name: phases, memory: fresh, phases: [{optimizer: phases}, {optimizer: sgd}]}",
    "a reference to itself": "lr: ${lr}",
    "references in a circle": "lr: ${dropout}\ndropout: ${lr}",
    "a reference to nothing": "lr: ${no_such}",
    "a reference to a part": "lr: ${clip}",
    "a relative reference": "clip: {name: norm, threshold: '${.p}', p: '${..lr}', where: '${.where}'}",
    "a reference to the whole": "clip: {name: norm, threshold: '${clip}', p: 2.0, where: gradient}",
    "a grid of mappings": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: {a: 1}}}}",
    "a grid of nothing": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: []}}}",
    "a grid of null": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: null}}}",
    "a grid of lists": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: [[1, 2]]}}}",
    "a grid without end": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: 'range(1, 10, 0)'}}}",
    "a grid of too many": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: 'range(1e9)', seed: 'range(1e9)'}}}",
    "a grid with numbers as keys": "hydra: {mode: MULTIRUN, sweeper: {params: {1: 2}}}",
    "a grid of a long word": "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '" + "x" * 200_000 + "'}}}",
    "a mode that is a list": "hydra: {mode: [RUN]}",
    "a mode that is a mapping": "hydra: {mode: {a: RUN}}",
    "hydra in a grid": "hydra: {mode: MULTIRUN, sweeper: {params: {hydra.run.dir: x}}}",
}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def hostile(kind: str, place: Path) -> None:
    """The hostile file of this kind, at this place."""
    place.parent.mkdir(parents=True)
    if kind in THINGS:
        THINGS[kind](place)
        return
    text = (TEXTS | NAMES | NO_OPTIONS)[kind]
    place.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))


def as_experiment(place: Path) -> None:
    """Write the text of an option as that of an experiment: a learning rate takes the place of its threshold."""
    if not place.is_symlink() and place.is_file() and place.stat().st_size < 1 << 30:
        text = place.read_bytes().replace(NAME.encode(), b"lr: 0.1\n").replace(b"threshold", b"lr")
        place.write_bytes(text)


def run(capsys, *words: str) -> tuple[int, str]:
    """The exit code and the errors of `gradlab run` with these words, which may take a few seconds."""
    before = sorted(Path().rglob("*"))
    with confined(6.0):
        code = main(["run", "--dry-run", *TINY, *words])
    assert sorted(Path().rglob("*")) == before
    return code, capsys.readouterr().err


def assert_one_line(outcome: tuple[int, str], place: str) -> None:
    code, err = outcome
    assert code == 2, err
    (line,) = err.splitlines()
    assert line.startswith("gradlab run: ")
    assert len(line) < 1000
    assert place in line


@pytest.mark.few(30)
@pytest.mark.parametrize("kind", [*THINGS, *TEXTS, *NAMES, *NO_OPTIONS])
def test_a_hostile_option_is_refused(capsys, kind):
    hostile(kind, Path("mine/clip/odd.yaml"))
    assert_one_line(run(capsys, "--config-dir=mine", "clip=odd"), "clip")


@pytest.mark.few(25)
@pytest.mark.parametrize("kind", [*THINGS, *TEXTS])
def test_a_hostile_experiment_is_refused(capsys, kind):
    place = Path("experiments/odd.yaml")
    hostile(kind, place)
    as_experiment(place)
    assert_one_line(run(capsys, "experiment=odd"), "")


@pytest.mark.few(15)
@pytest.mark.parametrize("kind", EXPERIMENTS)
def test_an_experiment_that_says_nonsense_is_refused(capsys, kind):
    Path("experiments").mkdir()
    Path("experiments/odd.yaml").write_text(f"# Is it safe?\n{EXPERIMENTS[kind]}\n", "utf-8")
    assert_one_line(run(capsys, "experiment=odd"), "")


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "kind", ["a pipe", "an endless device", "a huge file", "many aliases", "a date that is none"]
)
def test_a_hostile_experiment_of_a_config_dir_is_refused(capsys, kind):
    hostile(kind, Path("mine/experiments/odd.yaml"))
    assert_one_line(run(capsys, "--config-dir=mine", "experiment=odd"), "")


@pytest.mark.few(4)
@pytest.mark.parametrize("kind", THINGS)
def test_a_hostile_option_that_is_not_chosen_is_refused_too(capsys, kind):
    hostile(kind, Path("mine/data/odd.yaml"))
    assert_one_line(run(capsys, "--config-dir=mine"), "data/odd.yaml")


@pytest.mark.parametrize("kind", GOOD)
def test_a_good_option_and_experiment_are_read(capsys, kind):
    for place in (Path("mine/clip/odd.yaml"), Path("experiments/odd.yaml")):
        place.parent.mkdir(parents=True)
        place.write_bytes(GOOD[kind].encode("utf-8"))
    as_experiment(place)
    assert run(capsys, "--config-dir=mine", "clip=odd") == (0, "")


FOLDERS = {
    "a file": lambda: Path("mine").write_text(NAME),
    "a pipe": lambda: os.mkfifo("mine"),
    "a broken link": lambda: Path("mine").symlink_to("nowhere"),
    "a link to itself": lambda: Path("mine").symlink_to("mine"),
    "a device": lambda: Path("mine").symlink_to("/dev/zero"),
    "a group that is none": lambda: hostile("nothing", Path("mine/no_such/odd.yaml")),
    "an option of gradlab's": lambda: hostile("nothing", Path("mine/clip/norm.yaml")),
    "too many files": lambda: _many("mine/clip", small_files.MOST_FILES + 1),
}


def _many(folder: str, count: int) -> None:
    Path(folder).mkdir(parents=True)
    for index in range(count):
        os.close(os.open(f"{folder}/o{index}.yaml", os.O_CREAT))


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_hostile_folder_of_options_is_refused(capsys, kind):
    FOLDERS[kind]()
    assert_one_line(run(capsys, "--config-dir=mine"), "mine")


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["mine/clip", "mine/experiments", "experiments"])
def test_a_folder_of_very_many_files_takes_seconds(capsys, folder):
    _many(folder, 20_000)
    words = ["--config-dir=mine"] if folder.startswith("mine") else []
    assert_one_line(run(capsys, "experiment=no_such", *words), "")


@pytest.mark.parametrize("kind", ["an endless device", "a huge file", "no UTF-8"])
def test_control_what_the_reader_refuses(monkeypatch, capsys, kind):
    """A plain `read_text` has no end, fills the memory or raises Python's own error."""
    hostile(kind, Path("mine/clip/odd.yaml"))
    monkeypatch.setattr(small_files, "read", lambda path: path.read_text("utf-8"))
    with pytest.raises((Hang, MemoryError, UnicodeDecodeError)), confined(1.0, 1 << 30):
        main(["run", "--dry-run", *TINY, "--config-dir=mine"])


def test_control_a_pipe_that_is_read_waits_for_ever():
    hostile("a pipe", Path("mine/clip/odd.yaml"))
    with pytest.raises(Hang), confined(0.3):
        Path("mine/clip/odd.yaml").read_text("utf-8")


@pytest.mark.parametrize("kind", ["many keys", "lists in lists"])
def test_control_without_the_look_at_the_events_a_bomb_takes_long(monkeypatch, kind):
    hostile(kind, Path("mine/clip/odd.yaml"))
    monkeypatch.setattr(vetting, "_check_events", lambda path, text: None)
    with pytest.raises(Hang), confined(0.3):
        vetting.check_option(Path("mine/clip/odd.yaml"))
