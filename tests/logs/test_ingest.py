"""What `gradlab ingest` reads is what stands in the file: against a reader that goes cell by cell."""

import errno
import json
import random
import shlex
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gradlab
from gradlab.commands.ingest import EPILOG
from gradlab.commands.ingest import main as ingest_main
from gradlab.commands.main import main
from gradlab.recipe.errors import RecipeError
from gradlab.store.read import open_run
from tests.logs.writing import long_rows, read_slowly, same, stored, write_csv

SPELT = ["nan", "inf", "-inf", "NaN", "1e-30", "-12.5", ""]


def ingested(path, *words: str):
    """The stored run of a log."""
    assert main(["ingest", str(path), *words]) == 0
    (folder,) = Path("outputs/ingested").iterdir()
    return open_run(folder)


def random_table(seed: int) -> list[dict]:
    """A canonical table with all that a cell may hold, steps that are irregular and unsorted, and rows left out."""
    random.seed(seed)
    cell = lambda *_: random.choice([*SPELT, f"{random.gauss(0, 5):.6f}", f"{random.gauss(0, 5):.6f}"])
    rows = long_rows((0, 3, 4, 100, 7), 7, log10_backward=cell, log10_gradient=cell, log10_weight=cell)
    return random.sample(rows, len(rows) - 5)


