"""A residual net that can be trained in a moment, with labels that it can learn."""

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

torch.set_num_threads(1)  # nets as small as these only wait for one another's threads

ROWS: dict[Split, int] = {"calibration": 128, "validation": 64, "test": 64}


def pictures(seed: int, count: int) -> tuple[Any, Any]:
    """Bars at one of five heights in noise, ``(count, 1, 8, 8)``, and the heights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    x = rng.normal(0, 0.4, (count, 1, 8, 8))
    for row, label in enumerate(labels):
        x[row, 0, label : label + 2] += 1
    return x.astype(np.float32), labels


def trained() -> nn.Module:
    """The net after a few steps: nearly always right. It is trained once in a process, and copied."""
    return copy.deepcopy(_trained())


@functools.cache
def _trained(steps: int = 60) -> nn.Module:
    module, _ = net("resnet")
    x, labels = map(torch.tensor, pictures(7, 256))
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    module.train()
    for step in range(steps):
        rows = slice(step % 4 * 64, step % 4 * 64 + 64)
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x[rows]), labels[rows]).backward()
        optimizer.step()
    return module.eval()


def make_task(seed: int = 0) -> TorchTask:
    """The trained net with its data."""
    torch.manual_seed(seed)
    data = {split: pictures(number, count) for number, (split, count) in enumerate(ROWS.items())}
    return TorchTask(
        trained(), {split: {"image": x} for split, (x, _) in data.items()},
        labels={split: labels for split, (_, labels) in data.items()},
    )  # fmt: skip
