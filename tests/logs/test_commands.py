"""Every command over runs that gradlab has not trained: no warning, no traceback, no empty panel, no wrong title."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import gradlab
from gradlab.commands.main import main
from gradlab.report.comparison import Comparison, comparison_picture, requested_keys
from gradlab.report.pictures import default_names, named_figures
from gradlab.store.read import collect, open_run
from tests import runs
from tests.logs.writing import SAMPLES, long_rows, write_csv

KINDS = ("canonical", "gradients", "steps", "loss", "recorded")


def made(kind: str) -> Path:
    """A run of this kind in outputs/mine/KIND."""
    folder = Path("outputs/mine") / kind
    if kind == "recorded":
        with gradlab.Recorder(
            folder, layers=["in", "h.0", "h.1", "h.2", "out"], known={"lr": 0.1}
        ) as recorder:
            for step in range(20):
                row = {"log10_backward": np.linspace(-1, 0, 5), "log10_gradient": np.zeros(5)}
                recorder.write(
                    step, row, loss=2 / (1 + step), log10_gradient=0.1 * (step % 3), learning_rate=0.1
                )
        return folder
    rows = {
        "canonical": long_rows(range(0, 50, 10), log10_gradient=lambda step, layer: 0.1 * layer),
        "gradients": [{"step": s} | {f"grad_norm/{l}": 1.0 + s + l for l in range(6)} for s in range(5)],
        "loss": [{"step": s, "loss": 1.0 / (1 + s)} for s in range(9)],
    }
    path = SAMPLES / "trainer_state.json" if kind == "steps" else write_csv(Path(f"{kind}.csv"), rows[kind])
    assert main(["ingest", str(path), "--study", "mine", "--name", kind]) == 0
    return folder


def panels(figure) -> dict[str, int]:
    """The panels by their titles, with their numbers of lines and images; a panel with a note in it is empty."""
    axes = [panel for panel in figure.axes if panel.get_title(loc="left")]
    assert not [text.get_text() for panel in axes for text in panel.texts]
    return {panel.get_title(loc="left"): len(panel.lines) + len(panel.collections) for panel in axes}


DRAWN = {
    "canonical": {"profile": 2, "heatmap": 1, "training": 1},
    "gradients": {"profile": 1},
    "steps": {"training": 4},
    "loss": {"training": 1},
    "recorded": {"profile": 2, "heatmap": 1, "training": 3},
}


@pytest.mark.few(3)
@pytest.mark.parametrize("kind", KINDS)
def test_each_figure_has_only_panels_with_something_in_them(kind):
    run = open_run(made(kind))
    for name, figure in named_figures(run):
        drawn = panels(figure)
        assert len(drawn) == DRAWN[kind][name]
        assert all(drawn.values())
        assert figure.get_suptitle().startswith(f"{kind} · ")
        assert not {"tanh", "orthogonal", "digits", "mlp"} & set(figure.get_suptitle().split())
    assert default_names(run) == list(DRAWN[kind])


@pytest.mark.few(3)
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_reads_a_run_that_gradlab_has_not_trained(kind, capsys):
    folder = made(kind)
    commands = ["plot", "diagnose", "diagnose --json", "ls", "ls --json", "fsck", "fsck --repair"]
    commands += ["suggest-clip", "suggest-clip --json"] if kind != "loss" else []
    for command in commands:
        name, *flags = command.split()
        assert main([name, str(folder), *flags]) == 0, command
        assert capsys.readouterr().err == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(gradlab.load(folder, "steps"))
        assert gradlab.study(folder).training.tolist() == ["not judged"]
    assert main(["rm", str(folder), "--yes"]) == 0
    assert not folder.exists()


def test_a_figure_that_the_log_has_nothing_for_is_refused_in_one_line(capsys):
    assert main(["plot", str(made("gradients")), "--kind", "heatmap"]) == 2
    assert capsys.readouterr().err.endswith("has no figure 'heatmap': its log has no log10_backward\n")
    assert main(["plot", str(made("loss")), "--kind", "profile"]) == 2
    assert capsys.readouterr().err.endswith(
        "has no figure 'profile': its log left the table 'layers' empty\n"
    )
    assert main(["plot", "outputs/mine/gradients", "--column", "log10_gradient"]) == 0


def compared(*kinds: str, own: bool = False) -> tuple[dict[str, int], list[dict]]:
    """The panels of the picture of these runs, beside one of gradlab's own, and their results."""
    paths = [made(kind) for kind in kinds]
    if own:
        paths.append(runs.simple(Path("outputs/mine/own")))
    comparison = Comparison(collect(paths), requested_keys(collect(paths), []))
    return panels(comparison_picture(comparison)), comparison.results.to_dict("records")


