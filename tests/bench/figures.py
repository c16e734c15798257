"""The figures that gradlab promises, each printed beside its target."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.pace import interleaved

FIVE = "probe=[forward,backward,gradient,weight,update]"


def _say(what: str, value: float, target: str, detail: str = "") -> None:
    print(f"{what:<58} {value:8.3g}   target {target:<8} {detail}", flush=True)


def overhead() -> None:
    """A step with everything measured, over the same jitted step measuring nothing."""
    from tests.bench import ours

    for width, target in ((64, "≤ 1.35"), (256, "≤ 1.15")):
        shape = ["depth=50", f"width={width}"]
        made = {
            "bare": ours.chunk(*shape, f"log.every={ours.NEVER}", f"eval.every={ours.NEVER}", steps=20),
            "all": ours.chunk(*shape, f"eval.every={ours.NEVER}", steps=20),
            "tenth": ours.chunk(*shape, "log.every=10", f"eval.every={ours.NEVER}", steps=20),
        }
        spent = interleaved(made, rounds=20 if width == 64 else 8)
        bare = spent["bare"] / 20 * 1e3
        _say(
            f"measured ÷ bare step (50, {width})", spent["all"] / spent["bare"], target, f"bare {bare:.2f} ms"
        )
        _say(f"the same, log.every=10 (50, {width})", spent["tenth"] / spent["bare"], "≤ 1.05")


def peer() -> None:
    """PyTorch eager with the same five norms a layer, over gradlab with these five."""
    from tests.bench import ours, peer

    for depth, width, target in (
        (20, 32, "≥ 3.2"),
        (50, 64, "≥ 2.5"),
        (50, 256, "≥ 1.4"),
        (1000, 64, "≥ 2.5"),
    ):
        steps = 20
        shape = [f"depth={depth}", f"width={width}", FIVE, f"eval.every={ours.NEVER}"]
        made = {"ours": ours.chunk(*shape, steps=steps), "peer": peer.chunk(depth, width, steps)}
        spent = interleaved(made, rounds=10 if depth * width < 10_000 else 5)
        detail = f"{spent['peer'] / steps * 1e3:.2f} ms against {spent['ours'] / steps * 1e3:.2f} ms a step"
        _say(
            f"PyTorch eager ÷ gradlab, five norms ({depth}, {width})",
            spent["peer"] / spent["ours"],
            target,
            detail,
        )


def compile_time() -> None:
    """Trace and compile time at depth 10 000 over that at depth 10, both without any cache."""
    took = {
        depth: _run([f"depth={depth}", "steps=3", "log.every=1"], cache=False) for depth in (10, 10_000, 10)
    }
    shallow, deep = (took[depth]["compile_seconds"] for depth in (10, 10_000))
    _say(
        "trace + compile, depth 10 000 ÷ depth 10",
        deep / shallow,
        "≤ 1.3",
        f"{deep:.1f} s against {shallow:.1f} s",
    )


def deepest() -> None:
    """Depth 10 000, width 64, 3 steps."""
    status = _run(["depth=10000", "width=64", "steps=3"], cache=False)
    memory = max(status.get(key, 0) for key in ("memory_mib", "process_peak_mib")) / 1024
    _say(
        "depth 10 000, 3 steps: peak memory, GiB",
        memory,
        "≤ 3",
        f"{status['state']}, {status['seconds']:.0f} s",
    )


def first_command() -> None:
    """CPU seconds of the first command with a warm compilation cache."""
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            _run(["model=mlp", "depth=50", "clip=norm"], cache=cache)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    _say("first command, warm cache, CPU s", spent, "≤ 14")


def help_page() -> None:
    """CPU seconds of `gradlab --help`."""
    best = 1e9
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "gradlab", "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    _say("gradlab --help, CPU s", best, "≤ 0.2")


def stored() -> None:
    """Bytes on disk over floats logged, in the tables of the first command."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryDirectory() as folder:
        _run(["model=mlp", "depth=50", "clip=norm"], outputs=folder)
        files = list(Path(folder).glob("*/*/*/*.parquet"))
        size = sum(path.stat().st_size for path in files)
        tables = [pq.read_table(path) for path in files]
    columns = [
        column for table in tables for column in table.itercolumns() if pa.types.is_floating(column.type)
    ]
    floats = sum(len(column) - column.null_count for column in columns)
    _say("bytes stored a logged float", size / floats, "≤ 3.5", f"{floats} floats, {size / 1e6:.2f} MB")


