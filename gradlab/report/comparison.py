"""Several runs as one table and one picture: which of their choices differ, and what each run came to."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.recipe.errors import RecipeError
from gradlab.report import comparability
from gradlab.report.drawing import drawn_rows
from gradlab.report.grouping import group_keys, pooled, with_joined_column
from gradlab.report.results_table import text_table
from gradlab.report.summary import is_synthetic

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gradlab.analysis.main_effects import MainEffects
    from gradlab.analysis.score import Score
    from gradlab.figures.comparison import Extras
    from gradlab.figures.factors import Maps
    from gradlab.store.read import Run

ALWAYS_PRESENT = ("run", "seed")  # columns that every frame has
MEASURING = ("log.", "eval.", "probes.", "snapshots.")


def requested_keys(runs: list["Run"], by: list[str]) -> list[str]:
    """The columns that hold the choices `by` (`clip` may mean `clip.name`); all that differ where `by` is empty.

    Raises:
        RecipeError: a word of `by` is a choice of no run.
    """
    from gradlab.store.gather import choices, column

    if not by:
        return distinguishing_keys(runs, [])
    columns = choices(runs, [word for word in by if word not in ALWAYS_PRESENT])
    return [word if word in ALWAYS_PRESENT else column(word, columns) for word in by]


def distinguishing_keys(runs: list["Run"], keys: list[str]) -> list[str]:
    """The choices in which runs differ and that no other implies, in the order of a recipe; `run` if there are none.

    They depend on the runs alone, not on the `keys` of a grid (but for its seeds): `run` and `compare` say the same.
    """
    from gradlab.analysis.study_columns import implied
    from gradlab.store.gather import choices

    columns = choices(runs)
    differing = [name for name in columns if not implied(name, columns)]
    unknown = any(None in columns[name] for name in differing)
    if unknown and any(run.is_foreign for run in runs):
        return ["run"]  # a choice that is not known of a run does not tell it apart
    return differing or (["seed"] if "seed" in keys else ["run"])


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several runs side by side by the choices `by`; each of its parts is computed when it is first used.

    chosen: whether a person has chosen `by`: then its first two choices are crossed, else those of the largest effect.
    """

    runs: list["Run"]
    by: list[str]
    target: float | None = None
    chosen: bool = False

    @cached_property
    def results(self) -> "pd.DataFrame":
        """One row per run (see `compare_runs`)."""
        from gradlab.analysis.comparison import compare_runs

        first = next((key for key in self.by if key not in ALWAYS_PRESENT), "")
        return compare_runs(self.runs, first, self.target)

    @cached_property
    def drawn_runs(self) -> list["Run"]:
        """The runs of one study by the names of their folders, so that the picture does not depend on their order."""
        one_study = len({run.folder.parent for run in self.runs}) == 1
        return sorted(self.runs, key=lambda run: run.folder.name) if one_study else self.runs

    @cached_property
    def layers(self) -> "pd.DataFrame":
        """The layers of all runs at the first and the last step."""
        return self._gathered("layers", self.drawn_runs)

    @cached_property
    def steps(self) -> "pd.DataFrame":
        """The evaluations of all runs."""
        return self._gathered("steps", self.drawn_runs)

    @cached_property
    def times(self) -> "pd.DataFrame | None":
        """The time steps of the recurrent networks among the runs at the first and the last step; None without any."""
        recurrent = [run for run in self.drawn_runs if (run.folder / "times").is_dir()]
        rows = self._gathered("times", recurrent) if recurrent else None
        return None if rows is None or rows.empty else rows

    def _gathered(self, table: str, runs: list["Run"]) -> "pd.DataFrame":
        from gradlab.store.gather import gather

        return gather(runs, table, [key for key in self.by if key not in ALWAYS_PRESENT], drawn_rows(table))

    @cached_property
    def score(self) -> "Score | None":
        """The score of all runs; None where they have none in common."""
        from gradlab.analysis.score import score_of

        if any(run.is_foreign for run in self.runs):  # whose task is not known
            return None
        scores = [score_of(run.status["data"]) for run in self.runs]
        return scores[0] if len({metric.name for metric in scores}) == 1 else None

    @cached_property
    def varying(self) -> list[str]:
        """The choices that differ, that no other implies, and that are of training, not of measuring."""
        keys = distinguishing_keys(self.runs, [])
        return [key for key in keys if key != "run" and not key.startswith(MEASURING)]

    @cached_property
    def factors(self) -> list[str]:
        """The same without the seeds, which make replicates."""
        return [key for key in self.varying if key not in ("seed", "seeds")]

    @cached_property
    def outcomes(self) -> "pd.DataFrame":
        """One row per run and seed: choices, gain, decades and score."""
        from gradlab.analysis.outcomes import run_outcomes, seed_outcomes

        if (self.results.seeds == 1).all():
            return run_outcomes(self.results, self.score)
        return seed_outcomes(self.results, self.layers, self.steps, self.score)

    @cached_property
    def effects(self) -> list["MainEffects"]:
        """What share of the differences between runs each choice explains, for each outcome that varies."""
        from gradlab.analysis.main_effects import main_effects
        from gradlab.analysis.outcomes import OUTCOMES

        try:
            outcomes = self.outcomes
        except RecipeError:  # without the probe of the backward signal: the table says it
            return []
        found = [main_effects(outcomes, outcome, self.factors) for outcome in OUTCOMES]
        return [effects for effects in found if effects]

    @cached_property
    def crossed(self) -> list[str]:
        """The two choices whose combinations are drawn as maps; empty where there are no two that cross."""
        from gradlab.store.gather import choices

        keys = [key for key in self.by if key in self.factors]
        if len(keys) > 2 and not self.chosen:
            largest = sorted(keys, key=lambda key: -self.largest_share(key))[:2]
            keys = [key for key in keys if key in largest]
        keys = keys[:2]
        if len(keys) < 2:
            return []
        rows, columns = (list(map(str, choices(self.runs)[key])) for key in keys)
        combinations = set(zip(rows, columns, strict=True))
        return keys if len(combinations) > max(len(set(rows)), len(set(columns))) else []

    def largest_share(self, key: str) -> float:
        """The largest share of an outcome that a choice explains; 0 where none is known."""
        return max(
            (effects.shares[key].value for effects in self.effects if key in effects.shares), default=0.0
        )


