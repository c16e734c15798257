"""The loop: look, show, and wait so long that looking takes little of a core."""

import sys
import time

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gradlab.recipe.printing import printable
from gradlab.report.terminal import say
from gradlab.report.watch.drawing import Space
from gradlab.report.watch.keys import keys
from gradlab.report.watch.views import View

PAUSE = 0.5  # seconds between two looks, or more:
LEAST_REST = 60  # times as long as a look took, so that it takes less than 2 % of a core


def show(view: View, console: Console) -> None:
    """Show a view until it is over or the key q is pressed: on a terminal as a whole screen, else as lines.

    Raises:
        RecipeError: what is watched cannot be read.
    """
    if console.is_terminal and not console.is_dumb_terminal:
        _on_a_terminal(view, console)
    else:
        _as_lines(view)


def _as_lines(view: View) -> None:
    """A line for each change."""
    while True:
        began = time.process_time()
        for line in view.look():
            say(line, sys.stdout)
        if view.is_over:
            break
        time.sleep(_pause(began))
    for line in view.closing():
        say(line)


def _on_a_terminal(view: View, console: Console) -> None:
    """The view on a screen of its own, and at last once on that of the shell."""
    with keys() as read_key, Live(console=console, screen=True, auto_refresh=False) as live:
        pressed = ""
        while pressed != "q":
            began = time.process_time()
            if pressed:
                view.press(pressed)
            view.look()
            if view.is_over and not pressed:
                break
            live.update(_with_hint(view, console), refresh=True)
            pressed = read_key(_pause(began))
    console.print(view.draw(_space(console)))


def _pause(began: float) -> float:
    return max(PAUSE, LEAST_REST * (time.process_time() - began))


def _space(console: Console) -> Space:
    """What is left above the line of the keys."""
    return Space(console.width, console.height - 1, plain=console.options.ascii_only)


def _with_hint(view: View, console: Console) -> Group:
    return Group(view.draw(_space(console)), Text(printable(view.hint), style="dim", no_wrap=True))
