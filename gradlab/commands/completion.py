"""Tab in bash: commands, flags, groups with their options, keys; reads names of files, imports little."""

from collections.abc import Iterable

from gradlab.commands.help import COMMANDS, FLAGS
from gradlab.recipe import options
from gradlab.recipe.bounds import Bound, bound
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import BOUNDS

_BASH = """\
_gradlab() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" gradlab --complete 2>/dev/null))
}
complete -o nospace -o default -F _gradlab gradlab"""
OTHERS = {
    "plot": ["--kind", "--format", "--out"],
    "compare": ["--by", "--format", "--out"],
    "diagnose": ["--json", "--fail-on"],
    "suggest-clip": ["--threshold", "--json", "--format", "--out"],
    "lr-find": ["--low", "--high", "--steps", "--force", "--json", "--format", "--config-dir"],
    "ls": [],
}


def script(shell: list[str]) -> str:
    """What `eval "$(gradlab --completion bash)"` runs."""
    if shell != ["bash"]:
        raise RecipeError("--completion knows one shell: bash (zsh takes it after `bashcompinit`)")
    return _BASH


def answer(line: str, point: str) -> list[str]:
    """What may stand at the cursor; bash wants only the part after the last '='."""
    before = line[: int(point)] if point.isdigit() else line
    words = before.split(" ")
    word = words[-1]
    done = [other for other in words[1:-1] if other]
    if not done:
        return _spaced(name for name in [*COMMANDS, "--help", "--version"] if name.startswith(word))
    if done[0] != "run" and (done[0] != "lr-find" or word.startswith("-")):
        return _spaced(
            flag for flag in [*OTHERS.get(done[0], []), "--help"] if word and flag.startswith(word)
        )
    if "=" in word:
        return _values(*word.split("=", 1))
    flags = [flag.rpartition(", ")[2].split(" ")[0] for flag in FLAGS]
    return [f"{key}=" for key in _keys(done) if key.startswith(word)] + _spaced(
        flag for flag in [*flags, "--help"] if word.startswith("-") and flag.startswith(word)
    )


def _keys(done: list[str]) -> list[str]:
    """Groups, root keys, and the keys of the options that stand or were chosen on this line."""
    found = options.groups()
    chosen = {group: options.default(group) for group in found}
    chosen |= dict(word.split("=", 1) for word in done if word.partition("=")[0] in found)
    own = [f"{g}.{key}" for g, option in chosen.items() for key in options.parameters(g, option)]
    return [*found, *options.keys(), *own]


def _values(key: str, text: str) -> list[str]:
    """The options of a group, or the words a key takes; in a list `he,xa` only the last is completed."""
    known = options.groups().get(key) or _words(key)
    cut = max(text.rfind(","), text.rfind("[")) + 1
    head, tail = text[:cut], text[cut:]
    found = [head + name for name in known if name.startswith(tail) and name not in head]
    return found if head else _spaced(found)


def _words(key: str) -> list[str]:
    limit = bound(BOUNDS[key]) if key in BOUNDS else None
    if not isinstance(limit, Bound):
        return []
    return ["true", "false"] if limit.kind is bool else list(limit.among)


def _spaced(names: Iterable[str]) -> list[str]:
    return [f"{name} " for name in names]
