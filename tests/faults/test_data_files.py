"""Hostile files of data: refused in one line that names them, or read rightly; none hangs, fills the memory or runs.

The attacks are in `data_attacks.py`. Each safeguard has a control: with it switched off, the attack succeeds.
"""

import gc
import gzip
import io
import os
import resource
import signal
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradlab.commands.main import main
from gradlab.data import archive, files, mnist, prose, recordings, table_files, targets
from gradlab.data.task import check_task
from gradlab.recipe import errors
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import printable
from tests.data.tasks import FILES, make_task
from tests.faults.data_attacks import CALLED, CONTENTS, MEMORY, THINGS, VICTIMS, name_of, with_x
from tests.recipes import TINY

SECONDS = 10.0  # for any file
MOST_MEMORY = 3 << 30  # bytes that reading it may add to the address space


class Hang(BaseException):
    """The time is over; no `except Exception` holds it."""


@contextmanager
def confined(seconds=SECONDS, memory=MOST_MEMORY):
    """A block that may use so many seconds and so much more memory."""

    def over(*_):
        raise Hang

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    handler = signal.signal(signal.SIGALRM, over)
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, before[1]))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    gc.disable()  # JAX's part in it swallows any exception, and so the end of the time
    try:
        yield
    finally:
        gc.enable()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def written(folder, victim):
    """The options of a good data set in the folder, and the file in it that is to be attacked."""
    options = FILES[name_of(victim)](folder)
    return options, folder / VICTIMS[victim]


