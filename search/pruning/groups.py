"""Groups that can be pruned: channels that go together, and blocks that can be removed. Plain frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwprofiles.errors import InvalidInput


@dataclass(frozen=True)
class TensorSlice:
    """The slices of one tensor that belong to a group's blocks."""

    tensor: str
    """Name of the parameter or buffer; of a shared tensor the first name."""
    axis: int
    indices: tuple[tuple[int, ...], ...]
    """By block, indices along ``axis``."""


@dataclass(frozen=True)
class Producer:
    """A layer whose output contains the group's channels."""

    layer: str
    operator: str
    """The probed operator (:data:`evaluators.probing.operators.FAMILIES`) by whose latency steps widths are rounded."""
    indices: tuple[tuple[int, ...], ...]
    """By block, channels of the layer's output."""


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that several layers share, so that removing one changes all of them (DepGraph, Fang et al., CVPR
    2023)."""

    name: str
    """Name of the layer group in the exported ONNX file, if that has the same layers."""
    channels: int
    """Number of channels of the first producer."""
    blocks: tuple[tuple[int, ...], ...]
    """Channels that can only be removed together, all of one size: single channels, an attention head, or one channel
    of each group of a grouped convolution."""
    producers: tuple[Producer, ...]
    slices: tuple[TensorSlice, ...]
    operators: tuple[str, ...]
    """All probed operators whose width changes."""
    heads: tuple[str, ...] = ()
    """Attention modules whose number of heads is the number of blocks."""
    exact: bool = True
    """Whether the pruned model computes the same as the original with these channels' weights at zero; False if a
    normalisation runs over the channels."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The modules whose outputs contain the channels."""
        return tuple(producer.layer for producer in self.producers)

    @property
    def block_size(self) -> int:
        """Channels in a block."""
        return len(self.blocks[0])

    def blocks_of(self, kept: Sequence[int]) -> tuple[int, ...]:
        """Returns the numbers of the blocks that the channels ``kept`` form, in order.

        Raises :class:`InvalidInput` if there is no channel, a repeated or unknown one, or only a part of a block.
        """
        wanted = set(kept)
        if len(wanted) != len(kept) or not wanted <= set(range(self.channels)):
            raise InvalidInput(
                f"{self.name}: the channels to keep are not distinct numbers below {self.channels}",
                "give each channel to keep once",
            )
        if not wanted:
            raise InvalidInput(f"{self.name}: no channel is kept", "keep at least one block of channels")
        blocks = tuple(number for number, members in enumerate(self.blocks) if wanted >= set(members))
        if sum(len(self.blocks[number]) for number in blocks) != len(wanted):
            raise InvalidInput(
                f"{self.name}: a block of {self.block_size} channels would be split",
                "keep or remove whole blocks, as listed in the group's blocks",
            )
        return blocks


@dataclass(frozen=True)
class BlockGroup:
    """A residual block that can be removed whole, since it returns its input if its layers are zero.

    It has a single "channel" ``0``, to keep or not.
    """

    name: str
    module: str
    """Path of the block's module."""
    channels: int = 1


Group = ChannelGroup | BlockGroup
