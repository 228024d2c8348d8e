"""The layers of a job's model as its facts keep them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluators.graphs.layer_groups import LayerGroup
from hwprofiles import Precision


def groups_of(facts: Mapping[str, Any]) -> tuple[LayerGroup, ...]:
    """The layer groups as a job's facts hold them."""
    return tuple(
        LayerGroup(
            **{**group, "nodes": tuple(group["nodes"]), "precisions": tuple(map(Precision, group["precisions"]))}
        )
        for group in facts["groups"]
    )
