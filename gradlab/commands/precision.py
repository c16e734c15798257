"""`gradlab precision PATH…`: what float16, bfloat16 and fp8 would flush or overflow, and the loss scale that helps."""

import json
from typing import TYPE_CHECKING

from gradlab.commands.arguments import Arguments, path_arguments, tell_problems
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.analysis.precision import Precision


def arguments() -> Arguments:
    """The arguments of `gradlab precision`."""
    parser = path_arguments("precision", "example: gradlab precision outputs/default")
    parser.add_argument("--json", action="store_true", help="print a list with one object per run")
    return parser


def main(argv: list[str]) -> int:
    """Print the tables of every run at or below the paths, and a sentence for each format on its loss scales.

    Raises:
        RecipeError: no run has histograms; or a run has none, or cannot be read, and the others got their tables.
    """
    options = arguments().parse_args(argv)
    from gradlab.analysis.precision import precision
    from gradlab.analysis.results import to_json
    from gradlab.store.read import read_each

    reports, problems = read_each(options.paths, precision)
    if options.json:
        say(json.dumps([to_json(report) for report in reports], indent=2, ensure_ascii=False))
    else:
        say("\n\n".join(text(report) for report in reports))
    tell_problems("precision", problems)
    return 0


def text(report: "Precision") -> str:
    """A table for each quantity, with one row for neighbouring layers that lose the same, and the loss scales."""
    from gradlab.analysis.precision import scale_sentences
    from gradlab.measurements.magnitudes import MEASURES

    heading = f"{report.run} ({report.dtype}, {report.steps} steps measured, {report.seeds} seeds)"
    tables = [_table(report, quantity) for quantity in MEASURES]
    scales = [
        f"  {'loss scale' * (index == 0):<12}{line}" for index, line in enumerate(scale_sentences(report))
    ]
    return "\n".join([heading, *tables, *scales])


def _table(report: "Precision", quantity: str) -> str:
    """% of the entries that are flushed, subnormal and overflow, by layer and format, each at its worst step."""
    from gradlab.analysis.precision import FORMATS
    from gradlab.report.summary import aligned

    header = [quantity, *(cell for name in FORMATS for cell in (name, "", ""))]
    words = ["layer", *("flushed %", "subnormal", "overflow") * len(FORMATS)]
    by_layer: dict[int, list[str]] = {}
    names: dict[int, str] = {}
    for loss in report.layers:
        if loss.quantity == quantity:
            names[loss.layer] = loss.name
            shares = (loss.flushed, loss.subnormal, loss.overflow)
            by_layer.setdefault(loss.layer, []).extend(map(_cell, shares))
    groups: list[tuple[list[int], list[str]]] = []
    for layer, cells in sorted(by_layer.items()):
        if groups and groups[-1][1] == cells:
            groups[-1][0].append(layer)
        else:
            groups.append(([layer], cells))
    rows = [
        [" … ".join(dict.fromkeys((names[layers[0]], names[layers[-1]]))), *cells] for layers, cells in groups
    ]
    return aligned([header, words, *rows], "  ")


def _cell(share: tuple[float, float] | None) -> str:
    """12, or 0–12 where the counts give only bounds; – where there is nothing but zeros and what is not finite."""
    if share is None:
        return "–"
    low, high = map(_percent, share)
    return low if low == high else f"{low}–{high}"


def _percent(share: float) -> str:
    """In whole percent, so that neighbouring layers share a row; 0 and 100 are exact."""
    if 0 < share < 0.01:
        return "<1"
    return ">99" if 0.99 < share < 1 else f"{100 * share:.0f}"
