"""Figures for a page: their width, their letters, and what the files hold."""

import re

import matplotlib.image
import pytest
from matplotlib.text import Text

from gradlab.figures import paper
from gradlab.figures.profile import profile
from gradlab.figures.training import training
from gradlab.report.pictures import Look, save
from gradlab.report.summary import short_numbers
from tests.figures.frames import SCORE, frames, prediction


@pytest.fixture
def tables(tmp_path):
    return frames(tmp_path / "run")


@pytest.mark.parametrize(("width", "rows"), [("single", 3), ("double", 1)])
def test_it_has_the_width_of_the_column_and_its_panels_stand_in_rows(tables, tmp_path, width, rows):
    figure = profile(tables[0], prediction(20), "a title of some length " * 5)
    file = save(figure, tmp_path / "figure.png", look=Look("png", width, 100))
    assert figure.get_figwidth() == paper.WIDTHS[width]
    assert matplotlib.image.imread(file).shape[1] == round(100 * paper.WIDTHS[width])
    assert len({axes.get_position().y0.round(2) for axes in figure.axes}) == rows


@pytest.mark.parametrize("width", paper.WIDTHS)
def test_letters_are_of_a_size_to_read_and_stay_in_the_figure(tables, tmp_path, width):
    figure = training(tables[1], 2.3, SCORE, title="a title of some length " * 5)
    save(figure, tmp_path / "figure.png", look=Look("png", width, 60))
    shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in shown) >= 6
    assert max(text.get_fontsize() for text in shown) <= 9
    right = figure.get_figwidth() * figure.dpi
    for text in (figure._suptitle, *(axes._left_title for axes in figure.axes)):
        assert text.get_window_extent().x1 <= right + 1


def test_text_stays_text_in_svg_and_pdf(tables, tmp_path):
    svg = save(profile(tables[0], title="mlp"), tmp_path / "a.svg", look=Look("svg")).read_text("utf-8")
    assert re.search(r"<text[^>]*>Weight gradient</text>", svg)
    pdf = save(profile(tables[0], title="mlp"), tmp_path / "a.pdf", look=Look("pdf")).read_bytes()
    assert b"/CIDFontType2" in pdf  # TrueType, not outlines
    assert b"/Type3" not in pdf


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_figure_is_the_same_bytes(tables, tmp_path, suffix):
    first, second = (save(profile(tables[0]), tmp_path / f"{i}.{suffix}").read_bytes() for i in "ab")
    assert first == second


def test_titles_have_numbers_of_three_digits():
    assert short_numbers("clip norm 1.0 · lr 0.123456 · start [-1.5, 2.0] · v1.2.3") == (
        "clip norm 1 · lr 0.123 · start [-1.5, 2] · v1.2.3"
    )
