"""`gradlab ls [PATH…]`: list the runs of a folder with state, verdicts and score, also those that cannot be read."""

import json
from argparse import RawDescriptionHelpFormatter
from typing import Any

from gradlab.commands.arguments import OUTPUTS, Arguments, place, words
from gradlab.recipe.printing import one_line
from gradlab.report.summary import aligned
from gradlab.report.terminal import say

HEADINGS = {
    "folder": "run",
    "state": "state",
    "signal_start": "signal",
    "signal_end": "at the end",
    "training": "training",
    "test_score": "test score",
}
MOST_CHOICES = 6  # a line has room for, beside the columns above
WHERE = """\
CONDITION is a list of comparisons COLUMN OPERATOR VALUE, joined by and, or, not and parentheses.
Columns are the choices (depth, clip, clip.threshold), signal, gain and decades (at the start of the
training), signal_end, gain_end, decades_end, training, score (of the test set), loss, state, seconds and
all others that `ls --json` prints. Operators are = != > >= < <= and ~ (contains). Words with spaces need
quotes: training="learned and lost it". What was not measured, or is NaN, satisfies no comparison and no
`not` of one; =none finds what was not measured and the option none, !=none all else."""
EPILOG = f"""\
example: gradlab ls big --failed
         gradlab ls big --where 'depth>20 and signal=vanishing' --sort -gain
         gradlab ls big --columns run,depth,lr,loss --json

{WHERE}"""
Row = dict[str, Any]


def arguments() -> Arguments:
    """The arguments of `gradlab ls`."""
    parser = Arguments("ls", epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "paths",
        nargs="*",
        type=place,
        metavar="PATH",
        help="the folder of a run, or of a study, as outputs/big or big; outputs if none is given",
    )
    parser.add_argument("--where", default="", metavar="CONDITION", help="only the runs that satisfy it")
    parser.add_argument(
        "--failed",
        action="store_true",
        help="only the runs that failed, were killed or interrupted, or cannot be read",
    )
    parser.add_argument(
        "--sort",
        default="",
        metavar="KEY",
        help="sort by a column, largest first with -KEY; empty cells last",
    )
    parser.add_argument(
        "--columns", type=words, default=[], metavar="KEYS", help="the columns to print, as run,depth,gain"
    )
    parser.add_argument("--json", action="store_true", help="print a list with one object per run")
    return parser


def main(argv: list[str]) -> int:
    """Print one line for each run at or below the paths, or below `outputs` if none is given.

    Raises:
        RecipeError: a path is no folder, or there is no such column, or the condition cannot be understood.
    """
    options = arguments().parse_args(argv)
    from gradlab.analysis.study import study_rows
    from gradlab.analysis.study_columns import sorted_rows

    every = study_rows(options.paths or [OUTPUTS])
    if not every and not options.json:
        say("there are no runs yet; start one with: gradlab run model=mlp depth=50 clip=norm")
        return 0
    rows = sorted_rows(chosen(every, options.where, options.failed), options.sort, every)
    if options.json:
        _print_json(rows, _columns(options.columns, every))
    else:
        _print_table(rows, _columns(options.columns, every), _columns([options.sort.lstrip("-")], every))
    return 0


def chosen(rows: list[Row], where: str, failed: bool) -> list[Row]:
    """The rows that satisfy a condition, if there is one, and of `failed` runs only."""
    from gradlab.analysis.study import FAILED
    from gradlab.analysis.where import select

    kept = select(rows, where) if where.strip() and rows else rows
    return [row for row in kept if row["state"] in FAILED or not failed]


def _columns(names: list[str], rows: list[Row]) -> dict[str, str]:
    """The columns with these names, short ones too, each with its heading."""
    from gradlab.analysis.study_columns import columns_of
    from gradlab.analysis.where import column_of

    known = columns_of(rows)
    return {column_of(name, known): name for name in names if name}


def _print_json(rows: list[Row], columns: dict[str, str]) -> None:
    from gradlab.store.json_safe import json_safe

    objects = [{name: row.get(name) for name in columns} if columns else row for row in rows]
    say(json.dumps(json_safe(objects), indent=2, ensure_ascii=False))


def _print_table(rows: list[Row], columns: dict[str, str], sort: dict[str, str]) -> None:
    """The runs, then those that cannot be read, each with the reason."""
    from gradlab.analysis.study_columns import differing_choices

    readable = [row for row in rows if row["state"] != "unreadable"]
    left_out: list[str] = []
    if not columns:
        choices = differing_choices(readable)
        shown, left_out = choices[:MOST_CHOICES], choices[MOST_CHOICES:]
        place, state, *results = HEADINGS
        names = [place, state, *shown, *(name for name in sort if name not in HEADINGS), *results]
        columns = {name: HEADINGS.get(name, sort.get(name, name)) for name in names}
    if readable:
        say(aligned([list(columns.values()), *([_cell(name, row) for name in columns] for row in readable)]))
    if left_out:
        note = f"the runs differ in {', '.join(left_out)} too; choose what is printed by --columns"
        say(one_line(note))
    for row in rows:
        if row["state"] == "unreadable":
            say(row["message"])
    if not rows:
        say("no run satisfies this")


def _cell(name: str, row: Row) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if name in ("train_score", "test_score", "gap") else f"{value:.4g}"
    return str(value)
