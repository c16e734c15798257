"""`gradlab reproduce`: what a claim prints, when it fails, and that a list of claims imports neither JAX nor pandas."""

import json
import math
import subprocess
import sys

import pytest

import gradlab.reproductions
from gradlab.commands.completion import candidates
from gradlab.commands.main import main
from gradlab.commands.reproduce import accepted, cells
from gradlab.reproductions import registry
from gradlab.reproductions.check import Check, between, near, within_factor

CLAIMS = {
    "holds": "    return [near('depth', 2.0, run.recipe['depth'], relative=0.1)]",
    "fails": "    return [near('depth', 3.0, run.recipe['depth'], relative=0.1), near('one', 1.0, 1.0)]",
    "breaks": "    raise RuntimeError('the run failed')",
    "misfits": "    study.run('depth=-1')",
    "has_none": "    return []",
}
MODULE = """
from gradlab.reproductions.check import near

CLAIM = "A network {name}."
SOURCE = "Somebody 2026"


def measure(study):
    (run,) = study.run("depth=2", "width=4", "steps=0", "batch_size=4", "data=gaussian", "probe=economy")
{body}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A folder of claims about a tiny network: one that holds, and others that do not."""
    folder = tmp_path / "claims"
    folder.mkdir()
    for name, body in CLAIMS.items():
        (folder / f"{name}.py").write_text(MODULE.format(name=name, body=body))
    (folder / "no_claim.py").write_text('SOURCE = "Somebody 2026"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "FOLDER", folder)
    monkeypatch.setattr(gradlab.reproductions, "__path__", [*gradlab.reproductions.__path__, str(folder)])
    registry.claims.cache_clear()
    yield
    registry.claims.cache_clear()
    for name in CLAIMS:
        sys.modules.pop(f"gradlab.reproductions.{name}", None)


@pytest.mark.usefixtures("tiny")
def test_a_claim_that_holds_passes_and_its_runs_are_kept(tmp_path, capsys):
    assert main(["reproduce", "holds"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["holds", "  A network holds. (Somebody 2026)"]
    assert lines[2].split() == ["quantity", "published", "accepted", "measured"]
    assert lines[3].split() == ["depth", "2", "1.8", "to", "2.2", "2", "pass"]
    assert "reproduced: 1 of 1 checks passed" in lines[4]
    assert lines[-1] == "1 of 1 reproduced"
    (status,) = (tmp_path / "outputs" / "reproduce" / "holds").glob("*/status.json")
    before = status.read_bytes()
    assert main(["reproduce", "holds"]) == 0
    assert status.read_bytes() == before, "it was trained again"


@pytest.mark.usefixtures("tiny")
def test_a_claim_that_fails_is_reported_and_the_others_go_on(capsys):
    assert main(["reproduce", "fails", "misfits", "breaks", "has_none", "holds", "fails"]) == 1
    text = capsys.readouterr().out
    assert "not reproduced: 1 of 2 checks passed" in text
    assert "FAIL" in next(line for line in text.splitlines() if line.split()[:2] == ["depth", "3"])
    assert "not measured: RuntimeError: the run failed" in text
    assert "not measured: depth=-1" in text
    assert text.endswith("\n1 of 5 reproduced\n")


@pytest.mark.usefixtures("tiny")
def test_json_has_every_number(capsys):
    assert main(["reproduce", "all", "--json"]) == 1
    by_name = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert set(by_name) == set(CLAIMS)
    assert {name: entry["reproduced"] for name, entry in by_name.items()} == {
        name: name == "holds" for name in CLAIMS
    }
    (check,) = by_name["holds"]["checks"]
    assert check == {
        "quantity": "depth", "published": 2.0, "low": 1.8, "high": 2.2, "measured": 2.0, "passed": True
    }  # fmt: skip
    assert by_name["breaks"]["problem"] == "RuntimeError: the run failed"
    assert by_name["holds"]["problem"] is None


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "gradlab reproduce: give the names of claims, or all; --list lists them\n"),
        (["fials"], "gradlab reproduce: there is no claim 'fials'; did you mean 'fails'?\n"),
        (
            ["holds", "nonsense"],
            "gradlab reproduce: there is no claim 'nonsense'; there are: breaks, fails, ",
        ),
    ],
)
@pytest.mark.usefixtures("tiny")
def test_a_claim_that_is_not_there_is_one_line(words, line, capsys):
    assert main(["reproduce", *words]) == 2
    output = capsys.readouterr()
    assert output.err.startswith(line)
    assert output.err.count("\n") == 1
    assert not output.out


@pytest.mark.usefixtures("tiny")
def test_the_list_names_every_claim_with_its_source(capsys):
    assert main(["reproduce", "--list"]) == 0
    assert capsys.readouterr().out.count(" (Somebody 2026)\n") == len(CLAIMS)
    assert main(["reproduce", "--list", "holds", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry == {"name": "holds", "claim": "A network holds.", "source": "Somebody 2026"}


def test_the_list_imports_neither_jax_nor_pandas():
    code = (
        "import sys; from gradlab.commands.main import main; main(['reproduce', '--list'])\n"
        "sys.exit(bool({'jax', 'pandas', 'numpy', 'hydra'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert all(f"{name}\n" in ended.stdout for name in registry.claims())


@pytest.mark.usefixtures("tiny")
def test_tab_offers_the_claims():
    line = "gradlab reproduce holds f"
    assert candidates(line, str(len(line))) == ["fails "]


@pytest.mark.parametrize("measured", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_never_passes(measured):
    assert not between("x", 0.0, measured).passed
    assert not near("x", 1.0, measured, relative=0.1).passed
    assert not Check("x", 1.0, math.nan, math.nan, 1.0).passed


def test_the_accepted_interval_has_its_ends():
    assert near("x", -2.0, -2.2, relative=0.1).passed
    assert not near("x", -2.0, -2.21, relative=0.1).passed
    assert near("x", 0.0, 0.01, absolute=0.01).passed
    assert within_factor("x", 3.0, 6.0, 2.0).passed
    assert not within_factor("x", 3.0, 1.4, 2.0).passed
    assert between("x", (1.0, 2.0), 0.5, high=0.5).passed
    assert not between("x", (1.0, 2.0), 0.6, high=0.5).passed


def test_a_limit_is_printed_as_one():
    assert accepted(between("x", 1.0, 1.0, low=0.5)) == "≥ 0.5"
    assert accepted(between("x", 1.0, 1.0, high=0.5)) == "≤ 0.5"
    assert cells(between("x", (1.0, 2.0), math.nan, low=0.0, high=3.0))[1:] == [
        "1 to 2",
        "0 to 3",
        "nan",
        "FAIL",
    ]
