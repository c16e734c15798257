"""Numbers as a sentence shows them."""

import math


def signed(exponent: float) -> str:
    """−0.7, +12, 0.0: decades."""
    text = f"{exponent:.1f}" if abs(exponent) < 10 else f"{exponent:.0f}"
    return text.replace("-", "−") if float(text) < 0 else ("+" if float(text) > 0 else "") + text.lstrip("-")


def short(number: float | None) -> str:
    """2.35, 0.09, 4e-05, 1.2e+06: a loss or a gain; what is not finite by its name."""
    if number is None:
        return "not measured"
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else f"{number:+.0f}"
    return f"{number:.2f}" if number == 0 or 0.01 <= abs(number) < 1000 else f"{number:.1e}"


def share(part: float) -> str:
    """45 %; never 0 % or 100 % of what is a little more or less."""
    percent = round(100 * part)
    if percent == 0 and part > 0:
        return "under 1 %"
    return "over 99 %" if percent == 100 and part < 1 else f"{percent} %"


def counted(number: int, word: str) -> str:
    """1 seed, 3 seeds."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