def test_a_comparison_of_logs_has_what_the_logs_have(capsys):
    drawn, rows = compared("canonical", "recorded")
    assert list(drawn) == [
        "Backward signal at the start",
        "Backward signal after the last step",
        "Minibatch loss",
    ]
    assert [row["training"] for row in rows] == ["not judged"] * 2
    assert list(compared("steps", "loss")[0]) == ["Minibatch loss", "Evaluation loss"]
    for form in ("csv", "latex", "markdown", "json"):
        assert main(["compare", "outputs/mine", "--to", form]) == 0
    capsys.readouterr()
    assert main(["compare", "outputs/mine"]) == 0
    text = capsys.readouterr().out
    assert "only what was recorded is known, not task, loss function or chance level" in text
    assert "to target" not in text


def test_a_comparison_with_a_run_of_gradlab_compares_minibatch_losses(capsys):
    drawn, rows = compared("canonical", "gradients", own=True)
    assert list(drawn) == [
        "Backward signal at the start",
        "Backward signal after the last step",
        "Minibatch loss",
        "Evaluation loss",
    ]
    assert sorted(str(row["target"]) for row in rows) == ["1.1512925", "nan", "nan"]
    assert main(["compare", "outputs/mine", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.partition("\n[")[2].join(["[", ""]))
    assert {row["run"]: row["training"] for row in found} == {
        "canonical": "not judged",
        "gradients": "not judged",
        "own": "learned",
    }


@pytest.mark.parametrize(
    ("choices", "by"), [((["lr=1"], ["lr=2"]), ["lr"]), ((["lr=1"], []), ["run"]), (([], []), ["run"])]
)
def test_runs_are_told_apart_by_choices_that_are_known_of_all(choices, by):
    write_csv(Path("log.csv"), long_rows())
    for number, words in enumerate(choices):
        assert main(["ingest", "log.csv", "--name", f"run{number}", *words]) == 0
    found = collect("outputs/ingested")
    assert requested_keys(found, []) == by
    assert requested_keys([*found, *collect(runs.simple(Path("own")))], []) == ["run"]


def test_ls_chooses_among_stated_choices(capsys):
    write_csv(Path("log.csv"), long_rows())
    for number, rate in enumerate((0.1, 0.2)):
        assert main(["ingest", "log.csv", "--name", f"run{number}", f"lr={rate}"]) == 0
    capsys.readouterr()
    assert main(["ls", "ingested", "--where", "lr>0.15 and signal=vanishing", "--columns", "run,lr"]) == 0
    assert capsys.readouterr().out.split() == ["run", "lr", "run1", "0.2"]


@pytest.mark.parametrize("edited", ["recipe.yaml", "status.json"])
def test_files_that_are_not_of_one_run_are_refused(edited, tmp_path, capsys):
    """An own run's status beside what is known of a log, or the other way round; without digests, as of schema 3."""
    foreign, own = made("loss"), runs.simple(tmp_path / "own")
    status = json.loads((foreign / "status.json").read_text())
    (foreign / "status.json").write_text(
        json.dumps({k: v for k, v in status.items() if k not in ("files", "digest")})
    )
    (foreign / edited).write_text((own / edited).read_text())
    assert main(["diagnose", str(foreign)]) == 2
    error = capsys.readouterr().err
    assert "are not of one run" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ("origin: {}", "origin has no source"),
        ("origin: here", "origin has no source"),
        ("origin: {source: a, digest: [1]}", "origin.digest is [1]"),
        ("origin: {source: 'a\\n\\nb'}", "origin has no source"),
        ("origin: {source: a}\nlr: -1", "lr is -1"),
        ("origin: {source: a}\nclip: norm", "it has no clip"),
        ("origin: {source: a}\nclip: {name: norm, threshold: high}", "clip.threshold is 'high'"),
        ("origin: {source: a}\nmood: good", "'mood' is no part of a recipe"),
    ],
)
def test_a_recipe_of_others_is_checked(recipe, problem, capsys):
    folder = made("loss")
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(
        json.dumps({k: v for k, v in status.items() if k not in ("files", "digest")})
    )
    (folder / "recipe.yaml").write_text(recipe.replace("'a\\n\\nb'", "1"))
    assert main(["diagnose", str(folder)]) == 2
    error = capsys.readouterr().err
    assert problem in error
    assert error.count("\n") == 1
