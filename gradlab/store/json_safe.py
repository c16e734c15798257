"""Values as JSON has them: JSON knows no NaN, no infinity and no NumPy scalar."""

import math
from collections.abc import Mapping
from typing import Any


def json_safe(value: Any) -> Any:
    """The same value with plain dicts and lists, NumPy scalars as Python numbers, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {key: json_safe(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(entry) for entry in value]
    number = value.item() if hasattr(value, "item") else value
    return None if isinstance(number, float) and not math.isfinite(number) else number
