"""Structured pruning of torch modules: what can go together, what is worth keeping, and the smaller copy."""

from search.pruning.blocks import block_groups
from search.pruning.dependencies import channel_groups
from search.pruning.groups import BlockGroup, ChannelGroup, Group, Producer, TensorSlice
from search.pruning.surgery import Kept, parameter_count, prune, zeroed
from search.pruning.widths import best_channels, channel_step, kept_widths

__all__ = [
    "BlockGroup",
    "ChannelGroup",
    "Group",
    "Kept",
    "Producer",
    "TensorSlice",
    "best_channels",
    "block_groups",
    "channel_groups",
    "channel_step",
    "kept_widths",
    "parameter_count",
    "prune",
    "zeroed",
]
