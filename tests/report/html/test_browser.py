"""The page in a real browser, without a network: `pytest -m browser` where Playwright and Chromium are installed."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gradlab.report.html.notebook import report
from gradlab.store.read import open_run
from tests import runs
from tests.report.html.pages import EVIL, diverging

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    # asyncio's, at the end of a process
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
# three digits of a logarithm with three digits
TOLERANCE = 6.5e-3
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Twelve runs, one of them diverged and one named like a script; three differ in their scores."""
    place = tmp_path_factory.mktemp("study")
    for depth in range(3, 13):
        runs.simple(place / f"d{depth}", depth=depth, gain=1.0 - depth / 50)
    diverging(place / "x")
    runs.simple(place / EVIL.replace("/", ""), depth=20, seed=7)
    return Path(report(place).save(place / "report.html"))


@pytest.fixture(scope="module")
def single(tmp_path_factory) -> Path:
    folder = runs.simple(tmp_path_factory.mktemp("single") / "run")
    return Path(report(folder).save(folder / "report.html"))


class Opened(NamedTuple):
    """A page that is shown, what its console and its errors say, and what it has requested."""

    page: Any
    said: list[str]
    requests: list[str]


@pytest.fixture
def show(browser) -> Iterator[Any]:
    contexts = []

    def opened(path: Path, script: bool = True, **options: Any) -> Opened:
        context = browser.new_context(java_script_enabled=script, **options)
        contexts.append(context)
        page, said, requests = context.new_page(), [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        return Opened(page, said, requests)

    yield opened
    for context in contexts:
        context.close()


def column(page: Any, number: int) -> list[str]:
    """The texts of a column of the results, of the rows that are shown."""
    return page.locator(f"#comparison tbody tr:not([hidden]) > :nth-child({number})").all_inner_texts()


def heading(page: Any, text: str) -> Any:
    return page.locator("#comparison thead button", has_text=text).first


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}, {"viewport": PHONE}])
def test_it_asks_for_nothing_and_reports_no_error(show, study, options):
    page, said, requests = show(study, **options)
    page.wait_for_selector("#by-layer canvas")
    page.locator("#scale").select_option("linear")
    for _ in range(3):
        page.locator("#step").press("ArrowRight")
    assert said == []
    assert requests == [study.as_uri()]
    assert page.title().startswith("gradlab report: 12 runs")


def test_a_name_is_text_and_never_a_script(show, study):
    page, said, _ = show(study)
    assert "<script>alert(1)<script>" in page.locator("#runs").inner_text()
    assert page.evaluate("document.scripts.length") == 6
    assert said == []


def test_the_slider_moves_through_the_steps(show, single):
    page = show(single).page
    run = open_run(single.parent)
    for place in (0, 4, 10):
        page.locator("#step").fill(str(place))
        page.locator("#layer").fill("3")
        rows = run.layers[(run.layers.step == 10 * place) & (run.layers.layer == 3)]
        assert f"at step {10 * place}" in page.locator("#by-layer-title").inner_text()
        cells = page.locator("#readout tbody td").all_inner_texts()
        assert cells[:2] == [str(10 * place), "3 hidden 3"]
        assert float(cells[2]) == pytest.approx(10 ** float(rows.log10_backward.iloc[0]), rel=TOLERANCE)


def test_what_is_under_the_pointer_is_told(show, single):
    page = show(single).page
    over = page.locator("#by-layer .u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] / 2)
    values = page.locator("#by-layer .u-legend .u-value").all_inner_texts()
    last = open_run(single.parent).layers.query("step == 0 and layer == 21").log10_backward.iloc[0]
    assert values[0] == "21"
    assert float(values[1]) == pytest.approx(10 ** float(last), rel=TOLERANCE)


def test_the_heat_map_tells_and_chooses_a_cell(show, single):
    page = show(single).page
    canvas = page.locator("#map")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 12, box["y"] + 8)
    assert page.locator("#map-text").inner_text().startswith("step 100, layer 21 output: ")
    assert page.locator("#step-text").inner_text() == "100"
    canvas.press("ArrowLeft")
    canvas.press("ArrowDown")
    assert page.locator("#map-text").inner_text().startswith("step 90, layer 20 hidden 20: ")
    pixels = page.evaluate("""() => {
        const canvas = document.getElementById("map");
        const image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return new Set(new Uint32Array(image.buffer)).size; }""")
    assert pixels > 50


def test_what_is_no_number_is_said(show, study):
    page = show(study).page
    page.locator("#choose-runs input").first.wait_for()
    for box in page.locator("#choose-runs label").all():
        box.locator("input").set_checked("depth 6, seed 0" in box.inner_text())
    page.locator("#step").fill("4")
    note = page.locator("#by-layer-note").inner_text()
    assert "exactly zero at layer 0–2" in note
    assert "infinite at layer 3" in note


