"""From chunks to rows: what each table gets, and where a seed first left the finite numbers."""

from typing import Any

import numpy as np
import pyarrow as pa

from gradlab.step import COUNTS, STEP_COLUMNS
from gradlab.store.rows import Rows, tables
from gradlab.train import Chunk, Layout

EVALUATION = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


class Record:
    """What became of each seed so far; `stop`: a seed's rows after its first non-finite step are dropped."""

    def __init__(self, layout: Layout, seeds: np.ndarray, stop: bool) -> None:
        self.layout = layout
        self.seeds = seeds
        self.stop = stop
        self.nonfinite: dict[int, dict[str, Any]] = {}  # by index of the seed

    def lost(self) -> np.ndarray:
        """Which seeds have stopped counting."""
        return np.array([self.stop and index in self.nonfinite for index in range(len(self.seeds))])

    def take(self, chunk: Chunk) -> dict[str, pa.Table]:
        """The chunk's rows of each table, without those of lost seeds; notes who is lost in it."""
        kept = np.repeat(~self.lost()[:, None], len(chunk.steps), axis=1)
        layers = self._layers(chunk)
        if chunk.source == "batch":
            self._watch(chunk, layers, kept)
        rows = Rows(self.seeds, chunk.steps, chunk.source, kept, last=self._last(chunk))
        return tables(rows, {"layers": layers, "parameters": self._parameters(chunk), "steps": _steps(chunk)})

    def _last(self, chunk: Chunk) -> bool:
        return chunk.source == "probe" or chunk.done == chunk.steps[-1]

    def _watch(self, chunk: Chunk, layers: dict[str, Any], kept: np.ndarray) -> None:
        """Note each seed's first step with a non-finite loss or gradient, and drop what follows it."""
        told = dict(zip(STEP_COLUMNS, np.moveaxis(chunk.row.steps, 2, 0), strict=True))
        broken = ~np.isfinite(told["loss"]) | np.isnan(told["log10_gradient"]) | (told["log10_gradient"] == np.inf)
        for index in np.flatnonzero(broken.any(1)):
            at = int(broken[index].argmax())
            if index not in self.nonfinite:
                self.nonfinite[int(index)] = {
                    "seed": int(self.seeds[index]),
                    "step": int(chunk.steps[at]),
                    **_culprit({key: _values(layers[key])[index, at] for key in PROFILES if key in layers}, self.layout),
                }
            if self.stop:
                kept[index, at + 1 :] = False

    def _layers(self, chunk: Chunk) -> dict[str, Any]:
        names = self.layout.names
        active = ~np.isin(np.arange(len(names)), self.layout.inactive)
        found: dict[str, Any] = {"layer": np.arange(len(names)), "name": np.array(names)}
        for index, column in enumerate(self.layout.columns):
            values = chunk.row.layers[:, :, index]
            found[column] = (values, active) if column in self.layout.active else values
        return found | self._kernels(chunk)

    def _kernels(self, chunk: Chunk) -> dict[str, Any]:
        """A layer's weight, gradient and update: over its kernels together."""
        layer = np.array([entry[0] for entry in self.layout.entries])
        size = np.array([entry[2] for entry in self.layout.entries])
        columns = [*self.layout.parameter_columns]
        sums: dict[str, Any] = {"size": np.bincount(layer[self.layout.kernels], size[self.layout.kernels])}
        groups = [np.flatnonzero((layer == one) & self.layout.kernels) for one in range(len(self.layout.names))]
        for index, column in enumerate(columns):
            values = chunk.row.parameters[:, :, index]
            weights = size if column == "update_lost" else None
            sums[column] = np.stack([_together(values[..., group], weights, group) for group in groups], -1)
        if chunk.row.counts.size:
            for index, column in enumerate(COUNTS):
                values = chunk.row.counts[:, :, index]
                sums[column] = np.stack([values[..., group].sum(-1) for group in groups], -1)
        return sums

    def _parameters(self, chunk: Chunk) -> dict[str, Any]:
        layers, parameters, sizes = zip(*self.layout.entries, strict=True)
        found: dict[str, Any] = {
            "layer": np.array(layers),
            "name": np.array(self.layout.names)[list(layers)],
            "parameter": np.array(parameters),
            "size": np.array(sizes),
        }
        for index, column in enumerate(self.layout.parameter_columns):
            found[column] = chunk.row.parameters[:, :, index]
        if chunk.row.counts.size:
            found |= {column: chunk.row.counts[:, :, index] for index, column in enumerate(COUNTS)}
        return found


PROFILES = ("log10_forward", "log10_backward", "log10_gradient")


def _values(column: Any) -> np.ndarray:
    return column[0] if isinstance(column, tuple) else column


def _together(values: np.ndarray, weights: np.ndarray | None, group: np.ndarray) -> np.ndarray:
    """Norms given by log10 as one norm; shares as the share of all."""
    if len(group) == 1:
        return values[..., 0]
    if weights is not None:
        return np.average(values, axis=-1, weights=weights[group])
    top = values.max(-1, keepdims=True)
    shift = np.where(np.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # a true zero is −inf
        return shift[..., 0] + 0.5 * np.log10((10.0 ** (2 * (values.astype(float) - shift))).sum(-1))


def _culprit(profiles: dict[str, np.ndarray], layout: Layout) -> dict[str, Any]:
    """Where it began: the first layer forward, else the last layer backward, that is not finite."""
    for where, column, pick in (("forward", "log10_forward", 0), *((("backward", key, -1)) for key in PROFILES[1:])):
        if column not in profiles:
            continue
        bad = np.flatnonzero(np.isnan(profiles[column]) | (profiles[column] == np.inf))
        if len(bad):
            layer = int(bad[pick])
            return {"layer": layer, "name": layout.names[layer], "where": where}
    return {"layer": None, "name": None, "where": "loss"}


def _steps(chunk: Chunk) -> dict[str, Any]:
    values = chunk.row.steps[..., None]
    found: dict[str, Any] = {column: values[:, :, index] for index, column in enumerate(STEP_COLUMNS)}
    if chunk.evaluation is not None:  # it belongs to the chunk's first step
        first = (np.arange(len(chunk.steps)) == 0)[None, :, None]
        for index, column in enumerate(EVALUATION):
            found[column] = (chunk.evaluation[:, None, index, None], first)
    return found
