"""What `gradlab.profile` returns: the depth profiles of one pass, with their verdict, table and picture."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gradlab.analysis.results import SignalVerdict
from gradlab.analysis.selection import defined_backward
from gradlab.analysis.signal import SignalContext, signal_verdict
from gradlab.figures.profile import profile as profile_figure

COLUMNS = ("log10_forward", "log10_backward", "log10_gradient", "log10_weight")


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """The profiles of one pass over a network's blocks; each array is (blocks,), in log10, and −inf is a true zero.

    loss: of the pass. log10_forward: ‖h_l‖_F/√size, the RMS per unit of block l's output. log10_backward:
    √B·‖∂loss/∂h_l‖_F for B examples. log10_gradient and log10_weight: ‖∂loss/∂W_l‖_F and ‖W_l‖_F over the block's
    arrays of two axes or more. NaN stands for what is not defined: behind a number that is not finite, or where a
    block has no such array. The norms are right far outside float32's range.
    """

    names: tuple[str, ...]
    loss: float
    log10_forward: NDArray[np.float64]
    log10_backward: NDArray[np.float64]
    log10_gradient: NDArray[np.float64]
    log10_weight: NDArray[np.float64]

    @classmethod
    def of(cls, names: tuple[str, ...], loss: float, *columns: NDArray[np.floating]) -> "Profile":
        """From arrays as they were measured: a gradient behind a NaN is taken for NaN, not for zero."""
        values = {name: np.asarray(column, float) for name, column in zip(COLUMNS, columns, strict=True)}
        defined = defined_backward(_frame(names, values))
        return cls(names, loss, *(defined[name].to_numpy(float) for name in COLUMNS))

    @cached_property
    def signal(self) -> SignalVerdict:
        """The signal's verdict and its numbers (docs/verdicts.md); the first and last blocks are input and output."""
        unmeasured = dict.fromkeys(("cosine", "effective_rank", "dead"), np.nan)
        return signal_verdict(self._rows().assign(**unmeasured), SignalContext(unit="block"))

    @property
    def verdict(self) -> str:
        """One word: flowing, vanishing, exploding, cut, underflow, overflow, undefined, undecided."""
        return self.signal.verdict

    def frame(self) -> pd.DataFrame:
        """One row per block: its place, its name and the four columns."""
        return self._rows()[["layer", "name", *COLUMNS]]

    def figure(self, title: str = "") -> Figure:
        """The three profiles against depth."""
        return profile_figure(self._rows(), title=title or f"one pass, loss {self.loss:.3g}")

    def __repr__(self) -> str:
        return f"{self.frame().to_string(index=False)}\n{self.signal.sentence}"

    def _rows(self) -> pd.DataFrame:
        return _frame(self.names, {name: getattr(self, name) for name in COLUMNS})


def _frame(names: tuple[str, ...], columns: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    """The rows of one step of one seed, as the table of layers has them."""
    keys = {"seed": 0, "step": 0, "source": "batch", "layer": np.arange(len(names)), "name": list(names)}
    return pd.DataFrame({**keys, **columns})
