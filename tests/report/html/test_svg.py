"""A figure as SVG of a page: the same lines, text as text, and no name twice."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from gradlab.report.html.svg import style_sheet, svg

NAMESPACE = "{http://www.w3.org/2000/svg}"


def drawn(text: str = "a title", points: int = 5) -> Figure:
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(np.arange(points), np.arange(points) ** 2, color="#123456")
    axes.set_title(text)
    return figure


def test_text_is_text_and_is_escaped():
    root = ElementTree.fromstring(svg(drawn("<b>&\" it's"), "a", "what <it> shows", {}))
    texts = [element.text for element in root.iter(f"{NAMESPACE}text")]
    assert "<b>&\" it's" in texts
    assert root.attrib["aria-label"] == "what <it> shows"
    assert not list(root.iter(f"{NAMESPACE}b"))


def test_it_has_the_size_of_its_figure():
    root = ElementTree.fromstring(svg(drawn(), "a", "", {}))
    width, height = 4 * 72, 3 * 72
    assert root.attrib["viewBox"].split() == ["0", "0", str(width), str(height)]
    assert (root.attrib["width"], root.attrib["height"]) == (str(width * 5 // 4), str(height * 5 // 4))


def test_a_line_goes_through_its_points():
    styles: dict[str, str] = {}
    root = ElementTree.fromstring(svg(drawn(), "a", "", styles))
    (name,) = [name for style, name in styles.items() if "#123456" in style]
    (line,) = [path for path in root.iter(f"{NAMESPACE}path") if path.get("class") == name]
    numbers = np.array(re.findall(r"[\d.]+", line.attrib["d"]), float).reshape(-1, 2)
    x, y = (numbers - numbers[0]).T
    np.testing.assert_allclose(x / x[-1] * 4, [0, 1, 2, 3, 4], atol=0.01)
    np.testing.assert_allclose(y / y[-1] * 16, [0, 1, 4, 9, 16], atol=0.02)


def test_of_more_points_than_pixels_those_that_are_not_seen_are_left_out():
    assert len(svg(drawn(points=200_000), "a", "", {})) < 1.5 * len(svg(drawn(points=200), "a", "", {}))


def test_two_pictures_of_a_page_share_no_name():
    ids = [set(re.findall(r' id="([^"]+)"', svg(drawn(), name, "", {}))) for name in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]
    text = svg(drawn(), "a", "", {})
    assert set(re.findall(r'"(?:url\()?#([^")]+)', text)) <= ids[0]


def test_styles_are_classes_that_pictures_share():
    styles: dict[str, str] = {}
    svg(drawn(), "a", "", styles)
    count = len(styles)
    text = svg(drawn(), "b", "", styles)
    assert len(styles) == count
    assert " style=" not in text
    sheet = style_sheet(styles)
    assert all(f".{name}{{" in sheet for name in re.findall(r'class="([^"]+)"', text))


@pytest.mark.parametrize("many", [False, True])
def test_an_image_keeps_its_colours(many):
    figure = Figure(figsize=(4, 3))
    cells = np.random.default_rng(0).random((40, 50)) if many else np.arange(12.0).reshape(3, 4)
    figure.subplots().pcolormesh(cells, cmap="RdBu_r", rasterized=True)
    text = svg(figure, "a", "", {})
    (data,) = re.findall(r'href="data:image/png;base64,([^"]+)"', text)
    image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA")
    expected = figure.axes[0].collections[0].to_rgba(cells.ravel(), bytes=True).astype(int)
    colours = np.array([colour for _, colour in image.getcolors(1 << 16)])
    distances = np.abs(expected[:, None] - colours).max(-1).min(-1)
    assert distances.max() <= 1  # matplotlib's renderer rounds
