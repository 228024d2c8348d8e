"""A small network of inverted residuals (Sandler et al., *MobileNetV2*, CVPR 2018) for one-channel images, whose sizes
share their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from search.supernets.elastic import Elastic
from search.tasks.training import Epoch, train_classifier
from search.training.normalisation import reestimate

KERNELS, EXPANSIONS, SHARES = (3, 5), (1, 2, 4), (2, 3, 4)
"""Of the depthwise convolutions, of the channels within a block, and quarters of a stage's channels."""

_BATCH = 64


class InvertedResidual(nn.Module):
    """A pointwise convolution to ``expansion`` times as many channels, a depthwise one, and a pointwise one back; with
    a shortcut where it ``adds``."""

    def __init__(
        self, channels_in: int, channels: int, *, expansion: int, kernel: int, stride: int, adds: bool
    ) -> None:  # fmt: skip
        super().__init__()
        inner = expansion * channels_in
        self.expand, self.norm1 = nn.Conv2d(channels_in, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.depthwise = nn.Conv2d(inner, inner, kernel, stride, kernel // 2, groups=inner, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.project, self.norm3 = nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels)
        self.adds = adds

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels_in, h, w)`` to ``(n, channels, h / stride, w / stride)``."""
        inner = torch.relu(self.norm1(self.expand(x)))
        inner = torch.relu(self.norm2(self.depthwise(inner)))
        out: Tensor = self.norm3(self.project(inner))
        return x + out if self.adds else out


class InvertedResidualNet(nn.Module):
    """A convolution, then stages of as many blocks each, whose ``widths`` are their channels; ``expansions`` and
    ``kernels`` are those of the blocks."""

    def __init__(
        self, *, widths: Sequence[int], expansions: Sequence[int], kernels: Sequence[int], classes: int
    ) -> None:
        super().__init__()
        channels = widths[0]
        self.stem, self.norm = nn.Conv2d(1, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential()
        per_stage = len(kernels) // len(widths)
        for block, (expansion, kernel) in enumerate(zip(expansions, kernels, strict=True)):
            # The first of a later stage makes the image smaller.
            starts = block > 0 and block % per_stage == 0
            before, channels = channels, widths[block // per_stage]
            self.blocks.append(
                InvertedResidual(
                    before, channels, expansion=expansion, kernel=kernel, stride=1 + starts, adds=not starts
                )
            )
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(n, 1, h, w)`` to logits ``(n, classes)``."""
        features = self.blocks(torch.relu(self.norm(self.stem(x))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


class ElasticNet(InvertedResidualNet, Elastic):
    """Decides about the kernel and the expansion of each of ``depth`` blocks, and about the channels of each of the
    ``stages``, ``width`` at most in the first and twice as many in each further one. A stage's channels, which its
    shortcuts share, are called after the layer that they come from: the stem's, and those of the first block of each
    further stage."""

    def __init__(self, *, width: int, depth: int, stages: int, classes: int) -> None:
        most = [width * 2**stage for stage in range(stages)]
        super().__init__(
            widths=most, expansions=depth * [max(EXPANSIONS)], kernels=depth * [max(KERNELS)], classes=classes
        )
        self._stages, self._classes = stages, classes
        widths = {
            name: tuple(str(channels * share // max(SHARES)) for share in SHARES)
            for name, channels in zip(_width_decisions(depth, stages), most, strict=True)
        }
        kernels = {f"kernel:blocks.{block}": tuple(map(str, KERNELS)) for block in range(depth)}
        expansions = {f"expansion:blocks.{block}": tuple(map(str, EXPANSIONS)) for block in range(depth)}
        self.share({**widths, **kernels, **expansions})

    def plain(self, values: Mapping[str, str]) -> InvertedResidualNet:
        """See :meth:`Elastic.plain`."""
        blocks = range(len(self.blocks))
        return InvertedResidualNet(
            widths=[int(values[name]) for name in _width_decisions(len(blocks), self._stages)],
            expansions=[int(values[f"expansion:blocks.{block}"]) for block in blocks],
            kernels=[int(values[f"kernel:blocks.{block}"]) for block in blocks],
            classes=self._classes,
        )


def _width_decisions(depth: int, stages: int) -> list[str]:
    return ["width:stem", *(f"width:blocks.{stage * depth // stages}" for stage in range(1, stages))]


def train_elastic(network: Elastic, epoch_data: Epoch, *, epochs: int, seed: int, **options: Any) -> None:
    """:func:`train_classifier`, so that all sub-networks learn: every batch is answered by the smallest, a random one
    and the largest (the sandwich rule: Yu and Huang, *Universally Slimmable Networks*, ICCV 2019). Leaves the largest,
    with running statistics of its own."""
    train_classifier(network, epoch_data, epochs=epochs, seed=seed, passes=partial(sandwich, network), **options)
    images, _ = epoch_data(np.random.default_rng(seed))
    parts = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    reestimate(network, ((torch.from_numpy(part),) for part in parts))


def sandwich(network: Elastic, rng: np.random.Generator) -> Iterator[Mapping[str, str]]:
    """The smallest sub-network, a random one and the largest, each chosen when it is its turn."""
    drawn = {name: str(rng.choice(values)) for name, values in network.choices.items()}
    for values in (network.smallest, drawn, network.largest):
        network.choose(values)
        yield values