def refusal(name, **options):
    """What is said of data that must be refused."""
    with confined(), pytest.raises(RecipeError) as error:
        make_task(name, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def assert_same(task, expected):
    for one, other in zip(task[1:5], expected[1:5], strict=True):
        np.testing.assert_array_equal(one, other)
    assert task[5:] == expected[5:]


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("victim", VICTIMS)
def test_what_is_no_regular_file_is_named(tmp_path, victim, thing):
    options, file = written(tmp_path, victim)
    file.unlink()
    put, says = THINGS[thing]
    put(file)
    message = refusal(name_of(victim), **options)
    assert str(file) in message
    assert says in message


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_link_to_a_file_is_that_file(tmp_path, victim):
    options, file = written(tmp_path, victim)
    expected = make_task(name_of(victim), **options)
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert_same(make_task(name_of(victim), **options), expected)


PLACES = {
    "/dev/zero": "is a device",
    "/dev/stdin": "",
    "/proc/self/mem": "is empty",
    "/": "is a folder",
    ".": "is a folder",
    "~nobody-has-this-name/x": "Could not determine home directory",
    "a\0b": "null",
    "x" * 300: "File name too long",
    "x/" * 3000: "File name too long",
    "a\nb": r"a\nb is not a file; it does not exist",
    "/etc/passwd/x": "is not a file",
    "\udcff": "it does not exist",
}


@pytest.mark.parametrize("path", PLACES, ids=range(len(PLACES)))
@pytest.mark.parametrize("name", FILES)
def test_a_path_to_something_else_is_refused(name, path):
    message = refusal(name, path=path, **({"target": "x"} if name in ("csv", "parquet") else {}))
    says = PLACES[path]
    if name in ("mnist", "cifar10", "wav"):
        folder = path in ("/", ".")
        says = (
            "" if folder else says.replace("is empty", "is not a folder").replace("a device", "not a folder")
        )
        says = says.replace("not a file", "not a folder")
    assert says in message
    assert f"data={name}: " in message


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_content_that_lies_is_refused_or_read_rightly(tmp_path, kind):
    attack = CONTENTS[kind]
    name = name_of(attack.victim)
    options, file = written(tmp_path, attack.victim)
    options |= attack.options
    expected = make_task(name, **options) if attack.says is None else None
    file.write_bytes(attack.content(file.read_bytes()))
    before = sorted(tmp_path.parent.iterdir()), sorted(tmp_path.rglob("*"))
    if attack.says is None:
        with confined():
            task = make_task(name, **options)
        assert_same(task, expected)
    else:
        message = refusal(name, **options)
        assert attack.says in message
        assert MEMORY not in message or attack.says == MEMORY
        assert len(message) < 1000
        assert message.startswith(f"data={name}: ")
    assert CALLED == []
    assert (sorted(tmp_path.parent.iterdir()), sorted(tmp_path.rglob("*"))) == before


def test_large_arrays_and_odd_names_are_read(tmp_path):
    """The bounds are for what no reader of such files needs."""
    x = np.arange(3 << 20, dtype=np.float64).reshape(48, -1)
    np.savez(tmp_path / "user.npz", x=x, y=np.arange(48) % 2)
    assert make_task("npz", path=str(tmp_path / "user.npz")).train_x.shape[1] == x.shape[1]
    columns = {
        "a.b": np.arange(50.0),
        "a": np.arange(50.0) ** 2,
        "": np.arange(50.0) % 3,
        "y": np.arange(50) % 2,
    }
    pq.write_table(pa.table(columns), tmp_path / "user.parquet")
    path = str(tmp_path / "user.parquet")
    assert make_task("parquet", path=path, target="y").train_x.shape == (40, 3)
    assert make_task("parquet", path=path, target="y", drop=["a.b"]).train_x.shape == (40, 2)
    assert make_task("parquet", path=path, target="y", drop=["a", ""]).train_x.shape == (40, 1)


# by the command


BY_COMMAND = {
    "csv": "CSV: a whole number of 5 000 digits",
    "parquet": "Parquet: no UTF-8",
    "npz": "npz: a pickle",
    "text": "text: cut in a character",
    "wav": "WAV: bits is 0xffff",
    "mnist": "IDX: 2⁹⁶ numbers",
    "cifar10": "CIFAR: a label 10",
}


def command(name, options, folder):
    """The exit code of `gradlab run data=name data.key=… outputs=folder`."""
    words = [f"data.{key}={value}".replace("'", "") for key, value in options.items()]
    loss = ["loss=mse"] if options.get("target") == "income" else []
    return main(["run", *TINY, f"data={name}", *words, *loss, "model=mlp", f"outputs={folder}"])


@pytest.mark.parametrize("thing", ["content", "pipe"])
@pytest.mark.parametrize("name", BY_COMMAND)
def test_the_command_says_it_in_one_line_and_writes_nothing(tmp_path, capsys, name, thing):
    (tmp_path / "data").mkdir()
    attack = CONTENTS[BY_COMMAND[name]]
    options, file = written(tmp_path / "data", attack.victim)
    if thing == "content":
        file.write_bytes(attack.content(file.read_bytes()))
    else:
        file.unlink()
        os.mkfifo(file)
    with confined(30):
        assert command(name, options | attack.options, tmp_path / "outputs") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("gradlab run: ")
    assert printed.err.count("\n") == 1
    assert printed.err == printable(printed.err)
    assert not (tmp_path / "outputs").exists()


# folders


def test_more_files_than_a_folder_may_have_are_refused(tmp_path, monkeypatch):
    options = FILES["wav"](tmp_path)
    make_task("wav", **options)
    monkeypatch.setattr(recordings, "_MOST_FILES", 15)
    assert "there are more than 15 files" in refusal("wav", **options)


def test_a_folder_that_contains_itself_is_read_once(tmp_path):
    options = FILES["wav"](tmp_path)
    expected = make_task("wav", **options)
    (tmp_path / "low" / "again").symlink_to("..")
    (tmp_path / "high" / "loop").symlink_to("loop")
    assert_same(make_task("wav", **options), expected)


def test_a_name_of_two_lines_is_one_line(tmp_path, monkeypatch):
    options = FILES["wav"](tmp_path)
    (tmp_path / "low" / "a\nb.wav").write_bytes(b"no")
    assert r"a\nb.wav" in refusal("wav", **options)
    monkeypatch.setattr(errors, "one_line", str)
    with pytest.raises(RecipeError, match="\n"):  # the control
        make_task("wav", **options)


def test_a_file_that_grows_is_read_to_the_end_that_it_had(tmp_path):
    _, file = written(tmp_path, "text")
    more = file.read_bytes() * 100
    with files.opened(file, "text", "text") as stream:
        with file.open("ab") as appended:
            appended.write(more)
        assert len(stream.read()) == len(more) // 100
    assert len(file.read_bytes()) == len(more) // 100 + len(more)  # the control


TREES = {
    "a pipe": (os.mkfifo, "is a pipe, not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "it is a link to nothing"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "a folder in itself": (lambda path: path.symlink_to(".."), "is a folder that is there twice"),
}


@pytest.mark.parametrize("kind", TREES)
def test_a_folder_for_another_library_holds_files_only(tmp_path, kind):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "empty.csv").touch()
    files.check_tree(tmp_path, 10)
    put, says = TREES[kind]
    put(tmp_path / "sub" / "odd")
    with confined(), pytest.raises(RecipeError, match=says) as error:
        files.check_tree(tmp_path, 10)
    assert str(tmp_path / "sub" / "odd") in str(error.value)
    with pytest.raises(RecipeError, match="more than 2 files"):
        files.check_tree(tmp_path, 2)


HUB = ["a pipe", "Parquet: a footer of 65536", "Parquet: no UTF-8", "zeros as parquet"]


@pytest.mark.parametrize("kind", HUB)
def test_a_hostile_folder_for_the_hub_s_library_is_refused(tmp_path, monkeypatch, kind):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()
    (tmp_path / "data").mkdir()
    good = FILES["parquet"](tmp_path)["path"]
    file = tmp_path / "data" / "train.parquet"
    if kind in CONTENTS:
        file.write_bytes(CONTENTS[kind].content(Path(good).read_bytes()))
    else:
        os.mkfifo(file)
    with confined(60, 8 << 30), pytest.raises(RecipeError) as error:
        make_task("hf", path=str(tmp_path / "data"), x=["odd" if "UTF-8" in kind else "age"], y="city")
    assert str(error.value).startswith(f"data=hf: {tmp_path / 'data'}")
    assert "\n" not in str(error.value)


# controls


@contextmanager
def trusting(file, *_, **__):
    """`opened` without its checks."""
    with file.open("rb") as stream:
        yield stream


@contextmanager
def silent(*_):
    """`explained` without its explanation."""
    yield


@pytest.mark.parametrize("thing", ["a pipe", "a link to /dev/zero"])
def test_control_opened_by_its_name_it_hangs_or_fills_the_memory(tmp_path, monkeypatch, thing):
    options, file = written(tmp_path, "csv")
    file.unlink()
    THINGS[thing][0](file)
    monkeypatch.setattr(table_files, "opened", trusting)
    with pytest.raises(Hang if thing == "a pipe" else MemoryError), confined(0.5, 1 << 28):
        make_task("csv", **options)


def test_control_without_a_bound_a_file_fills_the_memory(tmp_path, monkeypatch):
    options, file = written(tmp_path, "text")
    os.truncate(file, 1 << 40)
    monkeypatch.setattr(prose, "_LARGEST_TEXT", 1 << 50)
    monkeypatch.setattr(files.Stream, "read", io.BufferedReader.read)
    assert MEMORY in refusal("text", **options)


@pytest.mark.parametrize("kind", ["npz: encrypted", "npz: version 9", "npz: only an array"])
def test_control_unexplained_a_parser_s_error_is_a_traceback(tmp_path, monkeypatch, kind):
    options, file = written(tmp_path, "npz")
    file.write_bytes(CONTENTS[kind].content(file.read_bytes()))
    monkeypatch.setattr(files, "explained", silent)
    with pytest.raises((RuntimeError, ValueError, SyntaxError, zipfile.BadZipFile)) as error:
        make_task("npz", **options)
    assert not isinstance(error.value, RecipeError)


def test_control_where_objects_are_read_a_pickle_runs(tmp_path, monkeypatch):
    options, file = written(tmp_path, "npz")
    file.write_bytes(CONTENTS["npz: a pickle"].content(b""))
    read = archive.npy.read_array
    monkeypatch.setattr(archive, "_READ", "biufUO")
    monkeypatch.setattr(archive.npy, "read_array", lambda stream, **_: read(stream, allow_pickle=True))
    with pytest.raises(ValueError, match="canarycanary"):  # it is no number
        make_task("npz", **options)
    assert CALLED
    CALLED.clear()


def test_control_all_members_of_an_archive_are_read(tmp_path, monkeypatch):
    options, file = written(tmp_path, "npz")
    file.write_bytes(CONTENTS["npz: 200 000 members"].content(b""))
    monkeypatch.setattr(archive, "_LARGEST_PART", 1 << 40)
    assert "it has no array 'x'" in refusal("npz", **options)


def test_control_a_long_header_fills_the_memory(tmp_path, monkeypatch):
    options, file = written(tmp_path, "npz")
    file.write_bytes(with_x(b"\x93NUMPY\x02\x00" + b"\xff" * 4 + bytes(1 << 27))(b""))
    with confined(memory=1 << 27), pytest.raises(RecipeError, match="reading array header"):
        make_task("npz", **options)
    monkeypatch.setattr(archive, "_LONGEST_HEADER", 1 << 32)
    with confined(memory=1 << 27), pytest.raises(RecipeError, match=MEMORY):
        make_task("npz", **options)


def test_control_a_bomb_fills_the_memory(tmp_path, monkeypatch):
    options, file = written(tmp_path, "mnist.gz")
    file.write_bytes(CONTENTS["gzip: a bomb"].content(file.read_bytes()))
    with confined(memory=1 << 26), pytest.raises(RecipeError, match="contains more"):
        make_task("mnist", **options)
    monkeypatch.setattr(mnist, "_read", lambda file, stream, count: gzip.decompress(stream.read()))
    with confined(memory=1 << 26), pytest.raises(RecipeError, match=MEMORY):
        make_task("mnist", **options)


def test_control_a_terabyte_of_words_fills_the_memory(tmp_path, monkeypatch):
    attack = CONTENTS["Parquet: a terabyte of words"]
    options, file = written(tmp_path, "parquet")
    file.write_bytes(attack.content(b""))
    monkeypatch.setattr(table_files, "check_bytes", lambda *_: None)
    assert MEMORY in refusal("parquet", **options | attack.options)


def test_control_a_header_of_many_chunks_is_walked(tmp_path, monkeypatch):
    options, file = written(tmp_path, "wav")
    expected = make_task("wav", **options)
    file.write_bytes(CONTENTS["WAV: 100 000 chunks"].content(file.read_bytes()))
    monkeypatch.setattr(recordings, "_MOST_CHUNKS", 10**9)
    assert_same(make_task("wav", **options), expected)


def test_control_numbers_without_a_bound_overflow(tmp_path, monkeypatch):
    options, file = written(tmp_path, "csv")
    file.write_bytes(CONTENTS["CSV: 1e300"].content(b""))
    monkeypatch.setattr(targets, "_LARGEST_NUMBER", np.inf)
    with pytest.raises(RuntimeWarning, match="overflow"):
        make_task("csv", **options)


@pytest.mark.slow
def test_control_columns_without_a_bound_take_long(tmp_path, monkeypatch):
    options, file = written(tmp_path, "csv")
    file.write_bytes(CONTENTS["CSV: 100 000 columns"].content(b""))
    monkeypatch.setattr(table_files, "_MOST_COLUMNS", 10**9)
    with pytest.raises(Hang), confined(1.0, 64 << 30):
        make_task("csv", **options)


def test_a_compressed_table_is_bounded_as_it_is_decompressed(tmp_path, monkeypatch):
    options, file = written(tmp_path, "csv")
    expected = make_task("csv", **options)
    packed = file.with_suffix(".csv.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    assert_same(make_task("csv", **options | {"path": str(packed)}), expected)
    monkeypatch.setattr(table_files, "_LARGEST_TABLE", len(file.read_bytes()) - 1)
    assert "bytes when decompressed" in refusal("csv", **options | {"path": str(packed)})


# fuzz


def damages(content, count):
    """Cuts, flipped bits and overwritten bytes at random places."""
    rng = np.random.default_rng(len(content))
    for number in range(count):
        damaged = np.frombuffer(content, np.uint8).copy()
        if number % 3 == 0:
            yield content[: rng.integers(len(content))]
            continue
        # half of them in the header or in the footer, where a lie is more than a number
        near = min(100, len(content))
        places = rng.integers(0, [len(content), near][number % 2], rng.integers(1, 4))
        places = len(content) - 1 - places if number % 4 < 2 else places
        if number % 3 == 1:
            damaged[places] ^= np.uint8(1) << rng.integers(0, 8, len(places)).astype(np.uint8)
        else:
            damaged[places] = rng.choice([0, 1, 127, 128, 255], len(places))
        yield damaged.tobytes()


def fuzz(folder, victim, count):
    """How often a damaged file was refused; all others are tasks that a network can be trained on."""
    options, file = written(folder, victim)
    refused: list[str] = []
    for content in damages(file.read_bytes(), count):
        file.write_bytes(content)
        try:
            with confined():
                check_task(make_task(name_of(victim), **options), victim)
        except RecipeError as error:
            refused.append(str(error))
    assert not any("\n" in message or MEMORY in message for message in refused)
    return len(refused)


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_damaged_file_is_refused_or_read(tmp_path, victim):
    assert fuzz(tmp_path, victim, 20) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"drop": [], "words": "one_hot"}, {}], ids=["all columns", "some"])
def test_a_footer_with_any_wrong_byte_is_refused_or_read(tmp_path, options):
    """Of some, pyarrow's own functions for single columns end the process."""
    good, file = written(tmp_path, "parquet")
    content = file.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    refused = 0
    for place in range(start, len(content)):
        for wrong in {content[place] ^ 1, content[place] ^ 128, 0, 255} - {content[place]}:
            file.write_bytes(content[:place] + bytes([wrong]) + content[place + 1 :])
            try:
                make_task("parquet", **good | options)
            except RecipeError:
                refused += 1
    assert refused > len(content) - start


@pytest.mark.slow
@pytest.mark.parametrize("victim", VICTIMS)
def test_many_damaged_files(tmp_path, victim):
    assert fuzz(tmp_path, victim, 200) >= 30
