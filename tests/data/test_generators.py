"""Generated examples are what their docstrings say: counted, summed, or compared with the formula."""

import numpy as np
import pytest

from gradlab.data import bearing
from gradlab.data.generated import distinct_rows
from gradlab.data.speech import FORMANTS, RATE, resonators
from gradlab.recipe.errors import RecipeError
from tests.data.tasks import make_task


def assert_mean(observed, expected, deviation, count):
    """A mean of `count` numbers is within three standard errors: one seed in 370 would fail, and this one does not."""
    assert abs(observed - expected) < 3 * deviation / np.sqrt(count)


def test_adding_adds_the_two_marked_numbers_one_in_each_half():
    task = make_task("adding", length=31)
    numbers, marks = task.train_x[..., 0], task.train_x[..., 1]
    np.testing.assert_array_equal(marks[:, :15].sum(1), 1)
    np.testing.assert_array_equal(marks[:, 15:].sum(1), 1)
    np.testing.assert_allclose(task.train_y[:, 0], (numbers * marks).sum(1), rtol=1e-6)


def test_adding_s_baseline_is_a_sixth():
    """(u₁ + u₂ − 1)² has mean 1/6 and variance 1/15 − 1/36: the fourth moment of a triangle less the square."""
    task = make_task("adding", train=20_000)
    errors = (task.train_y - 1) ** 2
    assert_mean(errors.mean(), 1 / 6, np.sqrt(1 / 15 - 1 / 36), len(errors))


@pytest.mark.parametrize("counted", ["recall", "all"])
def test_copy_memory_holds_its_items_over_the_delay(counted):
    task = make_task("copy_memory", delay=7, items=3, symbols=5, train=60, test=20, counted=counted)
    x, y = task.train_x, task.train_y
    assert x.shape[1] == y.shape[1] == 7 + 2 * 3
    np.testing.assert_array_equal(x[:, :3], y[:, -3:])
    np.testing.assert_array_equal(np.unique(x[:, 3:9]), [5])
    np.testing.assert_array_equal(np.unique(x[:, 9]), [6])
    np.testing.assert_array_equal(np.unique(y[:, :-3]), [-1 if counted == "recall" else 5])
    assert task.outputs == (5 if counted == "recall" else 6)


def test_temporal_order_asks_for_two_signals_and_their_order():
    task = make_task("temporal_order", length=40)
    for row, label in zip(task.train_x, task.train_y, strict=True):
        (first, second) = np.flatnonzero(row >= 4)
        assert 4 <= first < 8
        assert 16 <= second < 20
        assert label == 2 * (row[first] == 5) + (row[second] == 5)


def test_parity_is_that_of_the_ones_and_no_bit_tells_it():
    task = make_task("parity", length=16, train=4000)
    np.testing.assert_array_equal(task.train_y, task.train_x.sum(1) % 2)
    agree = (task.train_x == task.train_y[:, None]).mean(0)
    assert np.abs(agree - 0.5).max() < 4 * 0.5 / np.sqrt(4000)  # of sixteen the largest


@pytest.mark.parametrize("name", ["copy", "reverse"])
def test_a_decoder_is_fed_a_start_and_its_own_answer(name):
    task = make_task(name, length=6, symbols=4)
    symbols, fed, y = task.train_x[:, :6], task.train_x[:, 6:], task.train_y
    np.testing.assert_array_equal(y, symbols if name == "copy" else symbols[:, ::-1])
    np.testing.assert_array_equal(fed[:, 0], 4)
    np.testing.assert_array_equal(fed[:, 1:], y[:, :-1])


def test_examples_are_drawn_until_enough_are_different_or_refused():
    rng = np.random.default_rng(0)
    draw = lambda count: rng.integers(2, size=(count, 5))
    assert len(np.unique(distinct_rows(draw, 32), axis=0)) == 32
    with pytest.raises(RecipeError, match="not 33 different sequences of this length; use longer sequences"):
        distinct_rows(draw, 33)


def test_digits_in_rows_and_pixels_are_the_digits():
    images = make_task("digits").train_x[..., 0]
    np.testing.assert_array_equal(make_task("sequential_digits").train_x, images)
    pixels = make_task("sequential_digits", by="pixel").train_x
    np.testing.assert_array_equal(pixels[:, :, 0], images.reshape(-1, 64))


@pytest.mark.parametrize("kind", ["linear", "quadratic", "sine"])
def test_a_teacher_s_answers_have_variance_1_and_its_noise_is_what_is_left(kind):
    clean, noisy = (make_task("teacher", kind=kind, train=20_000, noise=noise) for noise in (0.0, 0.5))
    assert abs(clean.train_y.mean()) < 0.03  # of 20 000: 4 standard errors of a number of deviation 1
    assert abs(clean.train_y.var() - 1) < 0.1  # a squared normal's fourth moment is large
    np.testing.assert_allclose((noisy.train_y - clean.train_y).std(), 0.5, rtol=0.02)


def test_gaussian_inputs_have_variance_1_in_any_shape_and_labels_by_chance():
    task = make_task("gaussian", shape=[6, 5, 3], train=4000)
    assert task.form.shape == (6, 5, 3)
    assert_mean(task.train_x.var(), 1, np.sqrt(2), task.train_x.size)
    assert_mean(np.mean(task.train_y == 0), 0.1, 0.3, 4000)


