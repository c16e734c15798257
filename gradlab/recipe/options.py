"""The groups, options and keys of a recipe, read from the folders of `conf/` without YAML or Hydra.

Help and Tab completion must answer at once, so these simple files are read line by line.
"""

import re
from pathlib import Path

from gradlab.recipe import small_files
from gradlab.recipe.paths import CONF, EXPERIMENTS

_NAME = re.compile(r"[\w-]{1,100}")  # of an option's file, which is in its group's folder
ALL = "all"  # every probe, or every snapshot
LONGEST_QUESTION = 1000  # characters
_KEY = re.compile(
    r"^(?P<indent> *)['\"]?(?P<key>\w+)['\"]?:(?: +(?P<value>[^#]*?))?(?: +# (?P<meaning>.*))?$"
)


def groups(*folders: Path) -> dict[str, list[str]]:
    """The sorted options of every group, `experiment` last, from `conf/` and the user's `--config-dir` folders."""
    options: dict[str, set[str]] = {group: set() for group in _default_options()}
    for file in [file for folder in (CONF, *folders) for file in small_files.listed(folder, "*/*.yaml")]:
        if file.parent.name in options:
            options[file.parent.name].add(file.stem)
    options["experiment"] = set(experiments(*folders))
    return {group: sorted(names) for group, names in options.items()}


def experiments(*folders: Path) -> dict[str, Path]:
    """The files of `experiments/` by name; of equal names the current folder's wins, then the `--config-dir`'s."""
    places = [EXPERIMENTS, *(folder / "experiments" for folder in reversed(folders)), Path("experiments")]
    files = [file for place in places for file in small_files.listed(place, "*.yaml")]
    return {file.stem: file for file in files if file.is_file()}


def keys() -> dict[str, tuple[str, str]]:
    """The root keys with their default and their meaning: {"log.every": ("1", "steps between …")}."""
    root_keys: dict[str, tuple[str, str]] = {}
    parent = ""
    body = (CONF / "config.yaml").read_text("utf-8").partition("\ndefaults:\n")[2]
    for match in filter(None, map(_KEY.match, body.splitlines())):
        indent, key, value, meaning = match.groups(default="")
        parent = parent if indent else key
        if value:
            root_keys[f"{parent}.{key}" if indent else key] = (value, meaning)
    of_model = _pairs((CONF / "model" / f"{default('model')}.yaml").read_text("utf-8"))
    return root_keys | {
        key: (value, root_keys[key][1]) for key, value in of_model.items() if key in root_keys
    }


def parameters(group: str, option: str, *folders: Path) -> dict[str, str]:
    """The parameters of an option with their defaults; of a name that no option has, none."""
    if not _NAME.fullmatch(option):
        return {}
    files = [folder / group / f"{option}.yaml" for folder in (CONF, *folders)]
    text = next((small_files.read(file) for file in files if file.is_file()), "")
    pairs = _pairs(_part(text, group))
    return {key: value for key, value in pairs.items() if key != "name"}


def _part(text: str, group: str) -> str:
    """The lines below `group:` in a file that sets root keys or other groups too; else all lines."""
    _, heading, tail = text.partition(f"\n{group}:\n")
    indented = re.split(r"^(?=\S)", tail, maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"^  ", "", indented, flags=re.MULTILINE) if heading else text


def _pairs(text: str) -> dict[str, str]:
    """The keys of the first level that have a value on their line."""
    matches = [match for match in map(_KEY.match, text.splitlines()) if match and not match["indent"]]
    return {match["key"]: match["value"] for match in matches if match["value"]}


def question(file: Path) -> str:
    """The question that an experiment asks: the comment in its first line."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        return lines.readline(LONGEST_QUESTION).removeprefix("#").strip()


def default(group: str) -> str:
    """The option that a group has by default, "" if none."""
    return _default_options().get(group, "")


def presets() -> dict[str, list[str]]:
    """The sets of probes by name: {"economy": ["forward", …], …}."""
    lines = re.findall(r"^(\w+): \[(.*)\]$", (CONF / "presets.yaml").read_text("utf-8"), re.MULTILINE)
    return {name: members.split(", ") for name, members in lines}


def probes() -> list[str]:
    """What `probe=…` takes: probes of the step, those with a program of their own, sets of them, and all."""
    of_groups = groups()
    return [*of_groups["probe"], *of_groups["snapshot"], *presets(), ALL]


def _default_options() -> dict[str, str]:
    """Every group's default option, in the order of the defaults list."""
    text = (CONF / "config.yaml").read_text("utf-8").partition("\ndefaults:\n")[2].partition("\n\n")[0]
    pairs = re.findall(r"^ +- (\w+): ([\w\[]+)", text, re.MULTILINE)
    options = {group: "" if option == "null" or option.startswith("[") else option for group, option in pairs}
    return {"model": options["model"], **options}  # last in the file, but a reader looks for it first