@pytest.mark.parametrize("seed", range(4))
def test_each_cell_is_stored_as_it_stands_in_the_file(seed):
    path = write_csv(Path("log.csv"), random_table(seed))
    run = ingested(path)
    for name in ("log10_backward", "log10_gradient", "log10_weight"):
        assert same(stored(run.layers, name), read_slowly(path, name))
    assert run.layers.log10_forward.isna().all()
    assert run.status["state"] in ("finished", "diverged")


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "semicolons"])
def test_the_same_table_is_the_same_run_in_every_form(form):
    rows = long_rows(log10_gradient=lambda step, index: [float("nan"), float("-inf"), 0.25][index % 3])
    frame = pd.DataFrame(rows)
    if form == "jsonl":
        Path("log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif form == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), "log.parquet")
    else:
        separator = {"csv": ",", "tsv": "\t", "semicolons": ";"}[form]
        frame.to_csv(f"log.{'tsv' if form == 'tsv' else 'csv'}", sep=separator, index=False, na_rep="nan")
    (path,) = Path().glob("log.*")
    run = ingested(path)
    wanted = {(row["step"], row["layer"]): row for row in rows}
    for name in ("log10_backward", "log10_gradient"):
        assert same(stored(run.layers, name), {key: row[name] for key, row in wanted.items()})
    assert run.steps.loss.tolist() == pytest.approx([2 / (1 + step) for step in (0, 10, 20)])
    assert list(dict.fromkeys(run.layers.name)) == [
        "input",
        "layers.1",
        "layers.2",
        "layers.3",
        "layers.4",
        "output",
    ]


def test_a_column_for_each_layer_is_a_row_for_each_layer():
    """Sorted columns, biases, and weights under the name of a module whose activations are logged, too."""
    names = [f"layers.{number}.weight" for number in (0, 1, 10, 2)]
    rows = [
        {"it": step, "act_grad/layers.0": 2.0, "act_grad/layers.10": 4.0}
        | {f"grad_norm/{name}": 10.0 ** -int(name.split(".")[1]) for name in names}
        | {f"grad_norm/{name.replace('weight', 'bias')}": 1.0 for name in names}
        for step in range(3)
    ]
    run = ingested(write_csv(Path("wide.csv"), rows), "--step-column", "it", "--unit", "norm")
    assert list(dict.fromkeys(run.layers.name)) == [
        "layers.0",
        "layers.1.weight",
        "layers.2.weight",
        "layers.10",
    ]
    assert run.layers.log10_gradient.tolist() == pytest.approx([0, -1, -2, -10] * 3)
    assert "4 biases are left out" in run.status["message"]


@pytest.mark.parametrize(
    ("unit", "value"), [("norm", 100.0), ("squared", 1e4), ("log10", 2.0), ("ln", 4.605170186)]
)
def test_a_unit_is_what_the_user_says(unit, value):
    rows = [{"step": step, "module": name, "g": value} for step in range(2) for name in "ab"]
    run = ingested(write_csv(Path("g.csv"), rows), *f"--value g --measure gradient --unit {unit}".split())
    assert run.layers.log10_gradient.tolist() == pytest.approx([2.0] * 4)


def test_layers_that_are_logged_less_often_than_the_loss():
    rows = [
        {"step": step, "loss": 1.0} | ({"grad_norm/a": 1.0, "grad_norm/b": 10.0} if step % 5 == 0 else {})
        for step in range(12)
    ]
    run = ingested(write_csv(Path("log.csv"), rows))
    assert len(run.steps) == 12
    assert run.layers.step.unique().tolist() == [0, 5, 10]
    assert main(["fsck", "outputs"]) == 0


def test_the_same_log_twice_is_one_run(capsys):
    path = write_csv(Path("log.csv"), long_rows())
    run = ingested(path)
    before = {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}
    assert main(["ingest", "log.csv"]) == 0
    assert "stored in outputs/ingested/log already" in capsys.readouterr().out
    assert before == {file: file.read_bytes() for file in run.folder.rglob("*") if file.is_file()}


def test_another_log_of_the_same_name_needs_force(capsys):
    ingested(write_csv(Path("log.csv"), long_rows()))
    write_csv(Path("log.csv"), long_rows(steps=(0, 5)))
    assert main(["ingest", "log.csv"]) == 2
    assert "holds another run; give --name, or --force" in capsys.readouterr().err
    assert main(["ingest", "log.csv", "--force"]) == 0
    assert gradlab.load("outputs/ingested/log").step.unique().tolist() == [0, 5]


def test_what_is_stated_is_a_choice_and_nothing_else_is():
    run = ingested(write_csv(Path("log.csv"), long_rows()), "lr=0.1", "clip=norm", "clip.threshold=2")
    assert run.choices == {"lr": 0.1, "clip": "norm", "clip.threshold": 2.0}
    assert set(run.recipe) == {"origin", "lr", "clip"}


def test_a_large_log_is_read_in_pieces(monkeypatch):
    monkeypatch.setattr("gradlab.logs.log.MOST_CELLS", 40)
    path = write_csv(Path("log.csv"), long_rows(steps=range(20), layers=6))
    run = ingested(path)
    assert same(stored(run.layers, "log10_backward"), read_slowly(path, "log10_backward"))
    assert len(run.layers) == 120


LONG = long_rows()
REFUSED = {
    "empty.csv": ("", "is empty"),
    "head.csv": ("step,layer,log10_backward\n", "has no rows"),
    "no_step.csv": (
        "epoch,loss\n1,2\n",
        "there is no column of steps among epoch, loss; name it by --step-column",
    ),
    "nothing.csv": ("step,speed\n1,2\n", "no column is a loss, a gradient norm or a measure of layers"),
    "squared.csv": (
        "step,layer,grad_norm_sq\n1,a,2\n",
        "the unit of grad_norm_sq is not known: give --unit norm",
    ),
    "total.csv": ("step,grad_norm_sq\n1,2\n", "the unit of grad_norm_sq is not known"),
    "lightning.csv": ("step,grad_inf_norm/a\n1,2\n", "the unit of grad_inf_norm is not known"),
    "watch.csv": ("step,gradients/a\n1,2\n", "the unit of gradients is not known"),
    "twice.csv": (
        "step,layer,log10_backward\n1,a,2\n1,a,3\n",
        "has log10_backward of layer a twice at step 1: 2 and 3",
    ),
    "loss.csv": ("step,layer,log10_backward,loss\n1,a,2,5\n1,b,3,6\n", "has loss twice at step 1: 5 and 6"),
    "words.csv": ("step,loss\n1,low\n", "cannot be read"),
    "mixed.jsonl": ('{"step": 1, "loss": 2}\n{"step": 2, "loss": "low"}\n', "loss holds 'low' in row 2"),
    "list.jsonl": ('{"step": 1, "loss": [2]}\n', "which is no number"),
    "cut.jsonl": ('{"step": 1, "loss": 2}\n{"step": 2, "lo', "line 2, is no JSON"),
    "array.jsonl": ("[1, 2]\n", "line 1, is no object but list"),
    "config.json": ('{"model": 1}', "is no log: it has no list log_history"),
    "half.csv": ("step,loss\n0.5,1\n", "has the step 0.5; a step is a whole number"),
    "negative.csv": ("step,loss\n-1,1\n", "has the step -1; a step is a whole number"),
    "nan_step.csv": ("step,loss\nnan,1\n", "has the step nan; a step is a whole number"),
    "missing.csv": ("step,loss\n1,1\n,2\n", "has no step in row 2, which has values"),
    "logarithm.csv": ("step,layer,grad_norm\n1,a,-2\n", "is it a logarithm? give --unit log10"),
    "names.csv": ("step,loss,loss\n1,2,3\n", "has two columns 'loss'; rename one"),
    "no_layer.csv": (
        "step,layer,log10_backward\n1,,2\n",
        "has a value of log10_backward without a layer at step 1",
    ),
    "all_null.csv": ("step,loss\n1,\n", "has no value in loss"),
    "bytes.csv": (b"step,loss\n1,\xff\xfe\n", "cannot be read"),
    "broken.parquet": (b"PAR1 nothing", "cannot be read"),
    "picture.png": (b"\x89PNG", "is of no known kind; give a log: CSV"),
    "two.csv": ("step,layer,grad_norm,grad_rms\n1,a,1,2\n", "are both a gradient; choose one by --value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_log_that_cannot_be_right_is_one_line(name, capsys):
    content, message = REFUSED[name]
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main(["ingest", name]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(Path().rglob("*.parquet")) or name.endswith(".parquet")
    assert not list(Path().rglob("recipe.yaml"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.csv"], "absent.csv does not exist; give a log"),
        (["."], "is a folder without event files of TensorBoard"),
        (["lr=0.1"], "no file was given"),
        (["log.csv", "lrr=0.1"], "there is no choice 'lrr' to state; did you mean 'lr'?"),
        (["log.csv", "lr=-1"], "lr=-1"),
        (["log.csv", "clip.threshold=1"], "give clip=NAME before it"),
        (
            ["log.csv", "--step-column", "stepp"],
            "there is no column 'stepp' for --step-column; did you mean 'step'?",
        ),
        (
            ["log.csv", "--layer-column", "laye"],
            "there is no column 'laye' for --layer-column; did you mean 'layer'?",
        ),
        (["log.csv", "--value", "log10_backwar"], "did you mean 'log10_backward'?"),
        (["log.csv", "--study", "../x"], "--study ../x must be the name of a folder"),
        (["log.csv", "log.csv", "--name", "x"], "--name x is the name of one run, and 2 files were given"),
        (["log.csv", "--unit", "metres"], "argument --unit: invalid choice"),
    ],
)
def test_a_wrong_command_is_one_line_and_stores_nothing(words, message, capsys):
    write_csv(Path("log.csv"), LONG)
    assert main(["ingest", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("outputs").exists()


def test_the_other_logs_are_stored_where_one_cannot_be_read(capsys):
    write_csv(Path("good.csv"), LONG)
    Path("bad.csv").write_text("a,b\n1,2\n")
    assert main(["ingest", "bad.csv", "good.csv"]) == 2
    assert "there is no column of steps" in capsys.readouterr().err
    assert open_run("outputs/ingested/good").status["state"] == "finished"


def test_a_write_that_fails_leaves_nothing_that_looks_like_a_run(monkeypatch):
    write_csv(Path("log.csv"), LONG)

    def fail(*_):
        raise RuntimeError("the machine stops here")

    monkeypatch.setattr("gradlab.store.write.compact", fail)
    with pytest.raises(RuntimeError):
        main(["ingest", "log.csv"])
    assert {path.name for path in Path("outputs").rglob("*") if path.is_file()} == {".lock"}


@pytest.mark.parametrize("what", ["link of the study", "link of the run", "file", "full"])
def test_a_folder_that_takes_no_run_is_one_line(what, monkeypatch, tmp_path, capsys):
    path = write_csv(Path("log.csv"), LONG)
    study, elsewhere = Path("outputs/ingested"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (study if what != "link of the study" else study.parent).mkdir(parents=True)
    if what == "link of the study":
        study.symlink_to(elsewhere)
    elif what == "link of the run":
        (study / "log").symlink_to(elsewhere)
    elif what == "file":
        (study / "log").write_text("mine")
    else:
        monkeypatch.setattr("gradlab.store.files.write", full)
    assert main(["ingest", str(path)]) == (74 if what == "full" else 2)
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(elsewhere.iterdir())
    assert not list(study.rglob("recipe.yaml"))


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("line", EPILOG.splitlines())
def test_the_options_of_the_examples_in_the_help_go_together(line):
    """Each example reads a file that is not there, after all its options are understood."""
    if "gradlab ingest" in line:
        words = shlex.split(line.partition("gradlab ingest ")[2])
        with pytest.raises(RecipeError, match="does not exist"):
            ingest_main(words)
        assert ("--value" in words) == ("--measure" in words)
