"""Costs of number formats together with a sub-network of an elastic network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.graphs.bit_operations import FLOAT_BITS, bit_operations, bits_of
from evaluators.graphs.layer_groups import LayerGroup
from hwprofiles.errors import InvalidInput
from search.fliqs.cost import FLOAT
from search.pruning.tracing import forward_hooks
from search.supernets.elastic import Elastic
from search.training.quantised import QUANTISABLE

Layers = Mapping[str, Sequence[str]]
"""Names of layers by group."""


@dataclass(frozen=True)
class ElasticBitOperations:
    """Bit-operations of a sub-network for one sample: a :class:`search.fliqs.cost.Cost` of formats by group and values
    by decision. See :func:`evaluators.graphs.bit_operations.bit_operations`."""

    network: Elastic
    layers: Layers
    positions: Mapping[str, int]
    """By layer, the number of positions of an image at which it computes."""
    fixed: float = 0.0
    """Bit-operations outside of the module's layers."""

    @classmethod
    def of_groups(
        cls, network: Elastic, layers: Layers, groups: Sequence[LayerGroup], example: tuple[Tensor, ...]
    ) -> ElasticBitOperations:
        """Makes the cost from the ``groups`` of the exported largest network; ``example`` is one sample on the CPU.

        Raises :class:`InvalidInput` if the largest and the smallest sub-network compute at different positions.
        """
        positions, smallest = (positions_of(network.extract(v), example) for v in (network.largest, network.smallest))
        if positions != smallest:
            raise InvalidInput(
                "sub-networks compute at different positions of an image",
                "pad every kernel by half of its size, and keep strides fixed",
            )
        without_fixed = cls(network, layers, positions)
        return cls(network, layers, positions, max(0.0, bit_operations(groups, {}) - without_fixed.of({})))

    def of(self, formats: Mapping[str, str]) -> float:
        """See :meth:`Cost.of`."""
        network, total = _chosen(self.network, formats), self.fixed
        by_layer = {layer: formats.get(group, FLOAT) for group, layers in self.layers.items() for layer in layers}
        for layer, positions in self.positions.items():
            weight, value = bits_of(by_layer.get(layer, FLOAT))
            total += positions * _weights(network, layer) * weight * value
        return total


@dataclass(frozen=True)
class ElasticBytes:
    """Bytes of a sub-network's weights, those of its layers packed, all others as 32-bit floats: a
    :class:`search.fliqs.cost.Cost` of formats by group and values by decision."""

    network: Elastic
    layers: Layers

    def of(self, formats: Mapping[str, str]) -> float:
        """See :meth:`Cost.of`."""
        network = _chosen(self.network, formats)
        total = float(sum(weight.numel() for weight in network.parameters())) * FLOAT_BITS
        for group, layers in self.layers.items():
            bits = bits_of(formats.get(group, FLOAT))[0]
            total -= (FLOAT_BITS - bits) * sum(_weights(network, layer) for layer in layers)
        return total / 8


@torch.no_grad()
def positions_of(network: nn.Module, example: tuple[Tensor, ...]) -> dict[str, int]:
    """Counts by quantisable layer the positions of one sample at which it computes."""
    positions: Counter[str] = Counter()

    def note(name: str, part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(part, QUANTISABLE):
            positions[name] += output.numel() // part.weight.shape[0]

    with forward_hooks(network, note):
        network(*example)
    return dict(positions)


def _chosen(network: Elastic, values: Mapping[str, str]) -> nn.Module:
    """Returns the structure of the sub-network; ``values`` may contain formats too."""
    return network.structure({name: value for name, value in values.items() if name in network.choices})


def _weights(network: nn.Module, layer: str) -> int:
    return network.get_submodule(layer).get_parameter("weight").numel()
