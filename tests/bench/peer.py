"""The peer: PyTorch eager taking the same five norms a layer with forward and tensor hooks."""

from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
from torch import nn

from gradlab.commands.compose.grid import grid
from gradlab.engine.tasks import load_task


def noted(modules: Iterable[nn.Module]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Two lists that fill as the network runs: the modules' outputs, and on the way back their gradients."""
    signals: list[torch.Tensor] = []
    cotangents: list[torch.Tensor] = []

    def note(module: nn.Module, given: object, output: torch.Tensor) -> None:
        signals.append(output.detach())
        output.register_hook(cotangents.append)

    for module in modules:
        module.register_forward_hook(note)
    return signals, cotangents


def chunk(depth: int, width: int, steps: int) -> Callable[[], object]:
    """A function that makes `steps` SGD steps of the same network on the same data and returns the norms."""
    torch.set_num_threads(1)
    recipe = grid([f"depth={depth}", f"width={width}"]).recipes[0]
    task = load_task(recipe)
    x, y = torch.tensor(task.train_x).flatten(1), torch.tensor(task.train_y, dtype=torch.long)
    sizes = [x.shape[1], *[width] * (depth + 1)]
    linear = [nn.Linear(*pair) for pair in pairwise(sizes)]
    layers = [part for one in linear for part in (one, nn.Tanh())]
    network = nn.Sequential(*layers, nn.Linear(width, task.outputs))
    for module in network:
        if isinstance(module, nn.Linear):
            nn.init.orthogonal_(module.weight)
            nn.init.zeros_(module.bias)
    weights = [module.weight for module in network if isinstance(module, nn.Linear)]
    signals, cotangents = noted(
        [module for module in network if isinstance(module, nn.Tanh) or module is network[-1]]
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr)
    loss = nn.CrossEntropyLoss()

    def work() -> object:
        told = []
        order = torch.randperm(len(y))
        for step in range(steps):
            rows = order.roll(-step * recipe.batch_size)[: recipe.batch_size]
            signals.clear()
            cotangents.clear()
            optimizer.zero_grad(set_to_none=True)
            loss(network(x[rows]), y[rows]).backward()
            gradients = [weight.grad for weight in weights]
            before = [weight.detach().clone() for weight in weights]
            optimizer.step()
            updates = torch._foreach_sub([weight.detach() for weight in weights], before)
            groups = (signals, cotangents, gradients, before, updates)
            told.append(torch.stack([torch.stack(torch._foreach_norm(group)) for group in groups]))
        return torch.stack(told).numpy()

    return work
