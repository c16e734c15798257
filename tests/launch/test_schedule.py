"""Which cells a free slot gets next."""

from gradlab.launch.schedule import START_SECONDS, Schedule


def schedule(*structures: str, **options) -> Schedule:
    return Schedule(dict(enumerate(structures)), **{"batch_size": 1} | options)


def test_a_slot_keeps_its_structure_and_another_begins_the_next():
    cells = schedule("a", "b", "a", "b", "c")
    assert [cells.take(0), cells.take(1), cells.take(0), cells.take(1), cells.take(0)] == [
        [0],
        [1],
        [2],
        [3],
        [4],
    ]
    assert not cells


def test_a_structure_is_shared_only_where_that_is_measured_to_be_faster():
    cells = schedule(*["a"] * 30)
    assert cells.take(0) == [0]
    assert cells.take(1) == []  # nothing is known of its pace
    cells.note(0, 5.0)
    assert cells.take(0) == [1]
    cells.note(1, 0.1)  # 28 cells of 0.1 s: another process would begin when they are done
    assert cells.take(1) == []
    slow = schedule(*["a"] * 30)
    slow.take(0)
    slow.note(0, 6.0)
    slow.take(0)
    slow.note(1, 2.0)
    assert 2 * (START_SECONDS + 4.0) < 28 * 2.0
    assert slow.take(1) == [2]


def test_a_slot_without_a_process_costs_its_start():
    seconds = 1.1 * 2 * START_SECONDS / 28
    for slot_was_used, expected in ((False, []), (True, [3])):
        cells = schedule("b", *["a"] * 30)
        if slot_was_used:
            cells.take(1)
            cells.note(0, 1.0)
        assert cells.take(0) == ([1] if slot_was_used else [0])
        cells.note(1, seconds)
        cells.take(0)
        cells.note(2, seconds)
        assert bool(cells.take(1)) == bool(expected) or not slot_was_used


def test_batches_are_of_one_structure():
    cells = schedule("a", "a", "b", "a", "b", batch_size=2, shares=True)
    assert [cells.take(slot) for slot in range(4)] == [[0, 1], [2, 4], [3], []]


def test_what_has_ended_a_process_comes_last_and_alone():
    cells = schedule("a", "a", "a", "a", batch_size=4)
    assert cells.take(0) == [0, 1, 2, 3]
    cells.put_back([1], alone=True)
    cells.put_back([2, 3])
    assert [cells.take(0), cells.take(0), cells.take(0)] == [[2, 3], [1], []]


def test_clear_gives_what_waits():
    cells = schedule("a", "b", "a")
    cells.take(0)
    cells.put_back([0], alone=True)
    assert cells.clear() == [0, 1, 2]
    assert not cells
