"""Convolutional networks: what measuring costs, PyTorch eager beside it, and compile time against depth."""

import time
from collections.abc import Callable

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from gradlab.data.task import Task
from gradlab.engine import compiled
from gradlab.engine.loop import compile_run
from tests.bench import ours
from tests.bench.ours import NEVER
from tests.bench.pace import interleaved
from tests.bench.peer import noted

STEPS, BATCH = 2, 32
SILENT = (f"eval.every={NEVER}", f"batch_size={BATCH}")
FIVE = "probe=[forward,backward,gradient,weight,update]"


def overhead() -> dict[str, float]:
    """Seconds of a step of ResNet-20 on 32×32 images in color: bare, with five norms a block, with everything."""
    made = {
        "bare": chunk("model=resnet", f"log.every={NEVER}"),
        "five": chunk("model=resnet", FIVE),
        "all": chunk("model=resnet"),
    }
    return {name: spent / STEPS for name, spent in interleaved(made, rounds=6).items()}


def peer() -> dict[str, float]:
    """Seconds of a step of ResNet-20 with five norms a layer: gradlab's, and PyTorch eager's in both its layouts."""
    made = {
        "ours": chunk("model=resnet", FIVE),
        "torch": torch_chunk(torch.contiguous_format),
        "torch_channels_last": torch_chunk(torch.channels_last),
    }
    return {name: spent / STEPS for name, spent in interleaved(made, rounds=6).items()}


def compile_time() -> dict[int, float]:
    """CPU seconds to trace and compile ResNet-20 and ResNet-110 without any cache."""
    jax.config.update("jax_enable_compilation_cache", False)
    took = {}
    for depth in (20, 110, 20):  # the first one warms up
        compiled.release()
        jax.clear_caches()
        began = time.process_time()
        compile_run(ours.loaded("model=resnet", f"depth={depth}", *SILENT, steps=STEPS, task=images()))
        took[depth] = time.process_time() - began
    return took


def images() -> Task:
    """Noise of CIFAR's shape."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, 32, 32, 3)).astype(np.float32)
    y = rng.integers(0, 10, 256).astype(np.int32)
    return Task("synthetic: noise", x, y, x[:BATCH], y[:BATCH], 10)


def chunk(*words: str) -> Callable[[], object]:
    """A function that makes a few steps and fetches their rows, as training does."""
    return ours.chunk(*words, *SILENT, steps=STEPS, task=images())


class Residual(nn.Module):
    """Two 3×3 convolutions with batch norm and option A's skip."""

    def __init__(self, fan_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(fan_in, channels, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)])
        self.stride, self.more = stride, channels - fan_in

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        branch = functional.relu(self.norms[0](self.first(h)))
        branch = self.norms[1](self.second(branch))
        skip = functional.pad(h[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return functional.relu(skip + branch)


def torch_chunk(layout: torch.memory_format) -> Callable[[], object]:
    """A function that makes SGD steps of the same network on the same data, with hooks, and returns five norms."""
    torch.set_num_threads(1)
    task, sizes = images(), [16] * 3 + [32] * 3 + [64] * 3
    x = torch.tensor(task.train_x).permute(0, 3, 1, 2).contiguous(memory_format=layout)
    y = torch.tensor(task.train_y, dtype=torch.long)
    pairs = zip([16, *sizes], sizes, strict=False)
    blocks = [Residual(fan_in, fan_out, 1 + (fan_in != fan_out)) for fan_in, fan_out in pairs]
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    network = nn.Sequential(stem, *blocks, head).to(memory_format=layout)
    assert sum(one.numel() for one in network.parameters()) == 269_722
    weights = [one for one in network.parameters() if one.ndim > 1]
    signals, cotangents = noted(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    def step(at: int) -> torch.Tensor:
        rows = torch.arange(at * BATCH, (at + 1) * BATCH) % len(y)
        signals.clear()
        cotangents.clear()
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(x[rows]), y[rows]).backward()
        before = [weight.detach().clone() for weight in weights]
        gradients = [weight.grad for weight in weights]
        optimizer.step()
        updates = torch._foreach_sub([weight.detach() for weight in weights], before)
        groups = (signals, cotangents, gradients, before, updates)
        return torch.cat([torch.stack(torch._foreach_norm(group)) for group in groups])

    return lambda: torch.stack([step(at) for at in range(STEPS)]).numpy()
