"""Sliced layers: compute with a part of their weights, so that networks of several sizes can share them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput


def part_of(values: Tensor, shape: torch.Size) -> Tensor:
    """Slices the part of a layer's tensor that a smaller layer of ``shape`` shares: the first channels along the first
    two axes, the centre along the axes of the kernel.

    >>> part_of(torch.arange(5), torch.Size([3])).tolist()
    [0, 1, 2]

    Raises :class:`InvalidInput` if the tensor has no such part.
    """
    if values.shape == shape:
        return values
    places = []
    for axis, (whole, size) in enumerate(zip(values.shape, shape, strict=False)):
        start = (whole - size) // 2 if axis > 1 else 0
        places.append(slice(max(0, start), start + size))
    part = values[tuple(places)]
    if part.shape != shape:
        raise InvalidInput(
            f"a tensor of shape {tuple(values.shape)} has no part of shape {tuple(shape)}",
            "an elastic network's largest choices must give its largest layers",
        )
    return part


class Sliced(nn.Module):
    """A layer that, after :meth:`take`, computes with the part of its tensors that a smaller layer shares."""

    taken: torch.Size | None = None
    """Shape of the part of the weight in use; None for all of it."""

    def take(self, like: nn.Module) -> None:
        """Switches to the part of the weights that ``like`` shares."""
        self.taken = like.get_parameter("weight").shape

    def slice_weight(self, weight: Tensor) -> Tensor:
        """Slices the part of the weight in use; returns a weight that is already sliced as it is."""
        return weight if self.taken is None else part_of(weight, self.taken)

    def first(self, values: Tensor | None) -> Tensor | None:
        """Slices a tensor with one value per output channel."""
        return values if self.taken is None or values is None else part_of(values, self.taken[:1])


class SlicedLinear(Sliced, nn.Linear):
    """A linear layer of the first inputs and outputs."""

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(…, inputs in use)`` to ``(…, outputs in use)``."""
        return nn.functional.linear(x, self.slice_weight(self.weight), self.first(self.bias))


class SlicedConv2d(Sliced, nn.Conv2d):
    """A convolution of the first channels with the centre of its kernel."""

    def take(self, like: nn.Module) -> None:
        """See :meth:`Sliced.take`; also takes padding, groups and the like from ``like``."""
        super().take(like)
        for name in ("stride", "padding", "dilation", "groups", "_reversed_padding_repeated_twice"):
            setattr(self, name, getattr(like, name))

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(n, input channels in use, h, w)`` to ``(n, output channels in use, h, w)``."""
        out: Tensor = self._conv_forward(x, self.slice_weight(self.weight), self.first(self.bias))
        return out


class SlicedBatchNorm2d(Sliced, nn.BatchNorm2d):
    """A batch normalisation of the first channels.

    Running statistics are those of the last size in use; re-estimate them for the final size (Yu et al., *Slimmable
    Neural Networks*, ICLR 2019).
    """

    def take(self, like: nn.Module) -> None:
        """See :meth:`Sliced.take`; works without a weight."""
        self.taken = torch.Size([like.num_features])  # type: ignore[list-item]

    def forward(self, x: Tensor) -> Tensor:
        """Normalises ``(n, channels in use, h, w)``."""
        share = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:
                share = 1.0 / float(self.num_batches_tracked)
        mean, variance = self.first(self.running_mean), self.first(self.running_var)
        return nn.functional.batch_norm(
            x, mean, variance, self.first(self.weight), self.first(self.bias), self.training or mean is None, share,
            self.eps,
        )  # fmt: skip


_KINDS: dict[type[nn.Module], type[Sliced]] = {
    nn.Linear: SlicedLinear, nn.Conv2d: SlicedConv2d, nn.BatchNorm2d: SlicedBatchNorm2d,
}  # fmt: skip


def slice_layers(network: nn.Module) -> None:
    """Converts the layers of a network to sliced ones, in place; at first they use all of their weights."""
    for part in network.modules():
        kind = _KINDS.get(type(part))
        if kind is not None:
            # Only the forward pass changes, so the layer is still an instance of its original class.
            part.__class__ = kind
