"""The criteria of pruning by name; none of them, nor torch, is imported before it is used."""

from __future__ import annotations

from typing import Any

from hwprofiles.plugins import Registry

CRITERIA: Registry[Any] = Registry(
    "paretune.criteria",
    {
        "l1": "search.pruning.criteria.l1:L1",
        "l2": "search.pruning.criteria.l2:L2",
        "bn_scale": "search.pruning.criteria.bn_scale:BatchNormScale",
        "taylor": "search.pruning.criteria.taylor:Taylor",
        "lrp": "search.pruning.criteria.lrp:Relevance",
        "expressiveness": "search.pruning.criteria.expressiveness:Expressiveness",
        "random": "search.pruning.criteria.random:Random",
    },
)
