"""Sentences of words whose frequencies follow Zipf's law; the rare words decide the class."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from gradlab.data.generated import split_generated
from gradlab.data.sizes import Examples, check_size
from gradlab.data.task import Task, data
from gradlab.recipe.bounds import Bound, Count, Positive

RARE = 3  # rare words in a sentence: an odd number, so that they have a majority
Vocabulary = Annotated[int, Bound(int, 20, 1_000_000)]
Words = Annotated[int, Bound(int, RARE + 1, 10_000)]


@data
def words(
    seed: Count, train: Examples, test: Examples, length: Words, vocabulary: Vocabulary, exponent: Positive
) -> Task:
    """Which of two moods most of a sentence's three rare words have, among common words that say nothing.

    Inputs are tokens (examples, length), labels (examples,). The word of rank r has a frequency ∝ r^−exponent (Zipf);
    the commonest tenth of the vocabulary has no mood, each other word one of the two. Most rows of the embedding have
    no gradient in a step: the case for which AdaGrad was made (Duchi et al. 2011).
    """
    check_size(train + test, length)
    rng, count = np.random.default_rng(seed), train + test
    common = vocabulary // 10
    moods = rng.permutation(np.arange(vocabulary) % 2)
    frequencies = np.arange(1, vocabulary + 1, dtype=np.float64) ** -exponent
    sentences = _drawn(rng, frequencies[:common], (count, length))
    rare = common + _drawn(rng, frequencies[common:], (count, RARE))
    places = rng.permuted(np.tile(np.arange(length), (count, 1)), axis=1)[:, :RARE]
    np.put_along_axis(sentences, places, rare, axis=1)
    labels = (moods[rare].sum(1) > RARE // 2).astype(np.int32)
    source = f"synthetic: sentences of {length} words out of {vocabulary}, Zipf exponent {exponent:g}"
    split = split_generated(sentences.astype(np.int32), labels, train)
    return Task(source, *split, outputs=2, vocabulary=vocabulary)


def _drawn(
    rng: np.random.Generator, frequencies: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Numbers of this shape, each with the frequency in its place."""
    numbers: NDArray[np.int64] = rng.choice(len(frequencies), shape, p=frequencies / frequencies.sum())
    return numbers
