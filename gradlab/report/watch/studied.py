"""What is known of each run of a study while it is written."""

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradlab.analysis.study import StudyTable
from gradlab.recipe.errors import RecipeError
from gradlab.report.watch.followed import OVER, FollowedRun
from gradlab.store.follow import status_stamp
from gradlab.store.gather import choices
from gradlab.store.lock import held
from gradlab.store.read import Run, folders, open_run
from gradlab.store.status import read_status

QUIET_SECONDS = (
    10.0  # after which a study of which no run is written is over: between two runs data may be loaded
)


@dataclass
class Member:
    """A run of the study; `followed` while it is written, `row` of the study's table once it is over.

    written_at: when its status was written, in nanoseconds; is_written: whether a process holds its lock.
    """

    folder: Path
    state: str = ""
    is_written: bool = False
    written_at: int = 0
    stamp: tuple[int, ...] = ()
    followed: FollowedRun | None = None
    row: dict[str, Any] | None = None
    problem: str = ""

    def look(self) -> bool:
        """Read what is new of it; whether anything is."""
        try:
            stamp = (*status_stamp(self.folder), self.is_written)
        except RecipeError:  # its status is not written yet
            return False
        if stamp == self.stamp:
            return False
        self.stamp, self.written_at, self.row = stamp, stamp[0], None
        self.problem = ""
        try:
            if self.is_written:
                self.follow().look()
            status = read_status(self.folder)
            state = status.get("state", "unreadable")
            self.state = "killed" if state == "running" and not self.is_written else state
        except RecipeError as error:
            self.state, self.problem = "unreadable", str(error)
        return True

    def follow(self) -> FollowedRun:
        """What is known of its rows."""
        self.followed = self.followed or FollowedRun(self.folder)
        return self.followed


@dataclass
class Study:
    """The runs at and below a folder, those that are written first, then those that were written last."""

    path: Path
    members: dict[Path, Member] = field(default_factory=dict)
    quiet_since: float | None = None
    was_written: bool = False  # while it was watched
    _tables: dict[Path, StudyTable] = field(default_factory=dict)
    _labels: dict[tuple[Path, ...], dict[Path, str]] = field(default_factory=dict)
    _runs: dict[Path, Run] = field(default_factory=dict)  # for their choices, which do not change

    def look(self, now: float) -> list[Member]:
        """Read what is new; the members of which anything is. `now` in seconds of any clock.

        Raises:
            RecipeError: the path is no folder any more.
        """
        for folder in folders(self.path):
            self.members.setdefault(folder, Member(folder))
        changed = []
        for member in self.members.values():
            member.is_written = held(member.folder)
            if member.look():
                changed.append(member)
        is_written = any(member.is_written for member in self.members.values())
        self.was_written |= is_written
        self.quiet_since = None if is_written else (self.quiet_since or now)
        return changed

    def is_over(self, now: float) -> bool:
        """Whether no run is written, and none has been for a while if one was when it was watched."""
        if not self.members or self.quiet_since is None:
            return False
        return not self.was_written or now - self.quiet_since >= QUIET_SECONDS

    def ordered(self) -> list[Member]:
        """The members, those that are written first, then by when they were written last."""
        known = [member for member in self.members.values() if member.state]
        return sorted(
            known, key=lambda member: (not member.is_written, -member.written_at, member.folder.name)
        )

    def counts(self) -> Counter[str]:
        """How many members have each state."""
        return Counter(member.state for member in self.members.values() if member.state)

    def row(self, member: Member) -> dict[str, Any]:
        """The row of the study's table of a member that is over, which is computed where it is not kept."""
        if member.row is None:
            place = member.folder.parent
            if place not in self._tables:
                self._tables[place] = StudyTable(place)
            member.row = self._tables[place].row(member.folder)
        return member.row

    def labels(self, members: list[Member]) -> dict[Path, str]:
        """What tells these members apart: the choices in which they differ, or the name of the folder."""
        key = tuple(member.folder for member in members)
        if key not in self._labels:
            for folder in key:
                if folder not in self._runs:
                    with suppress(RecipeError):
                        self._runs[folder] = open_run(folder, running=True)
            self._labels = {key: _labels(key, self._runs)}
        return self._labels[key]


def _labels(folders: tuple[Path, ...], runs: Mapping[Path, Run]) -> dict[Path, str]:
    """The choices in which the runs of these folders differ; a number that only some have, as a clip's threshold, only
    where it differs in these.
    """
    known = [folder for folder in folders if folder in runs]
    found = choices([runs[folder] for folder in known])
    differing = {key: values for key, values in found.items() if len({*map(repr, values)} - {"None"}) > 1}
    names = {folder: folder.name for folder in folders}
    for index, folder in enumerate(known):
        words = [f"{key}={values[index]}" for key, values in differing.items() if values[index] is not None]
        names[folder] = " ".join(words) or folder.name
    return names


def is_over(member: Member) -> bool:
    """Whether a member has a row of the study's table: it writes no more, and can be read."""
    return member.state in OVER and not member.is_written
