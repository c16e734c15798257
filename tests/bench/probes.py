"""`python -m tests.bench.probes [NAME…]`: what each probe of the step costs, as a Markdown table.

A price is the CPU time of a step measured with the probe ÷ that of the same step with `forward` alone; that of
`forward` is relative to a step that measures nothing. Chunks of all programs alternate, in one thread.
"""

import os
import sys
from pathlib import Path

os.environ["NPROC"] = "1"  # before XLA starts

import yaml

from tests.bench import ours
from tests.bench.pace import interleaved

CONF = Path(__file__).parents[2] / "conf" / "probe"
BASE = "forward"
WIDTHS = (64, 256)
STEPS = 50  # of a chunk: a multiple of each default `every`
ROUNDS = {64: 8, 256: 5}


def report(names: list[str]) -> None:
    """Print the table of these probes, at both widths."""
    defaults = {name: every(name) for name in names}
    prices = {width: _prices(width, defaults) for width in WIDTHS}
    heads = [f"(50, {width}), every={kind}" for width in WIDTHS for kind in ("1", "its default")]
    print(f"| probe | default every | {' | '.join(heads)} |")
    print("|---|" + "--:|" * (1 + len(heads)))
    for name, default in defaults.items():
        cells = [f"{prices[width][name, step]:.2f}" for width in WIDTHS for step in (1, default)]
        print(f"| `{name}` | {default} | {' | '.join(cells)} |", flush=True)


def every(name: str) -> int:
    """The default of the probe's file."""
    return int(yaml.safe_load((CONF / f"{name}.yaml").read_text("utf-8"))["every"])


def _prices(width: int, defaults: dict[str, int]) -> dict[tuple[str, int], float]:
    """By probe and `every`: its step ÷ the step without it."""
    cases = {(name, step) for name, default in defaults.items() for step in (1, default)}
    shape = ["depth=50", f"width={width}", f"eval.every={ours.NEVER}", "snapshot=[]"]
    work = {("base", 1): ours.chunk(*shape, f"probe=[{BASE}]", steps=STEPS)}
    if (BASE, 1) in cases:
        work["bare", 1] = ours.chunk(*shape, f"probe=[{BASE}]", f"log.every={ours.NEVER}", steps=STEPS)
    for name, step in sorted(cases - {(BASE, 1)}):
        work[name, step] = ours.chunk(
            *shape, f"probe=[{BASE},{name}]", f"probes.{name}.every={step}", steps=STEPS
        )
    spent = interleaved(work, ROUNDS[width])
    base = spent.pop(("base", 1))
    bare = spent.pop(("bare", 1), base)
    return {case: took / base for case, took in spent.items()} | {(BASE, 1): base / bare}


if __name__ == "__main__":
    report(sys.argv[1:] or sorted(file.stem for file in CONF.glob("*.yaml")))
