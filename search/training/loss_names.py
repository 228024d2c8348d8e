"""The losses by name; none of them, nor torch, is imported before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwprofiles.plugins import Registry

if TYPE_CHECKING:
    from search.training.losses.base import Loss

LOSSES: Registry[Loss] = Registry(
    "paretune.losses",
    {
        "task": "search.training.losses.task:TaskLoss",
        "class_weighted": "search.training.losses.class_weighted:ClassWeighted",
        "kl": "search.training.losses.logits_kl:LogitsKl",
        "l2": "search.training.losses.logits_l2:LogitsL2",
        "cwd": "search.training.losses.channel_wise:ChannelWise",
        "minilm": "search.training.losses.attention_relations:AttentionRelations",
    },
)
