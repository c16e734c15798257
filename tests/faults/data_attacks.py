"""What may stand where a file of data should: things that are no file, and contents that lie.

`VICTIMS` names one file of each data set that reads files, as `tests/data/tasks.py` writes them. `THINGS` put something
else in its place, for every victim alike; an attack of `CONTENTS` makes another content from that of one victim.
"""

import contextlib
import gzip
import io
import os
import pickle
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.data.tasks import table

VICTIMS = {
    "mnist": "t10k-images-idx3-ubyte",
    "mnist.gz": "train-images-idx3-ubyte.gz",
    "cifar10": "test_batch.bin",
    "npz": "user.npz",
    "csv": "user.csv",
    "parquet": "user.parquet",
    "text": "user.txt",
    "wav": "low/3.wav",
}
LARGEST = 1 << 40  # bytes of a file that has no blocks on the disk
MEMORY = "needs more memory than there is"  # also said by Python's parser of a deep expression
CALLED: list[str] = []


def name_of(victim: str) -> str:
    """The data set that reads the victim."""
    return victim.partition(".")[0]


# things in the place of a file


def _socket(path: Path) -> None:
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as opened:
        opened.bind(path.name)  # a whole path may be longer than a socket's may be


def _loop(path: Path) -> None:
    path.symlink_to(path.with_name("loop"))
    path.with_name("loop").symlink_to(path)


