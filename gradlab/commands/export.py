"""`gradlab export PATH…`: write stored runs for TensorBoard or Weights & Biases."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gradlab.commands.arguments import Arguments, path_arguments, tell_problems
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line
from gradlab.report.terminal import say

if TYPE_CHECKING:
    from gradlab.store.read import Run

    Write = Callable[[Run, Path, bool], Iterator[Path]]

TOOLS = ("tensorboard", "wandb")
EPILOG = """\
example: gradlab export outputs/default --to tensorboard
         gradlab export big outputs/default/mlp-d50-tanh-orthogonal-b6b809fd --to wandb --out shared

then:    tensorboard --logdir exports
         wandb sync exports/wandb/offline-run-*

Each number of a step is a scalar `steps/COLUMN`, each of a layer `COLUMN/LAYER`; norms and signals are log10."""


def arguments() -> Arguments:
    """The arguments of `gradlab export`."""
    parser = path_arguments("export", EPILOG)
    parser.add_argument(
        "--to", choices=TOOLS, required=True, help="the tool that reads the files; wandb's are offline runs"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("exports"), metavar="FOLDER", help="write here instead of exports/"
    )
    parser.add_argument("--force", action="store_true", help="replace what an earlier export has written")
    return parser


def main(argv: list[str]) -> int:
    """Write every run at or below the paths, and print the folders.

    Raises:
        RecipeError: the tool's package is missing, or a run cannot be read or its folder exists; the others are
            written before.
    """
    options = arguments().parse_args(argv)
    from gradlab.store.read import read_each, whole

    write = writer(options.to)

    def export(run: "Run") -> None:
        for path in write(whole(run), options.out, options.force):
            say(one_line(path))

    _, problems = read_each(options.paths, export)
    tell_problems("export", problems)
    return 0


def writer(tool: str) -> "Write":
    """The function that writes a run for a tool; its package is imported here, because it is slow and an extra.

    Raises:
        RecipeError: the package is not installed.
    """
    try:
        module = import_module(f"gradlab.report.export.{tool}")
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != tool:
            raise
        raise RecipeError(
            f"--to {tool} needs the package {tool}: pip install 'gradlab-jax[{tool}]'"
        ) from None
    write: Write = module.write
    return write