def test_runs_are_chosen_and_the_scale(show, study):
    page = show(study).page
    legend = page.locator("#by-layer .u-legend .u-series")
    assert legend.count() == 1 + 8
    page.locator("#choose-runs input").nth(0).uncheck()
    assert legend.count() == 1 + 7
    ticks = page.evaluate("numbers.power(-3) + numbers.ofLog10(-0.5)")
    assert ticks == "10⁻³0.316"
    page.locator("#scale").select_option("linear")
    assert legend.count() == 1 + 7


def test_a_heading_sorts_and_sorts_back(show, study):
    page = show(study).page
    assert heading(page, "gain").count() == 1
    position = [text.strip() for text in page.locator("#comparison thead th").all_inner_texts()].index(
        "gain"
    ) + 1
    heading(page, "gain").click()
    gains = [float(text) for text in column(page, position) if text]
    assert gains == sorted(gains)
    assert len(gains) == 12
    heading(page, "gain").focus()
    page.keyboard.press("Enter")
    assert [float(text) for text in column(page, position) if text] == sorted(gains, reverse=True)
    assert page.locator("#comparison [aria-sort=descending]").count() == 1


def test_the_field_filters(show, study):
    page = show(study).page
    page.locator("#filter").fill("diverged")
    assert len(column(page, 1)) == 1
    assert page.locator("#filter-count").inner_text() == "1 of 12 runs"
    page.locator("#filter").fill("")
    assert len(column(page, 1)) == 12


def test_without_javascript_everything_is_read(show, study):
    page = show(study, script=False).page
    assert page.locator("#comparison tbody tr").count() == 12
    assert not page.locator("#explore").is_visible()
    assert page.locator("#results svg").is_visible()
    page.locator("#run-1 summary").click()
    assert page.locator("#run-1 svg").first.is_visible()
    assert page.locator("#run-1 pre").is_visible()


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize("which", ["study", "single"])
def test_a_phone_does_not_scroll_sideways(show, which, script, request):
    page = show(request.getfixturevalue(which), script=script, viewport=PHONE).page
    if script:
        page.wait_for_selector("#by-layer canvas")
        width = page.evaluate("document.documentElement.scrollWidth")
    else:
        page.keyboard.press("End")
        width = page.locator("html").bounding_box()["width"]
    assert width <= 390


@pytest.mark.parametrize("script", [True, False])
def test_printed_it_is_whole_and_has_no_controls(show, study, script):
    page = show(study, script=script).page
    page.emulate_media(media="print")
    assert not page.locator("#explore").is_visible()
    assert not page.locator("nav").is_visible()
    printed = page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") >= 12  # the section of each run is printed, too


def luminance(colour: list[float]) -> float:
    """Relative luminance of sRGB values from 0 to 255 (WCAG 2)."""
    linear = [c / 3294.6 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_told_from_their_ground(show, study, scheme):
    page = show(study, color_scheme=scheme).page
    for details in page.locator("main details").all()[:2]:
        details.evaluate("element => element.open = true")
    pairs = page.evaluate("""() => {
        const ground = (element) => {
            for (let at = element; at; at = at.parentElement) {
                const colour = getComputedStyle(at).backgroundColor;
                if (!/, 0\\)$/.test(colour)) return colour;
            }
        };
        const found = new Set();
        for (const element of document.body.querySelectorAll("*:not(svg):not(svg *):not(script)"))
            if ([...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
                found.add(JSON.stringify([getComputedStyle(element).color, ground(element)]));
        return [...found].map(JSON.parse); }""")
    assert len(pairs) >= 4
    for ink, ground in pairs:
        numbers = [
            [float(n) for n in text.partition("(")[2].rstrip(")").split(",")[:3]] for text in (ink, ground)
        ]
        light, dark = sorted(map(luminance, numbers), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_everything_is_reached_by_the_keyboard(show, single):
    page = show(single).page
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"skip", "profile", "course", "scale", "step", "layer", "map", "wide"} <= reached


def test_a_notebook_s_frame_shows_the_same_page(show, single, tmp_path):
    made = report(single.parent)
    outer = tmp_path / "notebook.html"
    outer.write_text(f"<!DOCTYPE html><body>{made._repr_html_()}</body>", encoding="utf-8")
    page, said, _ = show(outer)
    frame = page.frame_locator("iframe")
    frame.locator("#by-layer canvas").first.wait_for()
    assert frame.locator("h1").inner_text() == "run"
    assert json.loads(frame.locator("#data").inner_text())["runs"][0]["label"] == "this run"
    assert said == []
