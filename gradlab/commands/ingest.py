"""`gradlab ingest FILE…`: store logs of other programs, as PyTorch, Lightning, Hugging Face, as runs of gradlab."""

from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.arguments import OUTPUTS, Arguments
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.logs.ingest import Ingested
    from gradlab.logs.log import Log

MEASURES = ("gradient", "backward", "forward", "weight", "update")
UNITS = ("norm", "squared", "log10", "ln")
EPILOG = """\
example: gradlab ingest norms.csv
         gradlab ingest trainer_state.json --study finetuning --name first optimizer=adamw lr=0.0001
         gradlab ingest lightning_logs/version_0/metrics.csv clip=norm clip.threshold=1
         gradlab ingest norms.parquet --layer-column module --value g2 --measure gradient --unit squared
         gradlab ingest history.jsonl --value 'gradients/*' --measure gradient --unit norm

A file has a row for each step and layer, or a column for each layer, as grad_norm/layers.3.weight; one with the columns
step, layer, log10_forward, log10_backward, log10_gradient, log10_weight and loss needs no option. What is known of the
training may be stated as KEY=VALUE, and is shown with the results. docs/logs.md describes the formats."""


def arguments() -> Arguments:
    """The arguments of `gradlab ingest`."""
    parser = Arguments("ingest", epilog=EPILOG, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "words",
        nargs="+",
        metavar="FILE",
        help="a log: CSV, JSONL, JSON, Parquet, an event file of TensorBoard or a folder of these; or KEY=VALUE",
    )
    parser.add_argument("--step-column", default="", metavar="COLUMN", help="the column of training steps")
    parser.add_argument(
        "--layer-column",
        default="",
        metavar="COLUMN",
        help="the column of the layers' names, where each has a row",
    )
    parser.add_argument(
        "--value",
        default="",
        metavar="COLUMN",
        help="the column of values; where each layer has its own column, with * for the layer's name",
    )
    parser.add_argument(
        "--measure",
        default="",
        choices=MEASURES,
        help="what the values measure, if their name does not say it",
    )
    parser.add_argument(
        "--unit",
        default="",
        choices=UNITS,
        help="what the values are, if their name does not say it: squared norms, …",
    )
    parser.add_argument(
        "--study",
        default="ingested",
        metavar="NAME",
        help="store below outputs/NAME; outputs/ingested if not given",
    )
    parser.add_argument(
        "--name", default="", metavar="NAME", help="the name of the run; that of the file if not given"
    )
    parser.add_argument("--force", action="store_true", help="replace the run of this name")
    return parser


def main(argv: list[str]) -> int:
    """Store each log as a run, and print what was read and its verdicts.

    Raises:
        RecipeError: a log cannot be read or understood; the others are stored before.
    """
    options = arguments().parse_intermixed_args(argv)
    from gradlab.logs.ingest import ingest, run_name
    from gradlab.logs.known import known_parts, parsed
    from gradlab.logs.roles import Stated

    paths, stated_words = _sorted_words(options.words)
    known = known_parts(parsed(stated_words))
    stated = Stated(options.step_column, options.layer_column, options.value, options.measure, options.unit)
    _require_names(options.study, options.name, paths)
    errors = []
    for path in paths:
        folder = Path(OUTPUTS) / options.study / (options.name or run_name(path))
        try:
            _report(path, ingest(path, folder, stated, known, options.force))
        except RecipeError as error:
            errors.append(str(error))
    if errors:
        raise RecipeError(*errors)
    return 0


def _sorted_words(words: list[str]) -> tuple[list[Path], list[str]]:
    """The files, and what is stated as KEY=VALUE.

    Raises:
        RecipeError: there is no file.
    """
    stated = [word for word in words if "=" in word and not Path(word).exists()]
    paths = [Path(word) for word in words if word not in stated]
    if not paths:
        raise RecipeError("no file was given; give a log, as norms.csv")
    return paths, stated


def _require_names(study: str, name: str, paths: list[Path]) -> None:
    if name and len(paths) > 1:
        raise RecipeError(
            f"--name {name} is the name of one run, and {len(paths)} files were given; leave it out"
        )
    for option, word in (("--study", study), ("--name", name)):
        if word in (".", "..") or "/" in word or word != one_line(word) or (option == "--study" and not word):
            raise RecipeError(f"{option} {word} must be the name of a folder, without /")


def _report(path: Path, done: "Ingested") -> None:
    """Print where a log is stored, what was read, and its verdicts."""
    from gradlab.analysis.sentences import of_diagnosis
    from gradlab.analysis.verdict_run import VerdictRun
    from gradlab.analysis.verdicts import diagnose
    from gradlab.store.read import open_run

    if done.log is None:
        say(one_line(f"{path} is stored in {done.folder} already; --force reads it again"))
        return
    run = open_run(done.folder)
    # of a large log few rows are read, and causes, which rest on all of them, are left to `gradlab diagnose`
    diagnosis = diagnose(VerdictRun(run.folder, run.recipe, run.status))
    verdicts = [line for line in of_diagnosis(diagnosis) if line[0] != "cause"]
    lines = [("stored", str(done.folder)), *_contents(done.log), *verdicts]
    say("\n".join([one_line(path), *(f"  {label:<11} {one_line(line)}" for label, line in lines)]))


def _contents(log: "Log") -> list[tuple[str, str]]:
    steps = f"{len(log.steps)} steps from {log.steps[0]} to {log.steps[-1]}"
    layers = (
        f"{len(log.layers)} layers from {log.layers[0]} to {log.layers[-1]}" if log.layers else "no layers"
    )
    columns = ", ".join(
        name if name == origin else f"{name} of {origin}" for name, origin in log.origins.items()
    )
    return [("read", f"{steps}; {layers}"), ("columns", columns), *(("note", note) for note in log.notes)]
