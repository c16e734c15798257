"""Sounds of the user's: a folder of WAV files per class, as log-mel frames."""

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradlab.data.files import Stream, check_count, existing_folder, files_in, opened, shown
from gradlab.data.sizes import Length, check_size
from gradlab.data.sound import log_mel
from gradlab.data.speech import Bands
from gradlab.data.standardization import standardize_channels
from gradlab.data.task import Task, data, split
from gradlab.recipe.bounds import Count, Fraction, Text
from gradlab.recipe.errors import RecipeError

_MOST_FILES = 100_000
_MOST_CHUNKS = 1000  # of a file's header; editors write about ten
_PCM, _EXTENSIBLE = 0x0001, 0xFFFE  # format codes; an extensible header has the code after 24 bytes
_LONGEST_DESCRIPTION = 40  # bytes of an extensible "fmt "
_KIND = "a PCM WAV file"


class Sound(NamedTuple):
    """What the header of a WAV file says."""

    rate: int  # Hz
    channels: int
    width: int  # bytes of a sample
    frames: int  # a frame is a sample of every channel


@data
def wav(path: Text, seed: Count, test_fraction: Fraction, length: Length, bands: Bands) -> Task:
    """The class of a sound, from the first `length` frames of 10 ms of its file: (examples, length, bands).

    A shorter file is followed by silence. The files are PCM and have one sample rate; `path` has a folder per class.

    Raises:
        RecipeError: fewer than two of the folders contain WAV files.
    """
    folder = existing_folder(path, "wav")
    files = files_in(folder, "*/*.[wW][aA][vV]", "wav", _MOST_FILES)
    classes = {name: label for label, name in enumerate(sorted({file.parent.name for file in files}))}
    if len(classes) < 2:
        raise RecipeError(
            f"data=wav: {folder} has WAV files in {len(classes)} folders; "
            "give two or more classes, one folder per class"
        )
    check_count(len(files), "wav")
    with opened(files[0], "wav", _KIND) as stream:
        rate = _read_header(stream).rate
    window, hop = 2 * round(0.016 * rate), round(0.01 * rate)
    samples = window + (length - 1) * hop
    check_size(len(files), samples)
    waves = np.stack([_read_samples(file, rate, samples) for file in files])
    y = np.array([classes[file.parent.name] for file in files], np.int32)
    x = log_mel(waves, rate, window, hop, bands)
    train_x, train_y, test_x, test_y = split(x, y, seed, test_fraction)
    train_x, test_x = standardize_channels(train_x, test_x)
    source = (
        f"file: {shown(folder.name)}, {len(x):,} sounds of {len(classes)} classes, log-mel, {length} frames"
    )
    return Task(source, train_x, train_y, test_x, test_y, outputs=len(classes), metric="balanced_accuracy")


def _read_samples(file: Path, rate: int, samples: int) -> NDArray[Any]:
    """The first samples (samples,) in [−1, 1), the mean of the channels; zeros after the end of the file."""
    with opened(file, "wav", _KIND) as stream:
        sound = _read_header(stream)
        if sound.rate != rate:
            raise RecipeError(
                f"it has a sample rate of {sound.rate} Hz, the first file {rate} Hz; use one sample rate"
            )
        count = min(sound.frames, samples)
        check_size(count, sound.channels)
        content = stream.read(count * sound.channels * sound.width)
        if len(content) != count * sound.channels * sound.width:
            raise RecipeError(f"it has fewer samples than the {sound.frames} of its header; is it cut off?")
        if not count:
            raise RecipeError("it has no samples")
        mixed = _decode(content, sound.width).reshape(-1, sound.channels).mean(1)
    return np.pad(mixed, (0, samples - len(mixed)))


def _read_header(stream: Stream) -> Sound:
    """The header up to the first sample, where the stream then stands.

    A file is "RIFF", its size and "WAVE", and then chunks of four letters, a size and so many bytes, of which "fmt "
    describes the samples and "data" contains them.

    Raises:
        RecipeError: it is no such file, or its numbers are not those of a sound.
    """
    start = stream.read(12)
    if start[:4] != b"RIFF" or start[8:] != b"WAVE":
        raise RecipeError(f"it is not {_KIND}: it does not begin with RIFF and WAVE")
    description = b""
    for _ in range(_MOST_CHUNKS):
        head = stream.read(8)
        name, size = head[:4], int.from_bytes(head[4:], "little")
        if len(head) < 8:
            break
        if name == b"data":
            return _sound(description, size)
        following = stream.tell() + size + size % 2
        if name == b"fmt ":
            description = stream.read(min(size, _LONGEST_DESCRIPTION))
        stream.seek(following)
    raise RecipeError(f"it is not {_KIND}: there are no samples in its first {_MOST_CHUNKS} chunks")


def _sound(description: bytes, size: int) -> Sound:
    """What the chunk "fmt " says of `size` bytes of samples."""
    if len(description) < 16:
        raise RecipeError(f"it is not {_KIND}: its header does not describe its samples")
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", description[:16])
    if code == _EXTENSIBLE:
        code = int.from_bytes(description[24:26], "little")
    width = (bits + 7) // 8
    if code != _PCM or not 1 <= width <= 4 or not channels:
        raise RecipeError(
            f"it is not {_KIND}: its header says format {code}, {channels} channels, {bits} bits per sample; "
            "save it as PCM of 8, 16, 24 or 32 bits"
        )
    if not 1000 <= rate <= 200_000:
        raise RecipeError(f"it has a sample rate of {rate} Hz; it must be from 1 000 to 200 000 Hz")
    return Sound(rate=rate, channels=channels, width=width, frames=size // (channels * width))


def _decode(content: bytes, width: int) -> NDArray[Any]:
    """PCM samples of `width` bytes as numbers in [−1, 1): one byte is unsigned, more are signed and little-endian."""
    if width == 1:
        return np.frombuffer(content, np.uint8) / 128.0 - 1
    if width == 3:  # a zero byte before each sample makes it an integer of four bytes
        padded = np.zeros((len(content) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
        return padded.view("<i4").ravel() / 2.0**31
    return np.frombuffer(content, f"<i{width}") / 2.0 ** (8 * width - 1)
