"""Which cells a free slot of an engine gets next: those of the structure whose programs it holds."""

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

START_SECONDS = 4.0  # that a process takes to start and to import JAX


class Schedule:
    """The cells of a grid that wait, by structure, in the order of the structures' first appearance.

    A slot takes the cells of its last structure first, then those of one that nobody has begun. A structure is shared
    by two slots only where its cells are measured to take longer than compiling it once more.
    """

    def __init__(self, structures: Mapping[int, Hashable], batch_size: int, shares: bool = False) -> None:
        """`structures`: the structure of each cell; `batch_size`: cells that are taken at once, at most.

        shares: whether a slot takes cells of any structure as soon as it is free.
        """
        self._shares = shares
        self._structures = structures
        self._batch_size = batch_size
        self._waiting: dict[Hashable, deque[int]] = {}
        for cell, structure in structures.items():
            self._waiting.setdefault(structure, deque()).append(cell)
        self._alone: deque[int] = deque()  # cells that have ended a process: each is a batch of its own
        self._slots: dict[int, Hashable] = {}  # the last structure of each slot
        self._seconds: dict[Hashable, list[float]] = {}  # of the cells that have ended

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values())) + len(self._alone)

    def take(self, slot: int) -> list[int]:
        """The next cells for a free slot; none where it had better stay free."""
        structure = self._next(slot)
        if structure is None:
            return [self._alone.popleft()] if self._alone else []
        self._slots[slot] = structure
        waiting = self._waiting[structure]
        return [waiting.popleft() for _ in range(min(self._batch_size, len(waiting)))]

    def put_back(self, cells: Sequence[int], alone: bool = False) -> None:
        """Let cells wait again: at the head, or alone after all others."""
        if alone:
            self._alone.extend(cells)
            return
        for cell in reversed(cells):
            self._waiting[self._structures[cell]].appendleft(cell)

    def note(self, cell: int, seconds: float) -> None:
        """How long a cell has taken in its slot."""
        self._seconds.setdefault(self._structures[cell], []).append(seconds)

    def clear(self) -> list[int]:
        """Let nothing wait any more; returns what did."""
        cells = [*self._alone, *(cell for waiting in self._waiting.values() for cell in waiting)]
        self._alone.clear()
        self._waiting.clear()
        return sorted(cells)

    def _next(self, slot: int) -> Hashable | None:
        """The structure from which a slot takes its next cells."""
        own = self._slots.get(slot)
        if own is not None and self._waiting.get(own):
            return own
        left = [structure for structure, cells in self._waiting.items() if cells]
        held = set(self._slots.values())
        fresh = [structure for structure in left if structure not in held]
        if fresh:
            return fresh[0]
        if self._shares:
            return next(iter(left), None)
        longest = max(left, key=self._seconds_left, default=None)
        if longest is None or self._seconds_left(longest) <= 2 * self._start_seconds(slot, longest):
            return None
        return longest

    def _seconds_left(self, structure: Hashable) -> float:
        """How long each of the slots that hold a structure will still have it, as measured; 0 where nothing was."""
        holders = list(self._slots.values()).count(structure) or 1
        pace = min(self._seconds.get(structure, [0.0]))
        return len(self._waiting[structure]) * pace / holders

    def _start_seconds(self, slot: int, structure: Hashable) -> float:
        """What one more slot would take to begin with a structure: the first cell took longer than the others."""
        seconds = self._seconds.get(structure, [0.0])
        process = 0.0 if slot in self._slots else START_SECONDS
        return process + seconds[0] - min(seconds)
