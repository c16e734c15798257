"""Norms of every layer of a PyTorch training, as the table that `gradlab ingest` reads.

norms = gradlab_torch.Norms(network, "norms.csv")
for x, y in batches:
    loss = loss_function(network(x), y)  # the mean over the examples
    optimizer.zero_grad()
    loss.backward()
    norms.write(loss, examples=len(x))  # before a clip and optimizer.step()
    optimizer.step()
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

COLUMNS = "step,layer,log10_forward,log10_backward,log10_gradient,log10_weight,loss".split(",")


def layers_of(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The entries of every nn.Sequential and nn.ModuleList, and beside them each module that has parameters."""
    lists = (nn.Sequential, nn.ModuleList)
    for key, child in module.named_children():
        path = f"{name}.{key}".lstrip(".")
        if not isinstance(module, lists) and any(isinstance(inner, lists) for inner in child.modules()):
            yield from layers_of(child, path)
        elif isinstance(module, lists) or any(True for _ in child.parameters()):
            yield path, child


class Norms:
    """Writes one row per layer at every `every`-th call of `write`; `layers` are modules by name."""

    def __init__(
        self, network: nn.Module, path: str, layers: dict[str, nn.Module] | None = None, every: int = 1
    ):
        self.layers, self.every, self.step = layers or dict(layers_of(network)), every, 0
        if not self.layers:
            raise ValueError(
                "the network has no layers to measure; name them, as in layers={'first': network.first}"
            )
        self.forward: dict[str, Tensor] = {}
        self.backward: dict[str, Tensor] = {}
        self.path = Path(path)
        self.path.write_text(",".join(COLUMNS) + "\n")
        for name, layer in self.layers.items():
            layer.register_forward_hook(lambda _, __, output, name=name: self._note(name, output))

    def _note(self, name: str, output: object) -> None:
        """Measure the first output of a layer since the last row, and on the way back the gradient there."""
        h = output[0] if isinstance(output, tuple | list) else output
        skipped = self.step % self.every or name in self.forward or not torch.is_grad_enabled()
        if skipped or not isinstance(h, Tensor):
            return
        self.forward[name] = norm([h]) / h.numel() ** 0.5
        if h.requires_grad:
            # a hook of the tensor, unlike one of the module, allows the network to change h in place later
            h.register_hook(lambda gradient: self.backward.update({name: norm([gradient])}))

    def write(self, loss: Tensor, examples: int, scale: float = 1.0) -> None:
        """Write the rows of a step after `loss.backward()`; `scale` is what the loss was multiplied by before it."""
        if self.step % self.every == 0:
            with self.path.open("a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(self._rows(loss.item(), examples, scale))
        self.forward, self.backward, self.step = {}, {}, self.step + 1

    def _rows(self, loss: float, examples: int, scale: float) -> Iterator[list[object]]:
        for name, layer in self.layers.items():
            kernels = [kernel for kernel in layer.parameters() if kernel.ndim >= 2]
            gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
            norms = (self.forward.get(name), self.backward.get(name), norm(gradients), norm(kernels))
            factors = (1.0, examples**0.5 / scale, 1 / scale, 1.0)
            logs = [
                "" if value is None else (value * factor).log10().item()
                for value, factor in zip(norms, factors, strict=True)
            ]
            yield [self.step, name, *logs, loss]


def norm(arrays: list[Tensor]) -> Tensor | None:
    """The Euclidean norm of all entries, summed in float64; None of no array."""
    norms = [torch.linalg.vector_norm(array.detach(), dtype=torch.float64) for array in arrays]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else None
