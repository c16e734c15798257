"""Numbers as a sentence shows them."""

import math


def signed(exponent: float) -> str:
    """−0.7, +12, 0.0: decades."""
    text = f"{exponent:.1f}" if abs(exponent) < 10 else f"{exponent:.0f}"
    return text.replace("-", "−") if float(text) < 0 else ("+" if float(text) > 0 else "") + text.lstrip("-")


def short(number: float) -> str:
    """2.35, 0.09, 4.0e-05, 1.2e+06: a loss."""
    return f"{number:.2f}" if number == 0 or 0.01 <= abs(number) < 1000 else f"{number:.1e}"


def factors(interval: tuple[float, float] | None, *numbers: float) -> list[str]:
    """Gains with the digits that their interval deserves: 0.97 (0.95–0.99), but 0.9995 (0.9994–0.9997)."""
    low, high = interval or (0.0, 0.0)
    wide = high - low
    digits = max(2, -math.floor(math.log10(wide))) if 1e-5 < wide < 1 else 2
    return [f"{number:.{digits}f}" if 0.01 <= number < 1000 else short(number) for number in numbers]


def share(part: float) -> str:
    """45 %; never 0 % or 100 % of what is a little more or less."""
    percent = round(100 * part)
    if percent == 0 and part > 0:
        return "under 1 %"
    return "over 99 %" if percent == 100 and part < 1 else f"{percent} %"


def origin(defect: dict) -> str:
    """backward at layer 3 (hidden 3); the loss itself where no layer was found."""
    if defect["layer"] is None:
        return "the loss itself"
    name = f" ({defect['name']})" if defect.get("name") else ""
    return f"{defect['where']} at layer {defect['layer']}{name}"


def counted(number: int, word: str) -> str:
    """1 seed, 3 seeds."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