def _pipe_by_link(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.symlink_to("pipe")


def _huge(path: Path) -> None:
    path.touch()
    os.truncate(path, LARGEST)


THINGS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a pipe": (os.mkfifo, "is a pipe, not a regular file"),
    "a socket": (_socket, "is a socket, not a regular file"),
    "a folder": (Path.mkdir, "is a folder, not a regular file"),
    "a link to nothing": (lambda path: path.symlink_to("nothing"), "it is a link to nothing"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "a loop of links": (_loop, "Too many levels of symbolic links"),
    "a link to a folder": (lambda path: path.symlink_to("."), "is a folder, not a regular file"),
    "a link to a pipe": (_pipe_by_link, "is a pipe, not a regular file"),
    "a link to /dev/zero": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
    "a link to /dev/null": (lambda path: path.symlink_to("/dev/null"), "is a device, not a regular file"),
    "a link to the memory": (lambda path: path.symlink_to("/proc/self/mem"), "is empty"),
    "an empty file": (Path.touch, "is empty"),
    "a file of 1 TiB": (_huge, f"has {LARGEST:,} bytes, more than"),
}


# contents


class Attack(NamedTuple):
    """Another content for a victim. It must be refused in these words or, with None, read as the same examples."""

    victim: str
    content: Callable[[bytes], bytes]
    says: str | None = ""
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed


# of every victim

FOREIGN = {
    "one byte": b"\0",
    "a letter": b"P",
    "zeros": bytes(5000),
    "an ELF": b"\x7fELF" + bytes(range(256)) * 9,
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9,
    "a tar": b"user.csv" + bytes(92) + b"0000644\0" + bytes(412),
    "a pickle": pickle.dumps({"x": list(range(500))}),
    "UTF-16": "age,income,paid\n1,2,3\n".encode("utf-16") * 50,
    "random bytes": np.random.default_rng(0).bytes(5000),
}
COMMON = {
    f"{kind} as {victim}": Attack(victim, lambda _, content=content: content)
    for victim in VICTIMS
    for kind, content in FOREIGN.items()
    if (kind, victim) != ("a tar", "text")  # which it is, in UTF-8
}


# WAV

WAV_FIELDS = {
    "RIFF's size": (4, 4), "fmt's size": (16, 4), "format": (20, 2), "channels": (22, 2), "rate": (24, 4),
    "bytes per second": (28, 4), "bytes per frame": (32, 2), "bits": (34, 2), "data's size": (40, 4),
}  # fmt: skip
NOT_USED = ("RIFF's size", "bytes per second", "bytes per frame")


def patched(place: int, value: bytes) -> Callable[[bytes], bytes]:
    """Another value in a content."""
    return lambda content: content[:place] + value + content[place + len(value) :]


def inserted(place: int, value: bytes) -> Callable[[bytes], bytes]:
    """Something more in a content."""
    return lambda content: content[:place] + value + content[place:]


HEADERS = {
    f"WAV: {field} is {value:#x}": Attack(
        "wav", patched(place, value.to_bytes(size, "little")), None if field in NOT_USED else ""
    )
    for field, (place, size) in WAV_FIELDS.items()
    for value in (0, 256**size - 1, 256**size // 2, *((3,) if field == "format" else ()))
    if (field, value) not in {("data's size", 2**32 - 1), ("data's size", 2**31)}  # below: streams have them
}
WAV = HEADERS | {
    "WAV: a stream's size of data": Attack("wav", patched(40, b"\xff" * 4), None),
    "WAV: 64-bit samples": Attack("wav", patched(34, struct.pack("<H", 64)), "64 bits per sample"),
    "WAV: a rate of 1 Hz": Attack("wav", patched(24, struct.pack("<I", 1)), "has a sample rate of 1 Hz"),
    "WAV: no chunk": Attack("wav", lambda content: content[:12], "there are no samples"),
    "WAV: only its head": Attack("wav", lambda content: content[:44], "fewer samples than the 4000"),
    "WAV: samples before their description": Attack(
        "wav", lambda content: content[:12] + content[36:] + content[12:36], "does not describe its samples"
    ),
    "WAV: a short description": Attack("wav", patched(16, struct.pack("<I", 2))),
    "WAV: big-endian": Attack("wav", patched(0, b"RIFX"), "does not begin with RIFF"),
    "WAV: a chunk of 4 GiB": Attack("wav", inserted(12, b"JUNK" + b"\xff" * 4), "there are no samples"),
    "WAV: 100 000 chunks": Attack("wav", inserted(12, b"JUNK\0\0\0\0" * 10**5), "in its first 1000 chunks"),
    "WAV: a chunk of the editor's": Attack("wav", inserted(12, b"LIST\3\0\0\0abc\0"), None),
    "WAV: an extensible header": Attack(
        "wav",
        lambda content: (
            content[:16]
            + struct.pack("<IH", 40, 0xFFFE)
            + content[22:36]
            + struct.pack("<HHIH", 22, 16, 4, 1)
            + bytes(14)
            + content[36:]
        ),
        None,
    ),
}


# npz


def canary(text: str) -> str:
    """What a stranger would like to be called."""
    CALLED.append(text)
    return text


class Canary:
    """What calls it when it is unpickled; long enough for the size that its array should have."""

    def __reduce__(self) -> Any:
        return canary, ("canary" * 99,)


def npy(x: Any) -> bytes:
    """An array as a member."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(x))
    return stream.getvalue()


def header(text: str, version: bytes = b"\x01\x00", more: bytes = bytes(800)) -> bytes:
    """A member that begins with such a description of its array."""
    size = 2 if version == b"\x01\x00" else 4
    return b"\x93NUMPY" + version + len(text).to_bytes(size, "little") + text.encode() + more


def described(shape: str = "(50, 2)", descr: str = "'<f8'", order: str = "False") -> bytes:
    """A member whose description has such a shape and type."""
    return header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}")


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as opened:
        for name, content in members:
            opened.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def with_x(content: bytes) -> Callable[[bytes], bytes]:
    """The archive with such a member x."""
    return lambda _: archive(("x.npy", content), ("y.npy", LABELS))


def in_directory(old: bytes, place: int, value: bytes) -> Callable[[bytes], bytes]:
    """The archive with a value changed in its headers of members, `place` bytes after the signature `old`."""

    def change(content: bytes) -> bytes:
        parts = content.split(old)
        return parts[0] + b"".join(old + patched(place - len(old), value)(part) for part in parts[1:])

    return change


def _many_members(content: bytes) -> bytes:
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\1\2", *[0] * 9, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    directory = entry * 200_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
    return directory + end


def _same_name_twice(content: bytes) -> bytes:
    return archive(("x.npy", GOOD), ("y.npy", LABELS), ("z.npy", GOOD)).replace(b"z.npy", b"x.npy")


def _objects() -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([Canary()] * 50, object).reshape(50, 1))
    return stream.getvalue()


NUMBERS = np.random.default_rng(0).random((50, 6, 3))  # those of the victim
GOOD, LABELS = npy(NUMBERS), npy(np.arange(50) % 3)
SHAPES = [
    "(2**40,)",
    "(1099511627776, 2)",
    "(-5, 2)",
    "(50, -1)",
    "(50.0, 2)",
    "('50', 2)",
    "50",
    "()",
    "(50, 0)",
]
SHAPES += [f"({'1, ' * 100})", "(0, 4611686018427387904)", f"({'9' * 5000}, 2)", "(None, 2)", "(True, True)"]
TYPES = [
    "'|O'",
    "'<c16'",
    "'<M8[s]'",
    "'|V8'",
    "[('a', '<f8')]",
    "('<f8', (9,))",
    "'<U900000000'",
    "'x'",
    "5",
]
TYPES += ["'|S8'", "[('', '|O')]", "'<U5'", "'|b0'", "None"]
NPZ = {
    **{f"npz: shape {shape[:30]}": Attack("npz", with_x(described(shape))) for shape in SHAPES},
    **{f"npz: type {descr}": Attack("npz", with_x(described(descr=descr))) for descr in TYPES},
    **{
        f"npz: {value} among the numbers": Attack("npz", with_x(npy(np.full((50, 2), value))), says)
        for value, says in ((np.nan, "100 NaN"), (np.inf, "100 NaN"), (1e300, "are they missing values?"))
    },
    "npz: a pickle": Attack("npz", with_x(_objects()), "is of type object, not numbers"),
    "npz: a header of 4 GiB": Attack("npz", with_x(b"\x93NUMPY\x02\x00" + b"\xff" * 4 + b" " * 10**6)),
    "npz: a long header": Attack("npz", with_x(header(" " * 60000))),
    "npz: a deep header": Attack("npz", with_x(header("(" * 5000))),
    "npz: a header of signs": Attack("npz", with_x(header("-" * 9000 + "1")), MEMORY),
    "npz: a header that is code": Attack("npz", with_x(header("__import__('os').getcwd()"))),
    "npz: a header that is no mapping": Attack("npz", with_x(header("[]"))),
    "npz: version 9": Attack("npz", with_x(header("{}", b"\x09\x09"))),
    "npz: a member of one byte": Attack("npz", with_x(b"\x93")),
    "npz: only an array": Attack("npz", lambda _: GOOD),
    "npz: no member": Attack("npz", lambda _: archive(), "has no array 'x'"),
    "npz: only a path as a name": Attack(
        "npz", lambda _: archive(("../x.npy", GOOD), ("/y.npy", LABELS)), "no array"
    ),
    "npz: paths as other names": Attack(
        "npz",
        lambda _: archive(("../../x.npy", b"!"), ("/tmp/y", b"!"), ("x.npy", GOOD), ("y.npy", LABELS)),
        None,
    ),
    "npz: names of two lines": Attack(
        "npz", lambda _: archive(*[(f"a\nb{n}" * 999, b"") for n in range(9)]), "no array"
    ),
    "npz: a name twice": Attack("npz", _same_name_twice, "two arrays 'x'"),
    "npz: 200 000 members": Attack("npz", _many_members, "larger than the 4,194,304 that are read at once"),
    "npz: encrypted": Attack("npz", in_directory(b"PK\1\2", 8, b"\1"), "encrypted"),
    "npz: an unknown compression": Attack("npz", in_directory(b"PK\1\2", 10, b"\x63")),
    "npz: another disk": Attack("npz", in_directory(b"PK\5\6", 4, b"\1\0\1\0"), None),
    "npz: a directory elsewhere": Attack("npz", in_directory(b"PK\5\6", 16, b"\xff\xff\xff\x7f")),
    "npz: LZMA": Attack(
        "npz", lambda _: archive(("x.npy", GOOD), ("y.npy", LABELS), method=zipfile.ZIP_LZMA), None
    ),
    "npz: the other byte order": Attack("npz", with_x(npy(NUMBERS.astype(">f8"))), None),
    "npz: columns first": Attack("npz", with_x(npy(np.asfortranarray(NUMBERS))), None),
    "npz: the text of numbers": Attack("npz", with_x(npy(NUMBERS.astype(str)))),
}


# CSV

ROWS = [f"{n % 7},{n * 0.5},{n % 2}" for n in range(50)]


def lines(*rows: str, first: str = "age,income,paid") -> bytes:
    """A table of the columns age, income and paid, the rows given before 50 good ones."""
    return "\n".join([first, *rows, *ROWS, ""]).encode("utf-8", "surrogateescape")


def row(text: str, says: str | None = "", **options: Any) -> Attack:
    """The table with one more row."""
    return Attack("csv", lambda _: lines(text), says, options)


def first(names: str, says: str | None = "", **options: Any) -> Attack:
    """The table with other names."""
    return Attack("csv", lambda _: lines(first=names), says, options)


def whole(content: Callable[[bytes], bytes], says: str | None = "", **options: Any) -> Attack:
    """Another table."""
    return Attack("csv", content, says, options)


CSV = {
    "CSV: a whole number of 5 000 digits": row("9" * 5000 + ",1,1", "has 1 NaN or infinite values out of 51"),
    "CSV: the same as a target": row("1,1," + "9" * 5000),
    "CSV: the same in a column of classes": row("1," + "9" * 5000 + ",1", target="income"),
    "CSV: a fraction of 5 000 digits": row("1,0." + "1" * 5000 + ",1", target="income", kind="classification"),
    "CSV: 1e400": row("1,1e400,1", "NaN or infinite"),
    "CSV: 1e300": row("1,1e300,1", "are they missing values?"),
    "CSV: nan": row("1,nan,1"),
    "CSV: nothing": row("1,,1", "has 1 missing values out of 51"),
    "CSV: a text among the numbers": row("1,one,1", "contains text such as", words="refuse"),
    "CSV: a text that controls": row('1,"\x1b[31m\n\x07",1', words="refuse"),
    "CSV: a word of 900 kB": row(f"1,{'w' * 900_000},1", "contains text such as", words="refuse"),
    "CSV: a line of 5 MB": row(f"1,{'w' * 5_000_000},1"),
    "CSV: a quote that is not closed": row('1,"2,3'),
    "CSV: a zero byte": row("1,\0,1", words="refuse"),
    "CSV: no UTF-8 in a column": row("1,\udcff\udcfe,1", words="refuse"),
    "CSV: a short line": row("1,2", "cannot be read as a CSV table"),
    "CSV: a long line": row("1" + ",2" * 10_000, "cannot be read as a CSV table"),
    "CSV: no UTF-8 in a name": first("age,in\udcffcome,paid"),
    "CSV: names twice": first("paid,age,paid", "has two columns named 'paid'"),
    "CSV: names of two lines": first('"a\nb","a\nb",paid'),
    "CSV: names of commands": first('"\x1b]0;x\x07","\x1b]0;x\x07",paid', "has two columns named"),
    "CSV: no names": first(",,", "has two columns named ''"),
    "CSV: a name of 200 kB": first(f"{'n' * 200_000},income,paid"),
    "CSV: a name of 100 kB": first(f"{'n' * 100_000},income,paid", "no column data.target='payed'", target="payed"),
    "CSV: only names": whole(lambda _: b"age,income,paid\n", "0 examples are too few"),
    "CSV: only lines": whole(lambda _: b"\n" * 10_000),
    "CSV: only commas": whole(lambda _: b",,,,\n" * 100),
    "CSV: one column": whole(lambda _: b"paid\n" + b"1\n0\n" * 20, "has no column besides the target"),
    "CSV: 100 000 columns": whole(
        lambda _: (",".join(f"c{n}" for n in range(100_000)) + "\n" + (",".join("1" * 100_000) + "\n") * 12).encode(),
        "it has 100,000 columns, more than 50,000",
    ),
    "CSV: 100 000 columns of one name": whole(lambda _: (b"a" + b",a" * 99_999 + b"\n") * 12, "100,000 columns"),
    "CSV: dates": row("2020-01-01,1,1", words="refuse"),
    "CSV: only dates": whole(
        lambda _: b"day,paid\n" + b"2020-01-01,1\n2020-01-02,0\n" * 20, "which is neither numbers nor text"
    ),
    "CSV: cut in a character": whole(lambda content: content + "9,1,Köln,True\n".encode()[:6]),
    "CSV: a mark of UTF-8": whole(lambda content: b"\xef\xbb\xbf" + content, None),
    "CSV: lines of another system": whole(lambda content: content.replace(b"\n", b"\r\n"), None),
    "CSV: lines between": whole(lambda content: content.replace(b"\n", b"\n\n"), None),
}  # fmt: skip


# Parquet


def parquet(frame: Any, **options: Any) -> bytes:
    """A table as a file."""
    stream = io.BytesIO()
    made = frame if isinstance(frame, pa.Table) else pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(made, stream, **options)
    return stream.getvalue()


def column(values: Any, **more: Any) -> Callable[[bytes], bytes]:
    """The victim's table with one more column."""
    return lambda _: parquet(pa.Table.from_pandas(table()).append_column("odd", values), **more)


def _text_of(*words: bytes) -> pa.Array:
    """A column of 50 texts that may not be UTF-8."""
    chosen = [words[n % len(words)] for n in range(50)]
    offsets = np.cumsum([0, *map(len, chosen)], dtype=np.int32)
    return pa.StringArray.from_buffers(50, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(chosen)))


def _footer(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:-8] + length.to_bytes(4, "little") + content[-4:]


def _as(column_type: Any) -> Callable[[bytes], bytes]:
    """The victim's table with its column of text in another type of Arrow's."""

    def change(_: bytes) -> bytes:
        made = pa.Table.from_pandas(table())
        return parquet(made.set_column(2, "city", made["city"].cast(column_type)))

    return change


ODD = {
    "a struct": pa.array([{"a": 1}] * 50),
    "a list": pa.array([[1, 2]] * 50),
    "a list of lists": pa.array([[[1]] * 3] * 50),
    "a map": pa.array([[("k", 1)]] * 50, pa.map_(pa.string(), pa.int64())),
    "bytes": pa.array([b"x"] * 50),
    "bytes of one length": pa.array([b"xx"] * 50, pa.binary(2)),
    "times": pa.array([1] * 50, pa.timestamp("ns", "UTC")),
    "durations": pa.array([1] * 50, pa.duration("s")),
    "only missing values": pa.nulls(50),
    "a name that is a line": pa.array([{"a\nb" * 99: 1}] * 50),
    "no UTF-8": _text_of(b"ok", b"\xff\xfe\xfa"),
    "half a character": _text_of("é".encode()[:1]),
    "missing values": pa.array([1.0, None] * 25),
    "NaN": pa.array([np.nan] * 50),
    "1e300": pa.array([1e300, 1.0] * 25),
    "missing words": pa.array(["a", None] * 25),
}
REPEATED = pa.table(  # a megabyte that would be a terabyte
    {
        "word": pa.DictionaryArray.from_arrays(
            pa.array(np.arange(10**6) % 2, pa.int32()), ["a" * 10**6, "b" * 10**6]
        ),
        "paid": np.arange(10**6) % 2,
    }
)
AS_WRITTEN = {"target": "income", "drop": [], "words": "one_hot"}
PARQUET = {
    **{f"Parquet: {kind}": Attack("parquet", column(values), "", AS_WRITTEN) for kind, values in ODD.items()},
    **{f"Parquet: a footer of {n}": Attack("parquet", _footer(n)) for n in (0, 1, 2**16, 2**31, 2**32 - 1)},
    "Parquet: no UTF-8 in a name": Attack(
        "parquet",
        lambda _: parquet(pa.Table.from_pandas(table()), store_schema=False).replace(b"age", b"a\xff\xfe"),
    ),
    "Parquet: a name twice": Attack(
        "parquet", lambda _: parquet(pa.table([[1.0] * 50] * 2, ["income", "income"])), "has two columns named"
    ),
    "Parquet: names of two lines": Attack(
        "parquet", lambda _: parquet(pa.table([[1.0] * 50] * 2, ["a\nb", "a\nb"])), r"two columns named 'a\nb'"
    ),
    "Parquet: encrypted": Attack("parquet", lambda content: content[:-4] + b"PARE"),
    "Parquet: another end": Attack("parquet", lambda content: content[:-4] + b"ARROW1"),
    "Parquet: no rows": Attack("parquet", lambda _: parquet(table(0)), "0 examples are too few"),
    "Parquet: no columns": Attack("parquet", lambda _: parquet(pa.table({})), "has no column data.target"),
    "Parquet: an Arrow file": Attack("parquet", lambda _: _arrow()),
    "Parquet: its pages are zeros": Attack("parquet", lambda content: b"PAR1" + bytes(700) + content[704:]),
    "Parquet: a terabyte of words": Attack(
        "parquet", lambda _: parquet(REPEATED, row_group_size=2**17), "bytes in memory", {"target": "word", "drop": []}
    ),
    "Parquet: text by its words": Attack("parquet", _as(pa.dictionary(pa.int8(), pa.string())), None),
    "Parquet: large text": Attack("parquet", _as(pa.large_string()), None),
    "Parquet: views of text": Attack("parquet", _as(pa.string_view()), None),
    "Parquet: groups of rows": Attack("parquet", lambda _: parquet(table(), row_group_size=7), None),
    "Parquet: without lists of words": Attack("parquet", lambda _: parquet(table(), use_dictionary=False), None),
    "Parquet: words as differences": Attack(
        "parquet",
        lambda _: parquet(table(), use_dictionary=False, column_encoding={"city": "DELTA_BYTE_ARRAY"}),
        None,
    ),
    "Parquet: pages with sums": Attack("parquet", lambda _: parquet(table(), write_page_checksum=True), None),
}  # fmt: skip
for kind in (
    "text by its words",
    "large text",
    "views of text",
    "groups of rows",
    "without lists of words",
    "words as differences",
):
    PARQUET[f"Parquet: {kind}, as features"] = PARQUET[f"Parquet: {kind}"]._replace(options=AS_WRITTEN)


def _arrow() -> bytes:
    stream = pa.BufferOutputStream()
    made = pa.Table.from_pandas(table())
    with pa.ipc.new_file(stream, made.schema) as opened:
        opened.write_table(made)
    return stream.getvalue().to_pybytes()


# texts, images

TEXT = {
    "text: one character": Attack("text", lambda _: b"a" * 10_000),
    "text: not its first bytes": Attack("text", lambda content: content + b"\xff", "is not UTF-8 text (byte"),
    "text: cut in a character": Attack("text", lambda content: content + "é".encode()[:1], "is not UTF-8 text (byte"),
    "text: half of a pair": Attack("text", lambda content: content + b"\xed\xa0\x80", "is not UTF-8 text"),
    "text: too long a code": Attack("text", lambda content: content + b"\xc0\x80", "is not UTF-8 text"),
    "text: a few characters": Attack("text", lambda _: b"short", "are fewer than two windows"),
}  # fmt: skip


def _idx(*sizes: int, kind: int = 8, axes: int = 3) -> Callable[[bytes], bytes]:
    return lambda content: bytes([0, 0, kind, axes]) + struct.pack(f">{len(sizes)}I", *sizes) + content[16:]


def _gzipped(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda content: gzip.compress(change(gzip.decompress(content)), 1)


def _named(content: bytes) -> bytes:
    return content[:3] + b"\x08" + content[4:10] + b"n" * 10**6 + b"\0" + content[10:]


IMAGES = {
    **{f"IDX: type {kind}": Attack("mnist", _idx(12, 9, 7, kind=kind)) for kind in (0, 9, 13, 14, 255)},
    **{f"IDX: {axes} axes": Attack("mnist", _idx(12, 9, 7, axes=axes)) for axes in (0, 1, 2, 4, 255)},
    "IDX: no images": Attack("mnist", _idx(0, 9, 7)),
    "IDX: no pixels": Attack("mnist", _idx(12, 0, 0)),
    "IDX: 2⁹⁶ numbers": Attack("mnist", _idx(*[2**32 - 1] * 3), "numbers is more than"),
    "IDX: one image more": Attack("mnist", _idx(13, 9, 7), "is it cut off?"),
    "IDX: one image less": Attack("mnist", _idx(11, 9, 7), "contains more"),
    "IDX: other pixels": Attack("mnist", _idx(12, 7, 9), "training images are"),
    "IDX: gzipped, by its name not": Attack("mnist", gzip.compress, "is not an IDX file"),
    "gzip: a bomb": Attack("mnist.gz", _gzipped(lambda content: content + bytes(10**8)), "contains more"),
    "gzip: a bomb that says so": Attack("mnist.gz", _gzipped(_idx(*[2**32 - 1] * 3)), "more than"),
    "gzip: cut": Attack("mnist.gz", lambda content: content[:-100], "gzip stream is cut off"),
    "gzip: a wrong sum": Attack("mnist.gz", lambda content: content[:-8] + bytes(8)),
    "gzip: not": Attack("mnist.gz", gzip.decompress, "cannot be read as an IDX file"),
    "gzip: raw": Attack("mnist.gz", lambda content: zlib.compress(gzip.decompress(content))),
    "gzip: a name of a megabyte": Attack("mnist.gz", _named, None),
    "gzip: zeros after its end": Attack("mnist.gz", lambda content: content + bytes(100), None),
    "CIFAR: a byte more": Attack("cifar10", lambda content: content + b"\0", "not a multiple of a record's 3073"),
    "CIFAR: a label 10": Attack("cifar10", patched(0, b"\x0a"), "has a label 10"),
    "CIFAR: a label 255": Attack("cifar10", patched(3073, b"\xff"), "has a label 255"),
    "CIFAR: two images": Attack("cifar10", lambda content: content[: 2 * 3073], "2 examples are too few"),
}  # fmt: skip

CONTENTS: dict[str, Attack] = {**COMMON, **WAV, **NPZ, **CSV, **PARQUET, **TEXT, **IMAGES}
