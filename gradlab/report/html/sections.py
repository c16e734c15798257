"""One run in the report: its state, its verdicts with what they rest on, its pictures, and what it was made with.

A run that is running, was killed or failed is shown with what it has: what is missing is said in one line.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from gradlab.analysis.results import Diagnosis, Sentences
from gradlab.analysis.sentences import of_diagnosis
from gradlab.analysis.verdicts import diagnose, missing_theory
from gradlab.recipe.errors import RecipeError
from gradlab.report import pictures
from gradlab.report.html.command import command
from gradlab.report.html.evidence import Evidence, evidence
from gradlab.report.html.svg import Styles, svg
from gradlab.report.summary import cost, describe, prices

if TYPE_CHECKING:
    from gradlab.store.read import Run

STATES = {
    "running": "it is still running: these are its rows so far",
    "killed": "its process was killed: these are the rows that it had written",
    "failed": "it failed: these are the rows that it had written",
    "interrupted": "it was interrupted: these are its rows so far",
    "diverged": "its loss became infinite or NaN",
    "stopped": "it ended before its last step, by a rule of its recipe",
}
NO_VERDICT = "no verdict"


class Picture(NamedTuple):
    """A figure of a run; `caption` says what it shows."""

    name: str
    caption: str
    svg: str


class Section(NamedTuple):
    """What the report says of one run; `anchor` is the name of its place in the page."""

    anchor: str
    name: str
    description: str
    state: str
    notes: list[str]
    words: list[str]
    sentences: Sentences
    evidence: list[Evidence]
    pictures: list[Picture]
    provenance: dict[str, str]
    command: str
    foreign: bool


def section(run: "Run", number: int, styles: Styles) -> Section:
    """The section of a run, the `number`-th of its report; the styles of its pictures are added to `styles`."""
    state = str(run.status["state"])
    notes = [f"{state}: {STATES[state]} ({run.progress})"] if state in STATES else []
    if message := str(run.status.get("message") or ""):
        notes.append(message)
    diagnosis, problem = _diagnosis(run)
    sentences = of_diagnosis(diagnosis) if diagnosis else [(NO_VERDICT, problem)]
    if diagnosis and not run.is_foreign and (reason := missing_theory(run)):
        sentences.append(("theory", reason))
    drawn, undrawn = _pictures(run, f"run{number}", sentences, styles)
    return Section(
        anchor=f"run-{number}",
        name=run.name,
        description=describe(run.recipe, run.status.get("used")),
        state=state,
        notes=[*notes, *undrawn],
        words=_words(diagnosis),
        sentences=sentences,
        evidence=evidence(diagnosis) if diagnosis else [],
        pictures=drawn,
        provenance=provenance(run),
        command=command(run.recipe),
        foreign=run.is_foreign,
    )


def _diagnosis(run: "Run") -> tuple[Diagnosis | None, str]:
    """The verdicts, or why there are none."""
    try:
        return diagnose(run), ""
    except RecipeError as error:
        return None, str(error)


def _words(diagnosis: Diagnosis | None) -> list[str]:
    """The verdicts at the start, at the end if it is another, and of the training."""
    if diagnosis is None:
        return [NO_VERDICT]
    signals = [verdict.verdict for verdict in (diagnosis.signal_start, diagnosis.signal_end) if verdict]
    return [*dict.fromkeys(signals), diagnosis.training.verdict]


def _pictures(
    run: "Run", prefix: str, sentences: Sentences, styles: Styles
) -> tuple[list[Picture], list[str]]:
    """The figures that `gradlab run` draws, and why others are left out."""
    said = "; ".join(f"{label}: {text}" for label, text in sentences)
    try:
        names = pictures.default_names(run)
        drawn = [
            Picture(name, text, svg(figure, f"{prefix}-{name}", f"{name}. {text} {said}", styles))
            for name, figure in pictures.named_figures(run, names)
            if (text := caption(name))
        ]
    except RecipeError as error:
        return [], [f"no pictures: {error}"]
    return drawn, []


def caption(name: str) -> str:
    """The first sentence that its module says of a figure."""
    text = (import_module(f"gradlab.figures.{name}").__doc__ or name).partition("\n\n")[0]
    return " ".join(text.split())


def provenance(run: "Run") -> dict[str, str]:
    """What a run was made with, by label: what is not known is left out."""
    status: dict[str, Any] = run.status
    versions = status.get("versions") or {}
    seeds = [int(run.recipe.get("seed", 0)), int(run.recipe.get("seeds", 1))]
    rows = {
        "folder": f"{run.folder.resolve().parent.name}/{run.name}",
        "state": f"{status['state']} ({run.progress})",
        "started": str(status.get("started", "")),
        "data": str((status.get("data") or {}).get("source", "")),
        "seeds": "" if run.is_foreign else _seeds(*seeds),
        "parameters": _count(status.get("parameters")),
        "device": _device(status),
        "time": _cost(status),
        "memory": f"{status['memory_mib']:.0f} MiB at most" if status.get("memory_mib") else "",
        "operations": f"{_count(status.get('flops_per_step'))} per step"
        if status.get("flops_per_step")
        else "",
        "probes": prices(status) if _has_times(status) else "",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return {label: text for label, text in rows.items() if text}


def _seeds(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first} to {first + count - 1}"


def _count(number: int | None) -> str:
    return f"{number:,}".replace(",", " ") if number else ""


def _device(status: dict[str, Any]) -> str:
    kinds = dict.fromkeys(str(status[key]) for key in ("device", "device_kind") if status.get(key))
    return ", ".join(kinds)


def _has_times(status: dict[str, Any]) -> bool:
    return all(status.get(key) is not None for key in ("seconds", "compile_seconds"))


def _cost(status: dict[str, Any]) -> str:
    return cost(status) if _has_times(status) and "threads" in status and "device" in status else ""
