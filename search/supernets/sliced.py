"""Layers that compute with a part of their weights, so that networks of several sizes can share them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput


def part_of(values: Tensor, shape: torch.Size) -> Tensor:
    """The part of a layer's tensor that a smaller layer shares: of the first two axes the first channels, of those of a
    kernel its centre.

    >>> part_of(torch.arange(5), torch.Size([3])).tolist()
    [0, 1, 2]

    Raises :class:`InvalidInput` for a shape that is no part of the tensor's.
    """
    if values.shape == shape:
        return values
    places = []
    for axis, (whole, kept) in enumerate(zip(values.shape, shape, strict=False)):
        start = (whole - kept) // 2 if axis > 1 else 0
        places.append(slice(max(0, start), start + kept))
    part = values[tuple(places)]
    if part.shape != shape:
        raise InvalidInput(
            f"a tensor of shape {tuple(values.shape)} has no part of shape {tuple(shape)}",
            "let the largest choices of an elastic network make its largest layers",
        )
    return part


class Sliced(nn.Module):
    """A layer that computes with the part of its tensors that another one of its kind has, from :meth:`take` on."""

    taken: torch.Size | None = None
    """The shape of the weight that it computes with; None for all of it."""

    def take(self, like: nn.Module) -> None:
        """Computes as ``like`` would with the shared part of the weights."""
        self.taken = like.get_parameter("weight").shape

    def sliced(self, weight: Tensor) -> Tensor:
        """The part of the weight that it computes with; of that part itself all."""
        return weight if self.taken is None else part_of(weight, self.taken)

    def first(self, values: Tensor | None) -> Tensor | None:
        """The part of a tensor that holds a value for each output channel."""
        return values if self.taken is None or values is None else part_of(values, self.taken[:1])


class SlicedLinear(Sliced, nn.Linear):
    """A linear layer of the first inputs and outputs."""

    def forward(self, x: Tensor) -> Tensor:
        """``(…, inputs taken)`` to ``(…, outputs taken)``."""
        return nn.functional.linear(x, self.sliced(self.weight), self.first(self.bias))


class SlicedConv2d(Sliced, nn.Conv2d):
    """A convolution of the first channels with the centre of its kernel."""

    def take(self, like: nn.Module) -> None:
        """See :meth:`Sliced.take`; padding, groups and the like are those of ``like`` too."""
        super().take(like)
        for name in ("stride", "padding", "dilation", "groups", "_reversed_padding_repeated_twice"):
            setattr(self, name, getattr(like, name))

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels taken, h, w)`` to as many as are taken."""
        out: Tensor = self._conv_forward(x, self.sliced(self.weight), self.first(self.bias))
        return out


class SlicedBatchNorm2d(Sliced, nn.BatchNorm2d):
    """A batch normalisation of the first channels, whose running statistics are those of the last size that used it:
    they are to be estimated anew for a size that is kept (Yu et al., *Slimmable Neural Networks*, ICLR 2019)."""

    def take(self, like: nn.Module) -> None:
        """See :meth:`Sliced.take`; it may have no weight."""
        self.taken = torch.Size([like.num_features])  # type: ignore[list-item]

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels taken, h, w)`` to as many."""
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
    """Makes the layers of a network that can compute with parts of their weights do so, in place; at first with all."""
    for part in network.modules():
        kind = _KINDS.get(type(part))
        if kind is not None:
            # Nothing but the forward pass is another: all that knows a convolution knows this one.
            part.__class__ = kind
