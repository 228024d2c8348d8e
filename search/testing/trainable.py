"""Small nets that are trained in a moment, with labels that they can learn."""

from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import torch
from torch import nn

from search.tasks import TorchTask
from search.tasks.base import Split
from search.testing.nets import CLASSES, net

ROWS: dict[Split, int] = {"calibration": 128, "validation": 64, "test": 64}


def pictures(seed: int, count: int) -> tuple[Any, Any]:
    """Bars at one of five heights in noise, ``(count, 1, 8, 8)``, and the heights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    x = rng.normal(0, 0.4, (count, 1, 8, 8))
    for row, label in enumerate(labels):
        x[row, 0, label : label + 2] += 1
    return x.astype(np.float32), labels


def train(module: nn.Module, steps: int = 60) -> nn.Module:
    """Trains a module for a few steps, on one core; returns the same module."""
    x, labels = map(torch.tensor, pictures(7, 256))
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the same weights in each process, whatever its threads
    module.train()
    for step in range(steps):
        rows = slice(step % 4 * 64, step % 4 * 64 + 64)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    torch.set_num_threads(threads)
    return module.eval()


@functools.cache
def _train_net() -> nn.Module:
    """Trains the residual net, once a process: it is nearly always right."""
    return train(net("resnet")[0])


def make_task(module: nn.Module | None = None) -> TorchTask:
    """Makes a task of a module, which is trained, and its data; without a module, of a small residual net."""
    trained = copy.deepcopy(_train_net()) if module is None else train(module)
    data = {split: pictures(number, count) for number, (split, count) in enumerate(ROWS.items())}
    return TorchTask(
        trained, {split: {"image": x} for split, (x, _) in data.items()},
        labels={split: labels for split, (_, labels) in data.items()},
    )  # fmt: skip