def test_garch_has_the_variance_and_the_autocorrelation_of_bollerslev():
    returns = make_task("garch", train=20_000, length=40).train_x[..., 0].astype(np.float64)
    squares, a, b = returns**2, 0.1, 0.8
    first = a * (1 - a * b - b**2) / (1 - 2 * a * b - b**2)
    assert abs(squares.mean() - 1) < 0.02  # 800 000 squares, correlated over ten days, of deviation 1.6
    assert abs(np.mean(returns[:, 1:] * returns[:, :-1])) < 0.01  # returns themselves are not correlated
    for lag in (1, 2, 5):
        correlation = np.mean((squares[:, lag:] - 1) * (squares[:, :-lag] - 1)) / squares.var()
        assert abs(correlation - first * (a + b) ** (lag - 1)) < 0.02


def test_the_risk_of_tomorrow_is_the_recursion_over_the_returns():
    task = make_task("garch", length=150)
    variance = np.ones(len(task.train_x))
    for day in task.train_x[:, :, 0].astype(np.float64).T:
        variance = 0.1 + 0.1 * day**2 + 0.8 * variance
    assert np.corrcoef(np.log(variance), task.train_y[:, 0])[0, 1] > 0.999999  # 0.8^150 of the start is left


def test_credit_has_its_share_of_defaults():
    for share in (0.1, 0.3):
        y = make_task("credit", train=8000, share=share).train_y
        assert_mean(y.mean(), share, np.sqrt(share * (1 - share)), 8000)


@pytest.mark.few(2)
@pytest.mark.parametrize("name", ["vowels", "tones", "bearing", "shapes", "spirals", "temporal_order"])
def test_every_class_has_its_share(name):
    task = make_task(name, train=3000)
    shares = np.bincount(task.train_y, minlength=task.outputs) / 3000
    assert np.abs(shares - 1 / task.outputs).max() < 4 * np.sqrt(1 / task.outputs / 3000)


def test_lesions_come_in_their_share():
    assert_mean(make_task("lesions", train=4000, share=0.3).train_y.mean(), 0.3, 0.46, 4000)


@pytest.mark.few(2)
@pytest.mark.parametrize("vowel", range(len(FORMANTS)))
def test_a_vowel_resonates_at_its_formants(vowel):
    from scipy.signal import sosfreqz

    responses = [sosfreqz(section[None], 4000, fs=RATE) for section in resonators(FORMANTS[vowel])]
    peaks = [frequencies[np.abs(response).argmax()] for frequencies, response in responses]
    np.testing.assert_allclose(peaks, FORMANTS[vowel], atol=8)  # the peak of a wide resonance is not its pole


@pytest.mark.few(1)
@pytest.mark.parametrize("fault", bearing.FAULTS[1:])
def test_a_fault_s_frequency_stands_out_of_the_envelope_s_spectrum(fault):
    """The envelope of 2 s of vibration, its spectrum: the highest line is the rate of the blows."""
    from scipy.signal import hilbert

    rng = np.random.default_rng(1)
    lines = np.fft.rfftfreq(12_000, 1 / bearing.RATE)
    spectrum = np.zeros(len(lines))
    for _ in range(30):
        envelope = np.abs(hilbert(np.diff(bearing._vibration(fault, 12_001, rng)))) ** 2
        spectrum += np.abs(np.fft.rfft(envelope - envelope.mean()))
    above = lines > 60  # a modulation has its own line below
    peak = lines[above][spectrum[above].argmax()]
    assert abs(peak / bearing.frequencies(bearing.SHAFT_RATE)[fault] - 1) < 0.025  # the speed varies by 2 %


def test_the_fault_frequencies_are_those_of_the_6205():
    """As Case Western's bearing data centre gives them, in turns of the shaft."""
    expected = {"outer race": 3.5848, "inner race": 5.4152, "ball": 4.7135, "cage": 0.39828}
    assert bearing.frequencies(1.0) == pytest.approx(expected, rel=1e-3)  # its diameters are given in inches


def test_a_recording_is_a_step_a_sample_or_frames_of_its_spectrum():
    assert make_task("bearing", by="signal", length=512, train=20, test=5).form.shape == (512, 1)
    assert make_task("bearing", by="spectrum", length=512, train=20, test=5).form.shape == (31, 17)
    with pytest.raises(RecipeError, match="length=20 is too short"):
        make_task("bearing", by="spectrum", length=20)


def test_a_variance_without_end_is_refused():
    with pytest.raises(RecipeError, match="their sum must be below 1"):
        make_task("garch", alpha=0.3, beta=0.7)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adding", {"length": 1_000_000}),
        ("gaussian", {"shape": [1000, 1000, 3]}),
        ("shapes", {"size": 512, "train": 100_000}),
        ("copy_memory", {"delay": 2_000_000_000}),
        ("bearing", {"length": 1_000_000}),
        ("vowels", {"pause": 1_000_000}),
    ],
)
def test_what_would_fill_the_memory_is_refused_at_once(name, options):
    with pytest.raises(RecipeError, match=r"numbers is more than .*; ask for fewer or shorter examples"):
        make_task(name, **options)
