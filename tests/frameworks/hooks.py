"""The hook files of the documents, as modules, and the tables that they write."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pandas as pd

FOLDER = Path(__file__).parents[2] / "docs" / "hooks"
COLUMNS = "step layer log10_forward log10_backward log10_gradient log10_weight loss".split()


def hook(name: str) -> ModuleType:
    """`docs/hooks/NAME.py`."""
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(path: Path) -> pd.DataFrame:
    """What a hook has written; an empty cell is None, NaN stays NaN."""
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(rows) == COLUMNS
    numbers = {name: [float(word) if word else None for word in rows[name]] for name in COLUMNS[2:]}
    return rows.assign(
        step=rows["step"].astype(int), **{k: pd.Series(v, dtype=object) for k, v in numbers.items()}
    )