def safety() -> None:
    """A run with digests, page checksums and files opened by descriptor, over one that writes the files plainly."""
    import pyarrow.parquet as pq
    import pytest

    from gradlab.store import files, write
    from tests.recipes import launch, recipe

    def plainly(base: Path, name: str, content: bytes) -> None:
        place = base / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with (base / f"{name}.tmp").open("wb") as file:
            file.write(content)
            os.fsync(file.fileno())
        Path(file.name).replace(place)
        folder = os.open(place.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    write_table = pq.write_table
    plain = {
        (write, "digest"): lambda content: "",
        (write, "note_digests"): lambda folder, digests: None,
        (write, "require_no_links"): lambda folder: None,
        (files, "write"): plainly,
        (pq, "write_table"): lambda *given, write_page_checksum, **options: write_table(*given, **options),
    }

    def once(patches: dict) -> None:
        with pytest.MonkeyPatch.context() as patched, tempfile.TemporaryDirectory() as folder:
            for (module, name), function in patches.items():
                patched.setattr(module, name, function)
            launch(recipe("model=mlp", "depth=50", "clip=norm", f"outputs={folder}"))

    spent = interleaved({"guarded": lambda: once({}), "plain": lambda: once(plain)}, rounds=8)
    detail = f"{spent['guarded']:.2f} s"
    _say("a run's checks ÷ the run, %", 100 * (spent["guarded"] / spent["plain"] - 1), "≤ 1", detail)


def _run(words: list[str], cache: str | bool = True, outputs: str = "") -> dict:
    """One run in a process of its own; its status."""
    environment = dict(os.environ, NPROC="1")
    if cache is False:
        environment["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    elif isinstance(cache, str):
        environment["XDG_CACHE_HOME"] = cache
    with tempfile.TemporaryDirectory() as folder:
        where = outputs or folder
        command = [sys.executable, "-m", "gradlab", "run", *words, f"outputs={where}"]
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return json.loads(next(Path(where).glob("*/*/status.json")).read_text())


def images() -> None:
    """ResNet-20 on 32×32 images: what measuring costs, PyTorch beside it, and compile time against depth."""
    from tests.bench import vision

    spent = vision.overhead()
    _say(
        "measured ÷ bare step, ResNet-20",
        spent["all"] / spent["bare"],
        "≤ 1.15",
        f"bare {spent['bare'] * 1e3:.0f} ms",
    )
    beside = vision.peer()
    for name in ("torch", "torch_channels_last"):
        _say(f"PyTorch eager ÷ gradlab, five norms ({name})", beside[name] / beside["ours"], "≥ 0.6")
    took = vision.compile_time()
    _say("trace + compile, ResNet-110 ÷ ResNet-20", took[110] / took[20], "≤ 1.5", f"{took[20]:.1f} s")


def sequences() -> None:
    """Recurrent networks and the Transformer."""
    from tests.bench import sequence

    sequence.report()


def prediction() -> None:
    """The theory of a run, which `--dry-run` and every report compute: CPU seconds at depth 10 000."""
    from gradlab.theory.mlp import predict
    from tests.theory.network import DATA, recipe

    start = time.process_time()
    predict(recipe(depth=10_000), DATA)
    _say("CPU seconds of a prediction, 10 000 layers", time.process_time() - start, "≤ 3")


def studies() -> None:
    """Grids of many runs."""
    from tests.bench import studies

    studies.report()


def own_networks() -> None:
    """Networks and loops of one's own."""
    from tests.bench import own

    own.report()


def clip_advice() -> None:
    """How often following suggest-clip ends as well as the best fixed threshold."""
    from tests.bench.advice import advice

    advice()


def report() -> None:
    """The page of one run and of twenty."""
    from tests.bench import pages

    pages.report()


def watching() -> None:
    """`gradlab watch` in a terminal of 140 columns, while a run of 50 layers writes a part for each 100 steps."""
    from tests.bench import watch

    found = watch.share()
    detail = f"its start {found['start']:.2f} CPU s, {found['bytes'] / 1e3:.1f} kB/s to the terminal"
    _say("gradlab watch, % of a core", 100 * found["share"], "< 3", detail)


ALL = {
    "overhead": overhead,
    "peer": peer,
    "compile": compile_time,
    "deepest": deepest,
    "first": first_command,
    "help": help_page,
    "stored": stored,
    "safety": safety,
    "prediction": prediction,
    "studies": studies,
    "advice": clip_advice,
    "own": own_networks,
    "watch": watching,
    "images": images,
    "sequences": sequences,
    "report": report,
}
