"""The networks that FLIQS is judged on, with their layers and what these cost."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from torch import nn

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups
from evaluators.graphs.model import load_model
from search.fliqs.cost import AdditiveCost, bit_operations_cost
from search.pruning.names import layers_by_scope
from search.tasks.digits import Digits, DigitsOptions
from search.training.quantised import QUANTISABLE

NETWORKS = ("resnet", "vit")


@dataclass(frozen=True)
class Network:
    """A task, and by layer group the layers of its module that share a format."""

    task: Digits
    groups: tuple[LayerGroup, ...]
    layers: Mapping[str, Sequence[str]]

    def module(self) -> nn.Module:
        """A trained copy."""
        return self.task.module()

    def cost(self, formats: Iterable[str]) -> AdditiveCost:
        """In bit-operations."""
        return bit_operations_cost(self.groups, formats)


@cache
def network(name: str, seed: int) -> Network:
    """The narrow networks at 16x16, trained once a seed."""
    task = Digits(DigitsOptions(preset="bench", model=name, seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        task.export(path)
        model = clean_graph(load_model(path))
    groups = layer_groups(model, {"image": [1, *task.inputs("validation")["image"].shape[1:]]})
    scopes = layers_by_scope(task.module(), QUANTISABLE)
    layers = {
        group.name: list(dict.fromkeys(scopes[node.rpartition("/")[0]] for node in group.nodes)) for group in groups
    }
    return Network(task, groups, layers)
