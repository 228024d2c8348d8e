"""What can be pruned: channels that must go together, and blocks that can be left out. Plain frozen data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwprofiles.errors import InvalidInput


@dataclass(frozen=True)
class TensorSlice:
    """What belongs to a group's blocks in one tensor: ``indices[b]`` along ``axis`` for block ``b``.

    ``tensor`` is its name among the model's parameters or buffers; a tensor that several modules share is named by the
    first of them.
    """

    tensor: str
    axis: int
    indices: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Producer:
    """A layer whose output holds the group's channels: ``indices[b]`` are those of block ``b``. ``operator`` is the
    probed operator (:data:`evaluators.probing.operators.FAMILIES`) whose latency steps round its width."""

    layer: str
    operator: str
    indices: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that several layers share, so that removing one changes all of them (DepGraph, Fang et al., CVPR 2023).

    ``name`` is that of the layer group in the exported ONNX file where both hold the same layers. ``channels``
    counts the channels of the first producer; ``blocks`` are those that can only go together, all of one size:
    single channels, an attention head, one channel of each group of a grouped convolution. ``operators`` are all
    probed operators whose width changes. ``heads`` are attention modules whose number of heads is the number of
    blocks. ``exact`` says that the pruned model computes what the original does with these channels' weights at zero;
    where a normalisation over the channels is among them, it does not.
    """

    name: str
    channels: int
    blocks: tuple[tuple[int, ...], ...]
    producers: tuple[Producer, ...]
    slices: tuple[TensorSlice, ...]
    operators: tuple[str, ...]
    heads: tuple[str, ...] = ()
    exact: bool = True

    @property
    def layers(self) -> tuple[str, ...]:
        """The modules whose outputs hold the channels."""
        return tuple(producer.layer for producer in self.producers)

    @property
    def block(self) -> int:
        """Channels of one block."""
        return len(self.blocks[0])

    def kept_blocks(self, kept: Sequence[int]) -> tuple[int, ...]:
        """The blocks that these channels are, in order.

        Raises :class:`InvalidInput` for no channel at all, one twice, one that does not exist, and a part of a block.
        """
        wanted = set(kept)
        if len(wanted) != len(kept) or not wanted <= set(range(self.channels)):
            raise InvalidInput(
                f"{self.name}: the channels to keep are not different channels below {self.channels}",
                "give each channel that stays once",
            )
        if not wanted:
            raise InvalidInput(f"{self.name}: no channel is kept", "keep at least one block of channels")
        blocks = tuple(number for number, members in enumerate(self.blocks) if wanted >= set(members))
        if sum(len(self.blocks[number]) for number in blocks) != len(wanted):
            raise InvalidInput(
                f"{self.name}: a block of {self.block} channels would be split",
                "keep or remove whole blocks, as they are listed in the group's blocks",
            )
        return blocks


@dataclass(frozen=True)
class BlockGroup:
    """A residual block that passes its input on where its layers are zero, so that it can be left out whole.

    ``module`` is its path. It has one channel to keep, ``0``, or none.
    """

    name: str
    module: str
    channels: int = 1


Group = ChannelGroup | BlockGroup
