"""What the README and the pages beside it say is there: commands compose, Python compiles, nothing is left out."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from gradlab.commands.compose.grid import grid
from gradlab.commands.help import EXAMPLES
from gradlab.commands.main import main
from gradlab.commands.registry import commands, module
from gradlab.recipe import options

DOCS = Path(__file__).parent.parent / "docs"
README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")
PAGES = ("options", "commands", "python", "parts", "files")
TEXT = "\n".join([README, *((DOCS / f"{name}.md").read_text("utf-8") for name in PAGES)])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


COMMAND_LINES = [
    line for block in blocks("bash") for line in block.splitlines() if line.startswith("gradlab ")
]


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    """An empty folder to work in, with the one module that the README writes."""
    monkeypatch.chdir(tmp_path)
    Path("my_acts.py").write_text(next(block for block in blocks("python") if "# my_acts.py" in block))


@pytest.mark.few(4)
@pytest.mark.usefixtures("newcomer")
@pytest.mark.parametrize("line", [*COMMAND_LINES, *EXAMPLES.splitlines()])
def test_a_command_of_the_readme_or_the_help_is_understood(line):
    _, command, *words = shlex.split(line)
    parsed = import_module(module(command)).arguments().parse_intermixed_args(words)
    if command == "run":
        assert grid(parsed.words, parsed.multirun).recipes


@pytest.mark.few(1)
@pytest.mark.usefixtures("newcomer")
@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if line.startswith("gradlab run ")])
def test_what_the_readme_runs_could_run(line, capsys):
    asked = set(line.split())
    if not asked & {"--help", "--cfg"}:
        assert main([*shlex.split(line)[1:], "--dry-run"]) == 0
        assert "nothing was run" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("newcomer")
def test_all_commands_and_python_of_the_readme_run():
    for line in COMMAND_LINES:
        few = ["steps=10", "eval.every=5"] if line.startswith("gradlab run ") else []
        assert main([*shlex.split(line)[1:], *few]) in (0, 1), (
            line
        )  # 1: a verdict that --fail-on does not want
    known: dict = {}
    for block in blocks("python")[:2]:  # after them parts to add, and what Polars reads
        exec(block, known)
    assert known["signals"].log10_forward.shape == (50,)


@pytest.mark.slow
@pytest.mark.usefixtures("newcomer")
def test_the_first_function_of_one_s_own_learns(capsys):
    (line,) = (line for line in COMMAND_LINES if "my_acts" in line)
    assert main(shlex.split(line)[1:]) == 0
    assert "training    learned" in capsys.readouterr().out


def test_the_two_newcomer_s_commands_stand_at_the_top():
    first, second = blocks("bash")[:2]
    assert first == "pip install -e . && gradlab run model=mlp depth=50 clip=norm\n"
    assert second == "pip install -e '.[dev]' && pytest\n"
    assert README.startswith("# gradlab\n\n```bash")


def test_the_readme_is_a_page_and_a_half():
    assert len(README.splitlines()) < 130


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))])
def test_links_lead_to_files_and_headings_that_are_there(page):
    path = DOCS.parent / page
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8")):
        if "://" in link:
            continue
        name, _, heading = link.partition("#")
        target = path if not name else path.parent / name
        assert target.exists(), link
        titles = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE) if heading else []
        anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, link


def test_every_command_is_shown():
    assert {line.split()[1] for line in COMMAND_LINES} == set(commands())


def test_every_option_is_named():
    for group, names in options.groups().items():
        text = (DOCS / "experiments.md").read_text("utf-8") if group == "experiment" else TEXT
        if group != "probe":
            assert all(re.search(rf"\b{name}\b", text) for name in names), group


@pytest.mark.parametrize("block", blocks("python"))
def test_its_python_is_python(block):
    if "<<" not in block:
        compile(block, "README.md", "exec")


@pytest.mark.parametrize("block", blocks("yaml"))
def test_its_yaml_is_yaml(block):
    import yaml

    assert yaml.safe_load(block)
