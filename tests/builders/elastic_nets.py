"""Elastic networks that are trained in a moment."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from search.supernets.elastic import Elastic
from search.tasks import TorchTask
from search.tasks.elastic import ElasticNet, train_elastic
from search.testing.nets import settle
from search.testing.trainable import ROWS, pictures

torch.set_num_threads(1)


class Narrow(nn.Module):
    """A convolution with its normalisation, a depthwise and a pointwise one, and a linear layer over all positions, for
    pictures of 8x8."""

    def __init__(self, width: int, kernel: int, inner: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, kernel, 1, kernel // 2, groups=width)
        self.up = nn.Conv2d(width, inner, 1)
        self.head = nn.Linear(inner * 16, 5)

    def forward(self, x: Tensor) -> Tensor:
        # No channel is ever idle, so that no two sub-networks are alike.
        x = leaky_relu(self.norm(self.stem(x)))
        logits: Tensor = self.head(leaky_relu(self.up(leaky_relu(self.depthwise(x)))).flatten(1))
        return logits


class Small(Narrow, Elastic):
    """Twelve sub-networks."""

    def __init__(self) -> None:
        super().__init__(4, 5, 8)
        self.share({"width": ("2", "4"), "kernel": ("3", "5"), "inner": ("4", "6", "8")})

    def plain(self, values: Mapping[str, str]) -> Narrow:
        return Narrow(*(int(values[name]) for name in ("width", "kernel", "inner")))


def small(seed: int = 0) -> Small:
    """The network with settled statistics, in evaluation mode."""
    torch.manual_seed(seed)
    net = Small()
    settle(net)
    return net


@functools.cache
def _trained() -> ElasticNet:
    torch.manual_seed(0)
    net = ElasticNet(width=4, depth=3, stages=3, classes=5)
    train_elastic(net, lambda rng: pictures(int(rng.integers(1000)), 128), epochs=4, seed=0, batch=32)
    return net


def make_task() -> TorchTask:
    """The network of the digits task, as small as it goes, with the pictures of :mod:`trainable`."""
    data = {split: pictures(number, count) for number, (split, count) in enumerate(ROWS.items())}
    return TorchTask(
        _trained(), {split: {"image": x} for split, (x, _) in data.items()},
        labels={split: labels for split, (_, labels) in data.items()},
    )  # fmt: skip


def images(count: int = 6, seed: int = 3) -> Tensor:
    """Pictures ``(count, 1, 8, 8)``."""
    return torch.from_numpy(np.asarray(pictures(seed, count)[0]))
