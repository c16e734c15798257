"""What the views and the progress of a run have in common: a bar, the profiles beside each other, lines that fit."""

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from gradlab.report.watch.braille import Profile, beside, curve

TITLES = {"backward": "← backward", "forward": "forward →", "gradient": "weight gradient"}
# colours that the terminal's own theme makes readable on its background; what they say is said by characters, too
STYLES = {"backward": "blue", "forward": "green", "gradient": "magenta"}


class Space(NamedTuple):
    """What a view may take: characters, lines, and whether only ASCII characters are shown."""

    width: int
    height: int
    plain: bool = False


def profile_lines(profiles: dict[str, Profile], space: Space, height: int) -> list[Text]:
    """The profiles beside each other, each with its title and its axes."""
    width = (space.width - len(profiles) + 1) // len(profiles)
    blocks = []
    for name, profile in profiles.items():
        drawn = curve(profile, width, height, space.plain)
        heading = TITLES[name].replace("← ", "<- " if space.plain else "← ")
        heading = heading.replace(" →", " ->" if space.plain else " →")
        blocks.append([set_cell_size(piece, width) for piece in [heading, *drawn]])
    styles = [STYLES[name] for name in profiles]
    return [
        Text.assemble(*((piece, style) for piece, style in zip(pieces, styles, strict=True)))
        for pieces in beside(blocks)
    ]


def bar(done: int, total: int, width: int, plain: bool = False) -> str:
    """`━━━━╌╌╌╌`: how much is done."""
    full, empty = "#-" if plain else "━╌"
    count = width if total <= done else width * done // max(total, 1)
    return full * count + empty * (width - count)


def fitted(line: Text, width: int) -> Text:
    """The line, cut at the width."""
    if cell_len(line.plain) > width:
        line.truncate(width, overflow="ellipsis")
    line.no_wrap = True
    return line
