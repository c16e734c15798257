"""Numbers and places as a sentence shows them."""

import math
from typing import Any

_PLACES = {"forward": "in the forward signal", "backward": "in the backward pass"}


def signed_decades(exponent: float) -> str:
    """A number of decades with its sign: −0.7, +12, 0.0."""
    text = f"{exponent:.1f}" if abs(exponent) < 10 else f"{exponent:.0f}"
    return text.replace("-", "−") if float(text) < 0 else ("+" if float(text) > 0 else "") + text.lstrip("-")


def short_number(number: float) -> str:
    """A loss: 2.35, 0.09, 4.0e-05, 1.2e+06."""
    return f"{number:.2f}" if number == 0 or 0.01 <= abs(number) < 1000 else f"{number:.1e}"


def gain_texts(interval: tuple[float, float] | None, *gains: float) -> list[str]:
    """Gains with as many digits as their interval allows: 0.97 for (0.95, 0.99), but 0.9995 for (0.9994, 0.9997)."""
    low, high = interval or (0.0, 0.0)
    width = high - low
    digits = max(2, -math.floor(math.log10(width))) if 1e-5 < width < 1 else 2
    return [f"{gain:.{digits}f}" if 0.01 <= gain < 1000 else short_number(gain) for gain in gains]


def percent(fraction: float) -> str:
    """45 %; never 0 % or 100 % for a little more than none or a little less than all."""
    rounded = round(100 * fraction)
    if rounded == 0 and fraction > 0:
        return "under 1 %"
    return "over 99 %" if rounded == 100 and fraction < 1 else f"{rounded} %"


def place_text(entry: dict[str, Any]) -> str:
    """Where a number was not finite: `in the backward pass at layer 3 (hidden 3)`, `in the loss`."""
    if entry["layer"] is None:
        return "in the loss"
    name = f" ({entry['name']})" if entry.get("name") else ""
    return f"{_PLACES[entry['where']]} at layer {entry['layer']}{name}"


def count_text(number: int, noun: str) -> str:
    """1 seed, 3 seeds."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
