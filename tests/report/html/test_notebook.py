"""Reports and figures in a notebook: the object that shows itself, and the example notebook, run cell by cell."""

import ast
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

import gradlab
from gradlab.recipe.errors import RecipeError, StorageError
from gradlab.report.html.notebook import Report, report
from tests import runs
from tests.report.html.pages import EVIL, Page

NOTEBOOK = Path(__file__).parents[3] / "docs" / "notebooks" / "first_run.ipynb"


def framed(text: str) -> Page:
    """The page in a notebook's frame."""
    (source,) = re.findall(r'srcdoc="([^"]*)"', text)
    return Page(html.unescape(source))


def test_a_report_shows_the_page_in_a_frame_that_can_do_nothing(tmp_path):
    folder = runs.simple(tmp_path / EVIL.replace("/", ""), depth=3)
    made = report(folder)
    text = made._repr_html_()
    assert text.startswith('<iframe sandbox="allow-scripts" ')
    assert "<script" not in text
    assert framed(text).source == made.html
    assert made.save(tmp_path / "page.html").read_text("utf-8") == made.html


def test_a_run_opens_shows_its_report_and_its_figures(tmp_path):
    run = gradlab.open(runs.simple(tmp_path / "run", depth=3))
    assert framed(run._repr_html_()).source == run.report().html
    picture = run.figure("heatmap")
    assert [panel.get_title(loc="left")[:8] for panel in picture.figure.axes][:1] == ["Backward"]
    assert framed(picture._repr_html_()).of("svg")
    picture.save(tmp_path / "map.pdf")
    assert (tmp_path / "map.pdf").stat().st_size > 1000
    with pytest.raises(RecipeError, match="did you mean 'heatmap'"):
        run.figure("heatmp")


def test_a_running_run_opens_with_its_rows_so_far(tmp_path):
    folder = runs.simple(tmp_path / "run", depth=3)
    (folder / "status.json").write_text(json.dumps(runs.status("running", steps_done=40)))
    run = gradlab.open(folder)
    assert run.layers.step.max() == 30
    assert "killed: its process was killed" in run.report().html


def test_rows_of_a_study_have_a_report(tmp_path):
    for depth in (3, 4, 5):
        runs.simple(tmp_path / "s" / f"d{depth}", depth=depth)
    study = gradlab.study(tmp_path / "s")
    assert repr(study.report()).startswith("report of 3 runs")
    chosen = study[study.depth > 3].report()
    assert [run.name for run in chosen.runs] == ["d4", "d5"]
    assert repr(study[study.depth > 4].report()).startswith("report of 1 run;")
    for frame in (study[["run", "depth"]], study[study.depth > 9]):
        with pytest.raises(RecipeError, match="column 'folder'"):
            frame.report()


def test_a_file_that_cannot_be_written_is_one_line(tmp_path):
    made = report(runs.simple(tmp_path / "run", depth=3))
    (tmp_path / "file").write_text("")
    with pytest.raises((RecipeError, StorageError), match=r"page\.html cannot be written"):
        made.save(tmp_path / "file" / "page.html")


def cells(kind: str) -> list[str]:
    """The sources of the cells of a kind."""
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def executed() -> list[Any]:
    """What each code cell shows: the value of its last line, as a notebook does."""
    names: dict[str, Any] = {}
    shown = []
    for source in cells("code"):
        *body, last = ast.parse(source).body
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        if isinstance(last, ast.Expr):
            shown.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names))
        else:
            exec(compile(ast.Module([last], []), "cell", "exec"), names)
            shown.append(None)
    return shown


def stored(folder: Path, **choices: Any) -> Any:
    """What `gradlab.run` returns, without training: runs made by hand, one for each initializer of a list."""
    names = choices["initializer"] if isinstance(choices.get("initializer"), list) else []
    part = lambda name: {"name": name, **({"gain": 1.0} if name == "xavier" else {})}
    made = [
        runs.simple(folder / name, depth=20, initializer=part(name), gain=0.97 if name == "he" else 0.7)
        for name in names
    ] or [runs.simple(folder / "run", depth=20)]
    opened = [gradlab.open(path) for path in made]
    return opened if names else opened[0]


@pytest.mark.parametrize("trained", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_example_runs_from_its_first_cell_to_its_last(tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    if not trained:
        monkeypatch.setattr(gradlab, "run", lambda **choices: stored(tmp_path, **choices))
    run, picture, signal, rows, page, saved = executed()
    assert framed(run._repr_html_()).of("svg")
    assert picture.name == "heatmap"
    assert len(signal) == 22
    assert rows.initializer.tolist() == ["he", "xavier"]
    assert rows.signal_start.tolist() == ["flowing", "vanishing"]
    assert isinstance(page, Report)
    assert len(page.runs) == 2
    assert saved == Path("he.html")


def test_the_example_has_no_outputs_and_explains_itself():
    assert not any(cell.get("outputs") for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"])
    assert len(cells("markdown")) >= 4
