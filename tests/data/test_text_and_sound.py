"""Texts and recordings of the user: read correctly, or refused."""

import numpy as np
import pytest

from tests.data.tasks import assert_refused, make_task, sound, text, wav


def test_a_text_is_predicted_character_by_character_and_split_at_one_position(tmp_path):
    task = make_task("text", **text(tmp_path))
    content = (tmp_path / "user.txt").read_text("utf-8")
    before = content[: round(0.8 * len(content))]
    letters = ["", *sorted({c for c in before if before.count(c) >= 5})]
    read = ["".join(letters[token] for token in row) for row in task.train_x]
    ahead = ["".join(letters[token] for token in row) for row in task.train_y]
    assert all(window + last[-1] in before for window, last in zip(read, ahead, strict=True))
    np.testing.assert_array_equal(task.train_x[:, 1:], task.train_y[:, :-1])


def test_a_text_too_short_or_not_utf8_is_reported(tmp_path):
    options = text(tmp_path)
    assert_refused("text", "are fewer than two windows of data.length=5000", **options | {"length": 5000})
    assert_refused("text", "data.train=9999 is more than", **options, train=9999)
    (tmp_path / "user.txt").write_bytes("déjà vu".encode("latin-1") * 100)
    assert_refused("text", "is not UTF-8 text (byte 1)", **options)


@pytest.mark.parametrize(("width", "kind"), [(1, "u1"), (2, "<i2"), (3, ""), (4, "<i4")])
@pytest.mark.parametrize("channels", [1, 2])
def test_pcm_of_any_width_is_the_same_sound(tmp_path, width, kind, channels):
    from gradlab.data.recordings import _read_samples

    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(800) / 8000)
    values = np.repeat(expected, channels) * 2 ** (8 * width - 1) + (128 if width == 1 else 0)
    raw = values.astype(kind) if kind else np.frombuffer(values.astype("<i4").tobytes(), np.uint8)
    raw = raw if kind else np.ascontiguousarray(raw.reshape(-1, 4)[:, :3])
    sound(tmp_path / "a.wav", raw, width=width, channels=channels)
    np.testing.assert_allclose(
        _read_samples(tmp_path / "a.wav", 8000, 800), expected, atol=2.0 ** (2 - 8 * width)
    )


def test_a_folder_of_sounds_that_cannot_be_read_is_reported(tmp_path):
    options = wav(tmp_path)
    file = tmp_path / "low" / "3.wav"
    original = file.read_bytes()
    for content, message in (
        (original[:3000], "is it cut off?"),
        (b"", "is not a PCM WAV file"),
        (b"ID3" * 99, "is not a PCM WAV file"),
    ):
        file.write_bytes(content)
        assert_refused("wav", message, **options)
    sound(file, np.zeros(4000, "<i2"), rate=16_000)
    assert_refused("wav", "has a sample rate of 16000 Hz, the first file 8000 Hz", **options)


def test_sounds_of_one_class_or_too_few_are_reported(tmp_path):
    for number in range(4):
        sound(tmp_path / "low" / f"{number}.wav", np.zeros(400, "<i2"))
    assert_refused("wav", "in 1 folders; give two or more classes", path=str(tmp_path))
    sound(tmp_path / "high" / "0.wav", np.zeros(400, "<i2"))
    assert_refused("wav", "5 examples are too few", path=str(tmp_path))
