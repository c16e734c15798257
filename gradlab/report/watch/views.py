"""What is watched: a run, or a study with one of its runs looked into; each is looked at again and again."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from rich.console import Group, RenderableType
from rich.text import Text

from gradlab.recipe.errors import RecipeError
from gradlab.recipe.printing import one_line, printable
from gradlab.report.watch.drawing import Space
from gradlab.report.watch.followed import FollowedRun
from gradlab.report.watch.keys import DOWN, ENTER, ESCAPE, UP
from gradlab.report.watch.place import has_runs, is_run
from gradlab.report.watch.run_view import (
    numbers,
    run_view,
    sentences,
    standing,
    title,
    words_so_far,
)
from gradlab.report.watch.studied import Member, Study
from gradlab.report.watch.study_view import cells, study_view, summary


class View(Protocol):
    """What is shown."""

    hint: str  # the keys that it knows

    @property
    def is_over(self) -> bool:
        """Whether nothing more is expected."""

    def look(self) -> list[str]:
        """Read what is new; a line for each change.

        Raises:
            RecipeError: it cannot be read.
        """

    def draw(self, space: Space) -> RenderableType:
        """What is known, for a terminal of this size."""

    def closing(self) -> list[str]:
        """The lines that end a log of its changes."""

    def press(self, key: str) -> None:
        """A key was pressed."""


class RunWatch:
    """One run; each new part of its rows is a change."""

    hint = "q quits"

    def __init__(self, folder: Path) -> None:
        self._followed = FollowedRun(folder)

    @property
    def is_over(self) -> bool:
        """Whether the run writes no more."""
        seen = self._followed.seen
        return seen is not None and seen.is_over

    def look(self) -> list[str]:
        """See `View`."""
        if not self._followed.look() or (seen := self._followed.seen) is None:
            return []
        parts = [standing(seen, time.time()), *numbers(seen), words_so_far(seen)]
        return [printable(one_line(" · ".join(filter(None, parts))))]

    def draw(self, space: Space) -> RenderableType:
        """See `View`."""
        seen = self._followed.seen
        return Text("reading …") if seen is None else run_view(seen, space, time.time())

    def closing(self) -> list[str]:
        """The run, and its verdicts in sentences."""
        seen = self._followed.seen
        if seen is None:
            return []
        lines = [title(seen), *(f"{name:<11} {sentence}" for name, sentence in sentences(seen))]
        return [printable(one_line(line)) for line in lines]

    def press(self, key: str) -> None:
        """No key does anything here."""


class StudyWatch:
    """A study; a change is a run that has begun or ended."""

    def __init__(self, path: Path) -> None:
        self._study = Study(path)
        self._chosen: Member | None = None  # the first one, until another is chosen
        self._inside: Member | None = None
        self._told: dict[Path, str] = {}

    @property
    def hint(self) -> str:
        """The keys that it knows."""
        return (
            "Enter: back to the table · q quits"
            if self._inside
            else "↑ ↓ and Enter: look into a run · q quits"
        )

    @property
    def is_over(self) -> bool:
        """Whether no run is written any more."""
        return self._study.is_over(time.monotonic())

    def look(self) -> list[str]:
        """See `View`."""
        changed = self._study.look(time.monotonic())
        if self._inside and not self._inside.is_written:
            self._inside.follow().look()
        lines = []
        for member in changed:
            if member.state and self._told.get(member.folder) != member.state:
                self._told[member.folder] = member.state
                lines.append(self._line(member))
        return lines

    def draw(self, space: Space) -> RenderableType:
        """See `View`."""
        if self._inside is None:
            return study_view(self._study, space, time.time(), self._chosen)
        seen = self._inside.follow().seen
        return Text("reading …") if seen is None else run_view(seen, space, time.time())

    def closing(self) -> list[str]:
        """How many runs have each state."""
        return [printable(one_line(f"{self._study.path}: {summary(self._study)}"))]

    def press(self, key: str) -> None:
        """Choose a run, look into it, and go back."""
        members = self._study.ordered()
        if self._inside:
            self._inside = None if key in (ENTER, ESCAPE) else self._inside
        elif key in (UP, DOWN):
            at = self._place(members) + (1 if key == DOWN else -1)
            self._chosen = members[min(max(at, 0), len(members) - 1)] if members else None
        elif key == ENTER and members:
            self._open(members[self._place(members)])

    def _place(self, members: list[Member]) -> int:
        """Where the chosen run stands in the order of now."""
        return next((index for index, member in enumerate(members) if member is self._chosen), 0)

    def _open(self, member: Member) -> None:
        try:
            member.follow().look()
            self._inside = member
        except RecipeError as error:
            member.problem = str(error)

    def _line(self, member: Member) -> str:
        words = cells(self._study, member, time.time())
        return printable(one_line(" · ".join(filter(None, [member.folder.name, *words.values()]))))


class Waiting:
    """Nothing yet: `find` gives the run or the study that is then watched; `what` says what is waited for."""

    hint = "q quits"

    def __init__(self, find: Callable[[], Path | None], what: str) -> None:
        self._find, self._what = find, what
        self._view: RunWatch | StudyWatch | None = None
        self._told = False

    @property
    def is_over(self) -> bool:
        """Whether what was waited for is over."""
        return self._view is not None and self._view.is_over

    def look(self) -> list[str]:
        """See `View`."""
        if self._view is None and (path := self._find()) is not None:
            self._view = RunWatch(path) if is_run(path) else StudyWatch(path)
        if self._view is not None:
            self.hint = self._view.hint
            return self._view.look()
        lines = [] if self._told else [self._what]
        self._told = True
        return lines

    def draw(self, space: Space) -> RenderableType:
        """See `View`."""
        return Group(Text(self._what)) if self._view is None else self._view.draw(space)

    def closing(self) -> list[str]:
        """See `View`."""
        return [] if self._view is None else self._view.closing()

    def press(self, key: str) -> None:
        """See `View`."""
        if self._view is not None:
            self._view.press(key)
            self.hint = self._view.hint


def view_of(path: Path) -> Waiting:
    """The run or the study of a folder, which need not have begun.

    Raises:
        RecipeError: it is no folder.
    """
    if path.exists() and not path.is_dir():
        raise RecipeError(f"{path} is not a folder; give the folder of a run or of a study")
    return Waiting(lambda: path if has_runs(path) else None, f"waiting for a run to begin in {path}")
