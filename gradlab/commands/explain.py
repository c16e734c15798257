"""`gradlab explain WORD…`: what a verdict's word means: its rule, its formula, its source, and when it misleads."""

import textwrap

from gradlab.analysis.words import TABLES, WORDS, require_words
from gradlab.commands.arguments import Arguments
from gradlab.report.terminal import say

WIDTH = 100


def arguments() -> Arguments:
    """The arguments of `gradlab explain`."""
    parser = Arguments("explain", epilog="example: gradlab explain vanishing rank collapse")
    parser.add_argument(
        "words", nargs="*", metavar="WORD", help="a word of a verdict; all words if not given"
    )
    return parser


def main(argv: list[str]) -> int:
    """Print the definitions of the words, or a line for each of all words.

    Raises:
        RecipeError: there is no such word.
    """
    words = _words(arguments().parse_args(argv).words)
    say("\n\n".join(map(explanation, words)) if words else overview())
    return 0


def _words(given: list[str]) -> list[str]:
    """The words that the arguments name: a word may consist of several, as `rank collapse`."""
    words, rest = [], [part for argument in given for part in argument.replace("_", " ").lower().split()]
    while rest:
        length = next((n for n in range(len(rest), 0, -1) if " ".join(rest[:n]) in WORDS), 0)
        if not length:
            require_words([" ".join(given)])
        words.append(" ".join(rest[:length]))
        rest = rest[length:]
    return words


def overview() -> str:
    """Each word with the first clause of its rule, by what it is about, in the order in which the rules are asked."""
    lines = []
    for about, table in TABLES.items():
        lines.append(
            f"{about}: of several words that hold, the first is the verdict" if about != "cause" else "causes"
        )
        lines += [f"  {word:<32}{_shortened(entry.rule)}" for word, entry in table.items()]
    return "\n".join(lines)


def _shortened(rule: str) -> str:
    return textwrap.shorten(rule, WIDTH - 34, placeholder=" …")


def explanation(word: str) -> str:
    """The definition of one word."""
    about = next(name for name, table in TABLES.items() if word in table)
    entry = WORDS[word]
    rows = {
        "rule": entry.rule,
        "formula": entry.formula,
        "source": entry.source,
        "misleads": entry.misleads,
    }
    return "\n".join([f"{word} ({about})", *(_row(name, text) for name, text in rows.items())])


def _row(name: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)
