"""Recurrent networks and attention: measured over bare, beside PyTorch eager, and what compiling takes."""

import time
from collections.abc import Callable

from tests.bench.pace import interleaved

LENGTH = ("data=adding", "data.length=150", "data.train=1000", "data.test=100")
ADDING = (*LENGTH, "loss=mse", "width=64", "optimizer=sgd", "lr=0.01")
LAYERS = "probe=[forward,backward,gradient,weight,update]"


def speed(kind: str, batch: int, steps: int = 10, rounds: int = 6) -> dict[str, float]:
    """Milliseconds a step, 64 units and 150 steps of time: bare, with norms of all layers and times, and PyTorch."""
    from tests.bench import ours

    words = (f"model={kind}", *ADDING, f"batch_size={batch}", f"eval.every={ours.NEVER}")
    made = {
        "bare": ours.chunk(*words, f"log.every={ours.NEVER}", steps=steps),
        "five": ours.chunk(*words, LAYERS, steps=steps),
        "all": ours.chunk(*words, steps=steps),
        "torch": torch_chunk(kind, batch, steps),
    }
    return {name: spent / steps * 1e3 for name, spent in interleaved(made, rounds).items()}


def torch_chunk(kind: str, batch: int, steps: int) -> Callable[[], object]:
    """SGD steps of PyTorch's fused layer on the same data, with the norm of each parameter's gradient."""
    import torch
    from torch import nn

    from gradlab.commands.compose.grid import grid
    from gradlab.engine.tasks import load_task

    torch.set_num_threads(1)
    task = load_task(grid([f"model={kind}", *ADDING]).recipes[0])
    x, y = torch.tensor(task.train_x), torch.tensor(task.train_y)
    layer = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[kind](x.shape[-1], 64, batch_first=True)
    head = nn.Linear(64, 1)
    parameters = [*layer.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01)

    def work() -> object:
        told = []
        order = torch.randperm(len(y))
        for step in range(steps):
            rows = order.roll(-step * batch)[:batch]
            optimizer.zero_grad(set_to_none=True)
            nn.functional.mse_loss(head(layer(x[rows])[0][:, -1]), y[rows]).backward()
            told.append(torch.stack(torch._foreach_norm([parameter.grad for parameter in parameters])))
            optimizer.step()
        return torch.stack(told).numpy()

    return work


def compiling(*words: str) -> float:
    """CPU seconds until the programs of this recipe are there."""
    from tests.bench import ours

    began = time.process_time()
    ours.chunk(*words, f"eval.every={ours.NEVER}", steps=2)
    return time.process_time() - began


def report() -> None:
    """All figures beside their targets."""
    for kind in ("lstm", "rnn", "gru"):
        for batch in (32, 128):
            found = speed(kind, batch)
            told = ", ".join(f"{name} {value:.2f} ms" for name, value in found.items())
            tapped, peer = found["all"] / found["bare"], found["torch"] / found["five"]
            print(
                f"{kind} {batch}: measured ÷ bare {tapped:.2f} (≤ 1.15), PyTorch ÷ ours {peer:.2f} (≥ 0.6); {told}"
            )
    compiling("model=mlp")  # what only the first program takes
    times = [compiling("model=lstm", "data=adding", f"data.length={steps}") for steps in (50, 500)]
    print(f"compiling 500 steps ÷ 50 steps {times[1] / times[0]:.2f} (≤ 1.5)")
    rows = ("model=transformer", "data=sequential_digits")
    times = [compiling(*rows, f"depth={depth}") for depth in (2, 12)]
    print(f"compiling 12 blocks of a Transformer ÷ 2 {times[1] / times[0]:.2f} (≤ 1.5)")


if __name__ == "__main__":
    report()
