"""Names and texts of files reach the terminal as text: no escape code, no bell, no mark of direction."""

import html
import json
from xml.etree import ElementTree

import pytest
import yaml

from gradlab.commands.main import main
from gradlab.recipe.printing import one_line, printable
from gradlab.report import terminal
from gradlab.report.result import RunResult
from gradlab.store.read import open_run
from tests import runs

ATTACKS = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "bell": "\x07",
    "erase": "\x1b[2K\r",
    "C1": "\x9b31m",
    "right to left": "\u202egnp.exe",
    "isolate": "\u2066x\u2069",
    "invisible": "a\u200bb",
    "tag": "\U000e0041",
    "not UTF-8": "\udcff",
    "a line": "\ngradlab: all is well",
    "a separator": "\u2028gradlab: all is well",
}
COMMANDS = [
    ["ls"],
    ["diagnose"],
    ["diagnose", "--json"],
    ["compare"],
    ["plot", "--kind", "profile"],
    ["suggest-clip"],
    ["watch"],
]


def obeyed(text):
    """The characters of a text that a terminal would obey or hide."""
    return [c for c in text if not (c.isprintable() or c in "\n ")]


@pytest.fixture(params=ATTACKS)
def study(request, tmp_path):
    """Two runs whose folder's name, recipe and status hold the attack, as far as such a file can hold it."""
    attack = ATTACKS[request.param]
    in_name = attack.replace("/", "")
    in_recipe = attack.encode("utf-8", "replace").decode()
    for number, gain in enumerate((0.9, 0.97)):
        folder = runs.simple(tmp_path / "study" / f"run{number}", gain=gain, study=in_recipe, lr=0.1 + number)
        status = json.loads((folder / "status.json").read_text())
        if attack == one_line(attack):  # a status of texts of several lines is refused
            status |= {"message": attack, "data": status["data"] | {"source": f"real: {attack}"}}
        (folder / "status.json").write_text(json.dumps(status))
    return (tmp_path / "study").rename(tmp_path / f"study{in_name}")


@pytest.mark.few(4)
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_lets_the_terminal_obey(study, capsys, words):
    main([*words, str(study)])
    printed = capsys.readouterr()
    assert obeyed(printed.out + printed.err) == []
    assert "gradlab: all is well" not in (printed.out + printed.err).splitlines()
    assert len(printed.out + printed.err) > 20
    if "--json" in words:
        assert len(json.loads(printed.out)) == 2


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_a_mistyped_word_is_shown_as_text(capsys, attack):
    assert main(["run", f"depht{attack}=3"]) == 2
    printed = capsys.readouterr()
    assert obeyed(printed.out + printed.err) == []
    assert len(printed.err.splitlines()) == 1


def test_control_without_it_the_terminal_obeys(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(terminal, "printable", lambda text: text)
    assert main([ATTACKS["colour"]]) == 2
    assert obeyed(capsys.readouterr().err)


def test_letters_signs_and_spaces_of_all_languages_stay():
    text = "σ = 10⁻³·‖∂L/∂h‖ − 1 797 手写数字 ▅▅ été\u00a0ß\n"
    assert printable(text) == text


MARKUP = "<script>alert(1)</script>&amp;\x1b[31m$x_{"


@pytest.fixture
def marked_up(tmp_path):
    """Two runs, one with markup in its recipe and its status."""
    folders = [runs.simple(tmp_path / "study" / name) for name in ("a", "b")]
    recipe = runs.recipe(activation={"name": MARKUP})
    (folders[0] / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    status = runs.status(data={**runs.DATA, "source": MARKUP})
    (folders[0] / "status.json").write_text(json.dumps(status))
    return folders


def test_a_page_shows_markup_as_text(marked_up, monkeypatch):
    opened = open_run(marked_up[0])
    run = RunResult(opened.folder, opened.recipe, opened.status)
    assert "<script" not in run._repr_html_()
    assert "&lt;script&gt;" in run._repr_html_()
    assert obeyed(repr(run)) == []
    monkeypatch.setattr(html, "escape", lambda text: text)  # the control
    assert "<script" in run._repr_html_()


def test_a_drawing_is_xml_whatever_it_shows(marked_up, capsys):
    study = marked_up[0].parent
    assert main(["plot", str(study), "--kind", "profile", "--format", "svg"]) == 0
    assert main(["compare", str(study), "--format", "svg"]) == 0
    drawings = sorted(study.rglob("*.svg"))
    assert len(drawings) == 3
    for drawing in drawings:
        ElementTree.parse(drawing)
        assert "<script" not in drawing.read_text()