def report_text(comparison: Comparison, most_lines: int = 0) -> str:
    """The table of a comparison, its main effects, and what cannot be compared.

    `most_lines`: a table of more lines is left out, and `ls` named instead; 0: of any number.
    """
    from gradlab.analysis.main_effects import sentence

    runs = comparison.runs
    if 0 < most_lines < len(runs):
        table = f"table       gradlab ls {runs[0].folder.parent} lists the {len(runs)} runs"
    else:
        table = text_table(comparison.results, comparison.by)
    lines = [("effects", sentence(effects)) for effects in comparison.effects]
    lines += [("note", line) for line in comparability.differences(runs)]
    return "\n".join([table, *(f"{name:<11} {line}" for name, line in lines)])


def comparison_picture(comparison: Comparison) -> "Figure":
    """The picture of a comparison, as what varies demands: with maps where two choices cross."""
    from gradlab.figures.comparison import comparison as draw

    keys = group_keys(comparison)
    name = ", ".join(keys)
    layers, steps = (with_joined_column(table, keys) for table in (comparison.layers, comparison.steps))
    maps = _maps(comparison)
    synthetic = "synthetic data" if any(map(is_synthetic, comparison.runs)) else ""
    title = "\n".join(filter(None, [synthetic, pooled(comparison, keys, maps)]))
    return draw(layers, steps, name, title, comparison.score, _extras(comparison, keys, maps))


def _extras(comparison: Comparison, keys: list[str], maps: "Maps | None") -> "Extras":
    from gradlab.figures.comparison import Extras

    times = comparison.times
    losses = comparability.unlike_losses(comparison.runs)
    return Extras(
        times=None if times is None else with_joined_column(times, keys),
        maps=maps,
        relative_depth=comparability.unlike_layers(comparison.runs),
        no_losses=f"not compared: {losses}" if losses else "",
        foreign=any(run.is_foreign for run in comparison.runs),
    )


def _maps(comparison: Comparison) -> "Maps | None":
    from gradlab.figures.factors import Maps
    from gradlab.store.gather import names

    if not comparison.crossed or comparison.results.signal_start.isna().all():  # without the probe: no gain
        return None
    row, column = comparison.crossed
    order = {name: index for index, name in enumerate(names(comparison.drawn_runs))}
    try:
        outcomes = comparison.outcomes.sort_values("run", key=lambda runs: runs.map(order), kind="stable")
        return Maps(outcomes, row, column, comparison.score)
    except RecipeError:  # without the probe of the backward signal: the table says it
        return None


def comparison_path(runs: list["Run"], by: list[str], suffix: str = "png", kind: str = "comparison") -> Path:
    """The picture's file: `outputs/study/comparison-depth-clip.png`; a folder higher for runs of several studies."""
    studies = {run.folder.resolve().parent for run in runs}
    folder = runs[0].folder.parent if len(studies) == 1 else runs[0].folder.parent.parent
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", "-".join([kind, *by]))[:80]
    return folder / f"{stem}.{suffix}"
