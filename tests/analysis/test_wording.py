import pytest

from gradlab.analysis.wording import gain_texts, percent, short_number, signed_decades


@pytest.mark.parametrize(
    ("exponent", "text"), [(-0.72, "−0.7"), (0.0, "0.0"), (-0.01, "0.0"), (1.31, "+1.3"), (-127.4, "−127")]
)
def test_decades_have_a_sign(exponent, text):
    assert signed_decades(exponent) == text


@pytest.mark.parametrize(
    ("number", "text"), [(2.351, "2.35"), (0.0, "0.00"), (4e-5, "4.0e-05"), (2e6, "2.0e+06")]
)
def test_losses_are_short(number, text):
    assert short_number(number) == text


def test_gains_have_the_digits_that_their_interval_deserves():
    assert gain_texts((0.95, 0.99), 0.97) == ["0.97"]
    assert gain_texts((0.9994, 0.9997), 0.99953, 0.9994) == ["0.9995", "0.9994"]
    assert gain_texts((1.0, 1.0), 1.0) == ["1.00"]


def test_a_small_fraction_is_not_shown_as_zero():
    assert [percent(fraction) for fraction in (0, 0.001, 0.45, 0.999, 1)] == [
        "0 %",
        "under 1 %",
        "45 %",
        "over 99 %",
        "100 %",
    ]
