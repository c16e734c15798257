"""The page of `gradlab report`: what stands in it, that nothing of a run is markup, and that it asks for nothing."""

import base64
import hashlib
import json
import re

import pytest

from gradlab.analysis.words import WORDS
from gradlab.commands.main import main
from gradlab.recipe import options
from gradlab.report.html.page import question
from gradlab.store.read import open_run
from tests import runs
from tests.report.html.pages import EVIL, Page, diverging, page_of


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The page of one run."""
    return page_of(runs.simple(tmp_path_factory.mktemp("one") / "only"))


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """The page of four runs: one of them diverged, one was killed, and one failed."""
    place = tmp_path_factory.mktemp("study")
    folders = [runs.simple(place / f"d{depth}", depth=depth) for depth in (20, 10)]
    killed, failed = (runs.simple(place / name, depth=depth) for name, depth in (("k", 5), ("f", 4)))
    message = "ValueError: </script><b>no</b>"
    (killed / "status.json").write_text(json.dumps(runs.status("running", steps_done=40)))
    (failed / "status.json").write_text(json.dumps(runs.status("failed", steps_done=40, message=message)))
    return page_of(*folders, diverging(place / "x"), killed, failed)


def test_it_is_html_with_landmarks_and_headings(one, several):
    for page in (one, several):
        assert page.source.startswith("<!DOCTYPE html>")
        assert not page.unbalanced
        assert {"header", "main", "nav", "footer", "title"} <= {element.tag for element in page.elements}
        assert page.of("html")[0].attributes["lang"] == "en"
        assert len(page.of("h1")) == 1
        assert len(page.ids) == len(set(page.ids))


def test_links_lead_to_elements_of_the_page(several):
    targets = [element.attributes["href"] for element in several.of("a")]
    assert len(targets) > 10
    assert {target for target in targets if target} <= {f"#{name}" for name in several.ids}


def test_pictures_have_a_text_in_their_place_and_tables_have_headings(several):
    pictures = several.of("svg")
    assert len(pictures) > 6
    assert all(len(picture.attributes["aria-label"]) > 40 for picture in pictures)
    assert all(element.attributes.get("scope") in ("col", "row") for element in several.of("th"))
    regions = [e for e in several.of("div") if e.attributes.get("role") == "region"]
    assert regions
    assert all(region.attributes["tabindex"] == "0" for region in regions)


def test_the_verdicts_stand_there_with_their_evidence_and_rules(one):
    text = one.text()
    assert "learned: loss 2.35 → 0.09" in text
    assert "flowing: " in text
    for word in ("flowing", "learned"):
        assert WORDS[word].rule in text
        assert f"word-{word}" in one.ids
    assert WORDS["vanishing"].rule not in text


def test_the_recipe_stands_there_whole_and_the_command_that_runs_it_again(one):
    text = one.text()
    assert all(f"\n{key}\n" in text for key in ("depth", "initializer.gain", "data.test_fraction", "lr"))
    (command,) = re.findall("gradlab run .*", one.text("code"))
    assert "depth=20" in command
    assert "initializer=orthogonal" in command


def test_of_several_runs_it_says_what_differs(several):
    assert several.text("h1").startswith("5 runs of ")
    assert "What differs" in several.text()
    assert "comparison" in several.ids
    links = [element.attributes["href"] for element in several.of("a") if "tbody" in element.around]
    for number in range(1, 6):  # of the results, and of what differs
        assert links.count(f"#run-{number}") == 2


def test_runs_stand_in_the_order_of_their_choices(several):
    names = [line for line in several.text("h3").splitlines() if line in ("d20", "d10", "x", "k", "f")]
    assert names == ["f", "k", "x", "d10", "d20"]  # of depth 4, 5, 6, 10, 20


def test_states_are_shown(several):
    text = several.text()
    assert "5 runs: 1 failed, 1 killed, 1 diverged, 2 finished" in text
    assert "killed: its process was killed" in text
    assert "failed: it failed" in text
    assert "ValueError: </script><b>no</b>" in text


def test_runs_of_a_study_without_a_result_are_named(tmp_path, capsys):
    for name in ("a", "b"):
        runs.simple(tmp_path / "s" / name, seed=ord(name))
    (tmp_path / "s" / "b" / "status.json").write_text(json.dumps(runs.status("running", steps_done=40)))
    assert main(["report", str(tmp_path / "s"), "--out", str(tmp_path / "shown.html")]) == 0
    page = Page((tmp_path / "shown.html").read_text("utf-8"))
    assert not (tmp_path / "s" / "report.html").exists()
    assert "s/b was killed while running (40 of 100 steps)" in page.text("li")
    assert "b was killed" in capsys.readouterr().err


def test_nothing_of_a_run_is_markup(tmp_path):
    name = EVIL.replace("/", "")
    folder = runs.simple(tmp_path / f"{name} <img src=x onerror=alert(2)>", study="</script>" + EVIL)
    status = runs.status("stopped", message=f'{EVIL}" onload="alert(3)', versions={EVIL: EVIL})
    (folder / "status.json").write_text(json.dumps(status))
    (tmp_path / "plain").mkdir()
    other = runs.simple(tmp_path / "plain" / "run", depth=3)
    plain = {element.tag for element in page_of(other).elements}
    page = page_of(folder, other)
    assert {element.tag for element in page.elements} <= plain | {"fieldset", "p"}
    assert not any(key.startswith("on") for element in page.elements for key in element.attributes)
    assert len(page.of("script")) == 6
    assert EVIL in page.text()
    assert not page.unbalanced


def test_it_asks_for_nothing_from_elsewhere(several):
    for element in several.elements:
        for key, value in element.attributes.items():
            if key in ("src", "href", "action", "data", "poster", "srcset"):
                assert value.startswith(("#", "data:image/png;base64,"))
    (policy,) = [e.attributes["content"] for e in several.of("meta") if "http-equiv" in e.attributes]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "url(http" not in several.source
    assert "@import" not in several.source


def test_its_policy_allows_its_own_scripts_and_style_alone(one):
    (policy,) = [e.attributes["content"] for e in one.of("meta") if "http-equiv" in e.attributes]
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    blocks = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", one.source, re.DOTALL)
    digests = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in blocks}
    assert digests == allowed
    assert len(blocks) == 6
    assert not [element for element in one.elements if "style" in element.attributes]


def test_without_a_script_everything_but_the_explorer_is_read(several):
    hidden = [element for element in several.elements if "hidden" in element.attributes]
    assert {"scripted"} == {element.attributes["class"] for element in hidden}
    assert {"results", "runs", "recipe", "words"} <= set(several.ids)


def test_a_run_without_the_backward_signal_is_shown_with_the_reason(tmp_path):
    rows = runs.layer_table(runs.walk(5, 1), [0], log10_backward=[None] * 7)
    folder = runs.opened(tmp_path / "run", [rows], [runs.step_table([1.0], [0])]).folder
    assert "did not measure the backward signal" in page_of(folder).text("dd")


def test_of_runs_without_a_verdict_the_table_says_that_they_are_not_in_it(tmp_path):
    rows = runs.layer_table(runs.walk(5, 1), [0], log10_backward=[None] * 7)
    silent = runs.opened(tmp_path / "s" / "a", [rows], [runs.step_table([1.0], [0])], depth=5).folder
    page = page_of(silent, *(runs.simple(tmp_path / "s" / name, seed=ord(name)) for name in "bc"))
    assert "not compared, because without a verdict: run 1" in page.text("dd")
    links = [element.attributes["href"] for element in page.of("a") if "tbody" in element.around]
    assert [links.count(f"#run-{number}") for number in (1, 2, 3)] == [1, 2, 2]  # what differs, and results


def test_a_run_without_rows_is_shown_with_the_reason(tmp_path):
    folder = runs.write(tmp_path / "run", runs.recipe(), runs.status("failed", message="no memory"), [], [])
    text = page_of(folder).text()
    assert "no memory" in text
    assert "no pictures" in text


def test_the_same_runs_give_the_same_page(tmp_path):
    folder = runs.simple(tmp_path / "run", depth=3)
    assert page_of(folder).source == page_of(folder).source


@pytest.mark.parametrize("name", ["he_vs_xavier", "clipping_saves_training"])
def test_the_question_of_an_experiment_stands_above(tmp_path, name):
    run = open_run(runs.simple(tmp_path / "run", depth=3, study=name))
    assert question([run]).text == options.question(options.experiments()[name])
    other = open_run(runs.simple(tmp_path / "other", depth=3))
    assert question([other]) is question([run, other]) is None


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "no path was given"),
        (["nowhere"], "nowhere does not exist"),
        (["run", "--out", "page.txt"], "must end in .html"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, words, problem):
    monkeypatch.chdir(tmp_path)
    runs.simple(tmp_path / "run", depth=3)
    assert main(["report", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert problem in line
    assert not list(tmp_path.rglob("*.html"))


def test_the_file_stands_beside_the_runs_and_goes_with_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for depth in (3, 4):
        runs.simple(tmp_path / "outputs" / "big" / f"d{depth}", depth=depth)
    assert main(["report", "big"]) == main(["report", "outputs/big/d3"]) == 0
    places = ["outputs/big/report.html", "outputs/big/d3/report.html"]
    assert capsys.readouterr().out.splitlines() == places
    assert main(["rm", "outputs/big/d3", "--yes"]) == 0
    assert not (tmp_path / places[1]).exists()
