"""A small elastic network of inverted residuals (Sandler et al., *MobileNetV2*, CVPR 2018) for one-channel images."""

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
"""Kernel sizes of the depthwise convolutions, expansions of the channels in a block, quarters of a stage's channels."""

_BATCH = 64


class InvertedResidual(nn.Module):
    """A pointwise convolution to ``expansion`` times as many channels, a depthwise and another pointwise convolution;
    with a shortcut if ``adds``."""

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
        """Maps ``(n, channels_in, h, w)`` to ``(n, channels, h / stride, w / stride)``."""
        inner = torch.relu(self.norm1(self.expand(x)))
        inner = torch.relu(self.norm2(self.depthwise(inner)))
        out: Tensor = self.norm3(self.project(inner))
        return x + out if self.adds else out


class InvertedResidualNet(nn.Module):
    """A convolution, then stages with the same number of blocks each. ``widths`` are the channels of the stages;
    ``expansions`` and ``kernels`` are those of the blocks."""

    def __init__(
        self, *, widths: Sequence[int], expansions: Sequence[int], kernels: Sequence[int], classes: int
    ) -> None:
        super().__init__()
        channels = widths[0]
        self.stem, self.norm = nn.Conv2d(1, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential()
        per_stage = len(kernels) // len(widths)
        for block, (expansion, kernel) in enumerate(zip(expansions, kernels, strict=True)):
            # The first block of each later stage halves the image.
            starts = block > 0 and block % per_stage == 0
            before, channels = channels, widths[block // per_stage]
            self.blocks.append(
                InvertedResidual(
                    before, channels, expansion=expansion, kernel=kernel, stride=1 + starts, adds=not starts
                )
            )
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(n, 1, h, w)`` to logits ``(n, classes)``."""
        features = self.blocks(torch.relu(self.norm(self.stem(x))))
        logits: Tensor = self.head(features.mean((2, 3)))
        return logits


class ElasticNet(InvertedResidualNet, Elastic):
    """An elastic network with decisions on kernel and expansion of each of ``depth`` blocks, and on the channels of
    each of ``stages`` stages: at most ``width`` in the first, twice as many in each further stage.

    The channels of a stage, which its shortcuts share, are named after the layer that they come from: the stem, or the
    first block of the stage.
    """

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
    """Trains all sub-networks with :func:`train_classifier`: every batch goes through the smallest, a random and the
    largest sub-network (the sandwich rule: Yu and Huang, *Universally Slimmable Networks*, ICCV 2019).

    Ends with the largest one chosen and its running statistics re-estimated.
    """
    train_classifier(network, epoch_data, epochs=epochs, seed=seed, passes=partial(sandwich, network), **options)
    images, _ = epoch_data(np.random.default_rng(seed))
    parts = (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    reestimate(network, ((torch.from_numpy(part),) for part in parts))


def sandwich(network: Elastic, rng: np.random.Generator) -> Iterator[Mapping[str, str]]:
    """Chooses the smallest, a random and the largest sub-network in turn, and yields its values."""
    draw = {name: str(rng.choice(values)) for name, values in network.choices.items()}
    for values in (network.smallest, draw, network.largest):
        network.choose(values)
        yield values
