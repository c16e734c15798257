"""Tab completion for bash: commands, flags, groups with their options, and keys; imports the standard library only."""

from collections.abc import Iterable

from gradlab.analysis.words import WORDS
from gradlab.commands.registry import commands, flags
from gradlab.recipe import options
from gradlab.recipe.bounds import Bound, bound
from gradlab.recipe.errors import RecipeError
from gradlab.recipe.recipe import BOUNDS
from gradlab.reproductions.registry import claims

_BASH = """\
_gradlab() {
    local IFS=$'\\n'
    COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" gradlab --complete 2>/dev/null))
}
complete -o nospace -o default -F _gradlab gradlab"""
TAKES_OVERRIDES = ("run", "lr-find")  # commands whose words are GROUP=OPTION and KEY=VALUE


def script(shell: list[str]) -> str:
    """The shell code that `eval "$(gradlab --completion bash)"` runs.

    Raises:
        RecipeError: for another shell than bash.
    """
    if shell != ["bash"]:
        raise RecipeError("--completion supports one shell: bash (and zsh, after `bashcompinit`)")
    return _BASH


def candidates(line: str, point: str) -> list[str]:
    """The possible completions of `line` at the cursor `point`; bash expects only what follows the last '='."""
    before_cursor = line[: int(point)] if point.isdigit() else line
    words = before_cursor.split(" ")
    word = words[-1]
    complete_words = [other for other in words[1:-1] if other]
    if not complete_words:
        return _matching([*commands(), "--help", "--version"], word)
    command = complete_words[0]
    if command == "explain" and not word.startswith("-"):
        return _verdicts(complete_words[1:], word)
    if command == "reproduce" and not word.startswith("-"):
        return _matching([*claims(), "all"], word)
    if word.startswith("-") or command not in TAKES_OVERRIDES:
        return _matching([*_flag_names(command), "--help"], word) if word else []
    if "=" in word:
        return _values(*word.split("=", 1))
    return [f"{key}=" for key in _keys(complete_words) if key.startswith(word)]


def _verdicts(words: list[str], word: str) -> list[str]:
    """What is left of the verdicts that begin with the words before: `rank c` is completed to `rank collapse`."""
    text = " ".join([*words, word])
    return [f"{name[len(text) - len(word) :]} " for name in WORDS if name.startswith(text)]


def _flag_names(command: str) -> list[str]:
    """The long name of each flag of a command."""
    return [flag.names[-1] for flag in flags(command)]


def _keys(words: list[str]) -> list[str]:
    """Groups, root keys, and the keys of the options that are the default or chosen by `words`."""
    groups = options.groups()
    chosen = {group: options.default(group) for group in groups}
    chosen |= dict(word.split("=", 1) for word in words if word.partition("=")[0] in groups)
    of_options = [
        f"{group}.{key}" for group, option in chosen.items() for key in options.parameters(group, option)
    ]
    return [*groups, *options.keys(), *of_options]


def _values(key: str, text: str) -> list[str]:
    """The options of a group or the words that a key takes; in a list `he,xa` only the last one is completed."""
    names = options.probes() if key == "probe" else options.groups().get(key) or _words(key)
    cut = max(text.rfind(","), text.rfind("[")) + 1
    head, tail = text[:cut], text[cut:]
    values = [head + name for name in names if name.startswith(tail) and name not in head]
    return values if head else _with_space(values)


def _words(key: str) -> list[str]:
    limit = bound(BOUNDS[key]) if key in BOUNDS else None
    if not isinstance(limit, Bound):
        return []
    return ["true", "false"] if limit.value_type is bool else list(limit.among)


def _matching(names: Iterable[str], start: str) -> list[str]:
    return _with_space(name for name in names if name.startswith(start))


def _with_space(names: Iterable[str]) -> list[str]:
    """A space after each name: the word is complete."""
    return [f"{name} " for name in names]
