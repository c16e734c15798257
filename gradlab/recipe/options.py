"""What can be chosen and set, read from the folders of `conf/` without YAML or Hydra.

Help and Tab are asked often and must answer at once; the files are ours and simple, so lines are enough.
"""

import re
from pathlib import Path

from gradlab.recipe.paths import CONF, EXPERIMENTS

_KEY = re.compile(r"^(?P<indent> *)(?P<key>\w+):(?: +(?P<value>[^#]*?))?(?: +# (?P<why>.*))?$")


def groups(*folders: Path) -> dict[str, list[str]]:
    """The options of every group, `experiment` last: the files of the folders of `conf/` and of one's own."""
    found: dict[str, set[str]] = {name: set() for name in _order()}
    for file in [file for folder in (CONF, *folders) for file in folder.glob("*/*.yaml")]:
        if file.parent.name in found:
            found[file.parent.name].add(file.stem)
    found["experiment"] = set(experiments(*folders))
    return {group: sorted(names) for group, names in found.items()}


def experiments(*folders: Path) -> dict[str, Path]:
    """The files of `experiments/`: the current folder's, one's own `--config-dir`'s, and the shipped ones."""
    places = [EXPERIMENTS, *(folder / "experiments" for folder in reversed(folders)), Path("experiments")]
    return {file.stem: file for place in places for file in sorted(place.glob("*.yaml")) if file.is_file()}


def keys() -> dict[str, tuple[str, str]]:
    """The root keys with their default and what they are for: {"log.every": ("1", "steps between …")}."""
    found: dict[str, tuple[str, str]] = {}
    parent = ""
    body = (CONF / "config.yaml").read_text("utf-8").partition("\ndefaults:\n")[2]
    for match in filter(None, map(_KEY.match, body.splitlines())):
        indent, key, value, why = match.groups(default="")
        parent = parent if indent else key
        if value:
            found[f"{parent}.{key}" if indent else key] = (value, why)
    usual = _pairs((CONF / "model" / f"{default('model')}.yaml").read_text("utf-8"))
    return found | {key: (value, found[key][1]) for key, value in usual.items() if key in found}


def parameters(group: str, option: str, *folders: Path) -> dict[str, str]:
    """The keys of an option's part with their defaults, without its name."""
    files = [folder / group / f"{option}.yaml" for folder in (CONF, *folders)]
    text = next((file.read_text("utf-8") for file in files if file.is_file()), "")
    found = _pairs(_part(text, group))
    return {key: value for key, value in found.items() if key != "name"}


def _part(text: str, group: str) -> str:
    """What stands below `group:` in a file that sets root keys or other groups too; else all of it."""
    _, below, tail = text.partition(f"\n{group}:\n")
    own = re.split(r"^(?=\S)", tail, maxsplit=1, flags=re.MULTILINE)[0]
    return re.sub(r"^  ", "", own, flags=re.MULTILINE) if below else text


def _pairs(text: str) -> dict[str, str]:
    """The keys of the first level that have a value on their line."""
    found = [match for match in map(_KEY.match, text.splitlines()) if match and not match["indent"]]
    return {match["key"]: match["value"] for match in found if match["value"]}


def question(file: Path) -> str:
    """The first line of an experiment: what it asks."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        return lines.readline().removeprefix("#").strip()


def default(group: str) -> str:
    """The option a group has when nothing is said."""
    return _order().get(group, "")


def _order() -> dict[str, str]:
    """The groups in the order of the defaults list, with their default option."""
    text = (CONF / "config.yaml").read_text("utf-8").partition("\ndefaults:\n")[2].partition("\n\n")[0]
    pairs = re.findall(r"^ +- (\w+): ([\w\[]+)", text, re.MULTILINE)
    found = {group: "" if option == "null" or option.startswith("[") else option for group, option in pairs}
    return {"model": found["model"], **found}  # it stands last there, but a reader asks for it first
