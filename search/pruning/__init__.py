"""Structured pruning of torch modules: groups of channels and blocks, importance criteria, and surgery."""

from search.pruning.blocks import block_groups
from search.pruning.dependencies import channel_groups
from search.pruning.groups import BlockGroup, ChannelGroup, Group, Producer, TensorSlice
from search.pruning.surgery import ChannelsToKeep, parameter_count, prune, zero_channels
from search.pruning.widths import best_channels, channel_step, width_choices

__all__ = [
    "BlockGroup",
    "ChannelGroup",
    "ChannelsToKeep",
    "Group",
    "Producer",
    "TensorSlice",
    "best_channels",
    "block_groups",
    "channel_groups",
    "channel_step",
    "parameter_count",
    "prune",
    "width_choices",
    "zero_channels",
]
