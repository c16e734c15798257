"""A study in a terminal: a line for each run, or two where the terminal is narrow."""

import math
from typing import Any

from rich.cells import set_cell_size
from rich.console import Group, RenderableType
from rich.text import Text

from gradlab.recipe.printing import one_line, printable
from gradlab.report.study_table import duration
from gradlab.report.watch.drawing import Space, fitted
from gradlab.report.watch.followed import Seen
from gradlab.report.watch.run_view import words_so_far
from gradlab.report.watch.studied import Member, Study, is_over

# headings of the columns with their widths; the name stands between the state and these, the verdict behind them
STATE, COLUMNS, LEAST_VERDICT = 11, {"step": 15, "loss": 8, "score": 6, "time": 7}, 16
LEAST_NAME = 24
MOST_COMPARED = 50  # runs whose choices are compared, though fewer may be shown
CURSOR, NO_CURSOR = ">", " "


def study_view(study: Study, space: Space, now: float, chosen: Member | None = None) -> RenderableType:
    """The whole view; `now` in seconds of the system's clock; the line of the `chosen` member is marked."""
    members = study.ordered()
    selected = next((index for index, member in enumerate(members) if member is chosen), 0)
    two_lines = space.width < STATE + LEAST_NAME + _width_of_numbers() + LEAST_VERDICT
    room = max((space.height - 3) // (2 if two_lines else 1), 1)
    first = min(max(selected - room + 1, 0), max(len(members) - room, 0))
    shown = members[first : first + room]
    labels = study.labels(members[: max(first + room, MOST_COMPARED)])
    shown_labels = [labels[member.folder] for member in shown]
    longest = max((len(label) for label in shown_labels), default=0)
    name = (
        space.width
        if two_lines
        else min(longest, space.width - STATE - _width_of_numbers() - LEAST_VERDICT - 5)
    )
    lines = [Text(printable(one_line(f"{summary(study)} · {study.path}")), style="bold")]
    heading = {key: key for key in (*COLUMNS, "state", "verdict")}
    lines += [Text(line, style="dim") for line in _lines(NO_CURSOR, "run", heading, name, two_lines)[-1:]]
    for index, member in enumerate(shown, first):
        cursor = CURSOR if index == selected else NO_CURSOR
        written = _lines(cursor, labels[member.folder], cells(study, member, now), name, two_lines)
        lines += [Text(line, style="bold" if index == selected else "") for line in written]
    if hidden := len(members) - len(shown):
        lines.append(Text(f"  and {hidden} more"))
    return Group(*(fitted(line, space.width) for line in lines))


def summary(study: Study) -> str:
    """`24 runs: 2 running, 20 finished, 2 diverged`."""
    counts = study.counts()
    words = ", ".join(
        f"{count} {state}" for state, count in sorted(counts.items(), key=lambda item: -item[1])
    )
    return f"{counts.total()} run{'s' * (counts.total() != 1)}: {words}"


def cells(study: Study, member: Member, now: float) -> dict[str, str]:
    """The cells of a member's line by their headings."""
    seen = member.followed.seen if member.followed else None
    if member.is_written:
        return _cells_so_far(seen, now) if seen else {"state": member.state}
    if not is_over(member):
        return {"state": member.state, "verdict": member.problem}
    return _cells_of_row(member.state, study.row(member))


def _cells_so_far(seen: Seen, now: float) -> dict[str, str]:
    loss = seen.last("loss")
    scores = seen.scores()[1]
    seconds = seen.seconds(now)
    return {
        "state": "compiling" if seen.is_compiling else seen.state,
        "step": f"{seen.done}" if seen.total is None else f"{seen.done}/{seen.total}",
        "loss": f"{loss[0]:.3g}" if loss else "",
        "score": f"{scores['test']:.2f}" if "test" in scores else "",
        "verdict": words_so_far(seen),
        "time": "" if seconds is None else duration(seconds),
    }


def _cells_of_row(state: str, row: dict[str, Any]) -> dict[str, str]:
    loss, score, seconds = (_number(row.get(name)) for name in ("train_loss", "test_score", "seconds"))
    steps, total = row.get("steps_done"), row.get("steps")
    return {
        "state": state,
        "step": "" if steps is None else f"{steps}" if total is None else f"{steps}/{total}",
        "loss": "" if loss is None else f"{loss:.3g}",
        "score": "" if score is None or math.isnan(score) else f"{score:.2f}",
        "verdict": ", ".join(filter(None, [row.get("signal_end"), row.get("training")])),
        "time": "" if seconds is None else duration(seconds),
    }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _width_of_numbers() -> int:
    return sum(COLUMNS.values()) + len(COLUMNS)


def _lines(cursor: str, label: str, by_heading: dict[str, str], name: int, two_lines: bool) -> list[str]:
    """A member's line, or its state and name and below these the rest."""
    words = {key: printable(one_line(text)) for key, text in by_heading.items()}
    numbers = " ".join(_cell(words.get(key, ""), width) for key, width in COLUMNS.items())
    state, verdict = _cell(words.get("state", ""), STATE), words.get("verdict", "")
    label = printable(one_line(label))
    if two_lines:
        return [f"{cursor} {state} {label}", f"    {numbers} {verdict}"]
    return [f"{cursor} {state} {_cell(label, name)} {numbers} {verdict}"]


def _cell(text: str, width: int) -> str:
    """The text in a column of this width, its middle left out where it is longer."""
    if len(text) > width:
        end = (width - 1) // 2
        text = f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
    return set_cell_size(text, width)
