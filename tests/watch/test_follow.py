"""A run is read as it grows: each file once, nothing before it counts, and as if it were read anew each time."""

import pytest

from gradlab.analysis.verdicts import verdicts_of
from gradlab.recipe.errors import RecipeError
from gradlab.report.watch.followed import FollowedRun
from gradlab.store import files, follow
from gradlab.store.read import frames, open_run
from tests import runs
from tests.growing import GrowingRun

PARTS = ((0, 10), (10, 30), (30, 31), (31, 70), (70, 100))


@pytest.fixture
def reads(monkeypatch):
    """The names of the files of tables that are read."""
    names = []
    file_rows = follow.file_rows
    monkeypatch.setattr(
        follow, "file_rows", lambda run, name, *rest: names.append(name) or file_rows(run, name, *rest)
    )
    return names


def test_each_part_is_read_once(grown, reads):
    followed = FollowedRun(grown.folder)
    for first, stop in PARTS:
        grown.grow(first, stop)
        assert followed.look()
        assert not followed.look()
    assert len(reads) == len(set(reads)) == 2 * len(PARTS)


def test_the_verdicts_are_those_of_all_rows(grown):
    followed = FollowedRun(grown.folder)
    for first, stop in PARTS:
        grown.grow(first, stop)
        followed.look()
        assert repr(followed.seen.verdicts) == repr(verdicts_of(open_run(grown.folder, running=True)))
    grown.finish()
    followed.look()
    assert followed.seen.state == "finished"
    assert repr(followed.seen.verdicts) == repr(verdicts_of(open_run(grown.folder)))


def test_the_profiles_are_those_of_the_newest_step(grown):
    followed = FollowedRun(grown.folder)
    for first, stop in PARTS:
        grown.grow(first, stop)
        followed.look()
        rows = frames("layers", [open_run(grown.folder, running=True)])[0]
        newest = rows[rows.step == stop - 1].sort_values("layer")
        seen = followed.seen
        assert seen.profile_step == stop - 1
        assert seen.profiles["backward"].log10.tolist() == newest.log10_backward.tolist()
        assert "gradient" not in seen.profiles  # it was not measured
        assert seen.last("loss")[0] == pytest.approx(rows_of_steps(grown)[-1])


def rows_of_steps(grown):
    return frames("steps", [open_run(grown.folder, running=True)])[0].loss.tolist()


def test_rows_that_the_status_does_not_count_are_not_shown(grown):
    followed = FollowedRun(grown.folder)
    grown.grow(0, 10)
    grown.add(10, 20)
    grown.status(seconds=9.0)
    followed.look()
    assert (followed.seen.done, followed.seen.profile_step) == (10, 9)
    grown.status(steps_done=20)
    followed.look()
    assert followed.seen.profile_step == 19


def test_a_run_that_went_on_from_a_checkpoint_is_read_anew(grown):
    followed = FollowedRun(grown.folder)
    grown.grow(0, 10)
    grown.grow(10, 20)
    followed.look()
    files.remove(grown.folder, ["layers/part-000000010.parquet", "steps/part-000000010.parquet"])
    grown.grow(10, 15)  # the same name, other rows
    followed.look()
    assert followed.seen.profile_step == 14
    assert followed.seen.steps["step"].tolist() == list(range(15))
    assert followed.seen.history.steps == list(range(15))


def test_two_seeds_are_averaged_and_the_first_one_is_drawn(tmp_path):
    grown = GrowingRun(tmp_path / "study" / "run", seeds=2)
    grown.grow(0, 10)
    followed = FollowedRun(grown.folder)
    followed.look()
    assert (followed.seen.seed, followed.seen.seeds) == (0, 2)
    profile = runs.walk(grown.depth, grown.steps + 1, seed=0)[9]
    assert followed.seen.profiles["backward"].log10.tolist() == pytest.approx(profile.tolist())
    grown.lock.close()


def test_a_killed_run_and_one_that_has_not_begun(grown, tmp_path):
    followed = FollowedRun(grown.folder)
    grown.grow(0, 10)
    followed.look()
    assert (followed.seen.state, followed.seen.is_over) == ("running", False)
    grown.kill()
    assert followed.look()
    assert (followed.seen.state, followed.seen.is_over) == ("killed", True)
    with pytest.raises(RecipeError, match="no run"):
        FollowedRun(tmp_path / "nothing").look()


def test_a_damaged_part_is_told(grown):
    grown.grow(0, 10)
    part = grown.folder / "layers/part-000000000.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(RecipeError, match="is corrupt"):
        FollowedRun(grown.folder).look()


@pytest.mark.parametrize("clip", [{"name": "none"}, {"name": "skip", "threshold": 1.0, "patience": 0}])
def test_a_clip_that_drops_steps_needs_all_rows(tmp_path, clip):
    grown = GrowingRun(tmp_path / "study" / "run", clip=clip)
    followed = FollowedRun(grown.folder)
    for first, stop in PARTS:
        grown.grow(first, stop)
        followed.look()
        assert repr(followed.seen.verdicts) == repr(verdicts_of(open_run(grown.folder, running=True)))
    grown.lock.close()


def test_times_are_those_of_the_status_and_the_clock(grown):
    followed = FollowedRun(grown.folder)
    followed.look()
    assert followed.seen.is_compiling
    written = followed.seen.written_at
    assert followed.seen.seconds(written + 2) == pytest.approx(3.5)
    assert followed.seen.seconds_left(written) is None
    grown.grow(0, 20)
    followed.look()
    assert not followed.seen.is_compiling
    # 20 of 100 steps took 3 − 1 seconds
    assert followed.seen.seconds_left(followed.seen.written_at) == pytest.approx(8.0)
    assert followed.seen.seconds_left(followed.seen.written_at + 100) == 0.0
