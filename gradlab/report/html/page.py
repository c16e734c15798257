"""The report of runs as one HTML file: what stands in it, and the file made of it.

The template escapes every text (`autoescape`), and what is no text is made here: the pictures, by a serializer of XML,
and the numbers, as JSON without `<`. A policy in the page's head forbids every request, and every script but its own.
"""

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

from gradlab import __version__
from gradlab.recipe import options
from gradlab.recipe.errors import RecipeError
from gradlab.report.html.choices import choices
from gradlab.report.html.curves import COURSES, PROFILES, as_json, budget, curves
from gradlab.report.html.evidence import rules
from gradlab.report.html.overview import in_order, labels, results
from gradlab.report.html.sections import Section, section
from gradlab.report.html.svg import Styles, style_sheet

if TYPE_CHECKING:
    from jinja2 import Template

    from gradlab.store.read import Problems, Run

FEW = 3  # runs of a page, up to which the section of each is open
SCRIPTS = ("numbers.js", "table.js", "heatmap.js", "explore.js")


class Question(NamedTuple):
    """What an experiment asks."""

    experiment: str
    text: str


def html(runs: "Sequence[Run]", problems: "Problems | None" = None) -> str:
    """The page of these runs; `problems` names those that have no result or cannot be read."""
    listed = in_order(list(runs))
    styles: Styles = {}
    sections = [section(run, number, styles) for number, run in enumerate(listed, start=1)]
    table = results(listed, sections, styles) if len(listed) > 1 else None
    style = _asset("uPlot.min.css") + _asset("page.css") + style_sheet(styles)
    lines = [*problems.unfinished, *problems.unreadable] if problems else []
    return _template().render(
        title=sections[0].name if len(sections) == 1 else f"{len(sections)} runs of {_studies(listed)}",
        version=__version__,
        question=question(listed),
        sections=sections,
        open_sections=len(sections) <= FEW,
        left_out=lines,
        counts=_counts(sections),
        table=table,
        choices=choices(listed),
        rules=rules(found.word for section in sections for found in section.evidence),
        data=as_json(_data(listed, sections)),
        style=style,
        scripts=_scripts(),
        policy=_policy(style),
        licence=_asset("uPlot.LICENSE"),
    )


def question(runs: "Sequence[Run]") -> Question | None:
    """The question of the experiment in whose study all the runs are; None where there is none."""
    studies = {str(run.recipe.get("study", "")) for run in runs}
    if len(studies) != 1:
        return None
    name = studies.pop()
    file = options.experiments().get(name)
    if file is None or f"\nstudy: {name}\n" not in file.read_text("utf-8", errors="replace"):
        return None
    return Question(name, options.question(file))


def _studies(runs: "Sequence[Run]") -> str:
    names = list(dict.fromkeys(run.folder.resolve().parent.name for run in runs))
    return names[0] if len(names) == 1 else f"{len(names)} studies"


def _counts(sections: Sequence[Section]) -> str:
    """`20 runs: 18 finished, 2 diverged`."""
    states = [section.state for section in sections]
    parts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{len(states)} run{'s' * (len(states) > 1)}: {parts}"


def _data(runs: "list[Run]", sections: list[Section]) -> dict[str, Any]:
    """What the page's script draws."""
    most, drawn = budget(len(runs)), []
    for run, shown, label in zip(runs, sections, labels(runs, sections), strict=True):
        try:
            facts = {
                "label": label,
                "short": shown.anchor.replace("-", " "),
                "seeds": int(run.recipe.get("seeds", 1)),
            }
            drawn.append(facts | curves(run, most))
        except RecipeError:  # its section says what is wrong
            continue
    return {"profiles": PROFILES, "courses": COURSES, "runs": drawn}


@cache
def _asset(name: str) -> str:
    return files("gradlab.report.html").joinpath(name).read_text("utf-8")


@cache
def _template() -> "Template":
    from jinja2 import BaseLoader, Environment, StrictUndefined

    environment = Environment(
        loader=BaseLoader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("page.html"))


def _scripts() -> list[str]:
    return [_asset("uPlot.iife.min.js"), *map(_asset, SCRIPTS)]


def _policy(style: str) -> str:
    """No request at all, and of styles and scripts only those whose digests stand here."""
    scripts = " ".join(map(_digest, _scripts()))
    return (
        f"default-src 'none'; script-src {scripts}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
