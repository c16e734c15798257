"""Names and texts of files as they are printed and drawn: they command no terminal, and look like nothing else."""

import re
import unicodedata

LONGEST = 800  # characters of one line of an error
_LINE_BREAK = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")  # all at which a text is split into lines


def printable(text: str) -> str:
    """The text with everything that is no letter, sign, space or end of a line written as `\\u001b`.

    Control characters move the cursor, ring the bell and change colours; marks of direction and invisible characters
    make a name look like another.
    """
    return "".join(
        c if c == "\n" or c.isprintable() or unicodedata.category(c) == "Zs" else _code(c) for c in text
    )


def _code(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def one_line(text: object) -> str:
    """The text with its line breaks written as `\\n`: a name cannot look like a line of its own."""
    return _LINE_BREAK.sub(lambda found: ascii(found[0])[1:-1], str(text))


def shortened(line: str, longest: int = LONGEST) -> str:
    """A line, its middle left out where it is too long: what is wrong stands at its start, what to do at its end."""
    left_out = len(line) - longest
    if left_out <= 0:
        return line
    end = longest * 3 // 8
    return f"{line[: longest - end]}… ({left_out:,} characters) …{line[-end:]}"
