"""Several runs beside each other: their order, their labels, and their results as a table with its picture."""

from typing import TYPE_CHECKING, Any, NamedTuple

from gradlab.recipe.errors import RecipeError
from gradlab.report import comparability
from gradlab.report.comparison import MEASURING, Comparison, comparison_picture, distinguishing_keys
from gradlab.report.html.choices import text
from gradlab.report.html.sections import NO_VERDICT, Section
from gradlab.report.html.svg import Styles, svg
from gradlab.report.results_table import rounded
from gradlab.store.gather import names
from gradlab.store.read import whole

if TYPE_CHECKING:
    from gradlab.store.read import Run


class Table(NamedTuple):
    """Results of several runs: the headings, and the cells of each run with the place of its section."""

    headings: list[str]
    rows: list[tuple[str, list[str]]]
    sentences: list[tuple[str, str]]
    picture: str


def in_order(runs: "list[Run]") -> "list[Run]":
    """The runs by the choices that tell them apart: numbers by size, words in the order of the runs."""
    if len(runs) < 2 or (by := distinguishing_keys(runs, [])) == ["run"]:
        return runs
    columns = {key: [run.choices.get(key) for run in runs] for key in by}
    ranks = {key: _ranks(values) for key, values in columns.items()}
    places = sorted(range(len(runs)), key=lambda place: [ranks[key][place] for key in by])
    return [runs[place] for place in places]


def _ranks(values: list[Any]) -> list[float]:
    if all(isinstance(value, int | float) for value in values):
        return [float(value) for value in values]
    words = list(dict.fromkeys(map(str, values)))
    return [float(words.index(str(value))) for value in values]


def labels(runs: "list[Run]", sections: list[Section]) -> list[str]:
    """`run 3: depth 20, clip norm`: the choices that tell the runs apart."""
    if len(runs) == 1:
        return ["this run"]
    by = [key for key in distinguishing_keys(runs, []) if not key.startswith(MEASURING)]
    if by in ([], ["run"]):
        return [f"{shown.anchor.replace('-', ' ')}: {shown.name}" for shown in sections]
    return [
        f"{shown.anchor.replace('-', ' ')}: " + ", ".join(f"{key} {text(run.choices, key)}" for key in by)
        for run, shown in zip(runs, sections, strict=True)
    ]


def results(runs: "list[Run]", sections: list[Section], styles: Styles) -> Table | None:
    """The comparison of the runs that can be compared; None where fewer than two can."""
    judged = [pair for pair in zip(runs, sections, strict=True) if pair[1].words != [NO_VERDICT]]
    if len(judged) < 2:
        return None
    compared = [whole(run) for run, _ in judged]
    by = distinguishing_keys(compared, [])
    comparison = Comparison(compared, by)
    headings, *cells = rounded(comparison.results, by)
    by_name = dict(zip(names(compared), (section for _, section in judged), strict=True))
    ordered = [by_name[name] for name in comparison.results.run]
    return Table(
        [*headings, "state"],
        [(shown.anchor, [*row, shown.state]) for shown, row in zip(ordered, cells, strict=True)],
        [*_comparison_sentences(comparison), *_left_out(sections)],
        _comparison_svg(comparison, styles),
    )


def _comparison_sentences(comparison: Comparison) -> list[tuple[str, str]]:
    from gradlab.analysis.main_effects import sentence

    effects = [("effect", sentence(effects)) for effects in comparison.effects]
    return [*effects, *(("note", line) for line in comparability.differences(comparison.runs))]


def _left_out(sections: list[Section]) -> list[tuple[str, str]]:
    """That some runs are not in the table, and where they are."""
    places = [shown.anchor.replace("-", " ") for shown in sections if shown.words == [NO_VERDICT]]
    return [("note", f"not compared, because without a verdict: {', '.join(places)}")] if places else []


def _comparison_svg(comparison: Comparison, styles: Styles) -> str:
    """The picture of the comparison, "" where these runs have none."""
    try:
        figure = comparison_picture(comparison)
    except RecipeError:
        return ""
    description = "Profiles, losses and scores of all runs; the table below has their numbers."
    return svg(figure, "comparison", description, styles)
