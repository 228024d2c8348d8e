"""What number formats and a sub-network of an elastic network cost together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evaluators.graphs.bit_operations import FLOAT_BITS, bits_of
from evaluators.graphs.bit_operations import bit_operations as counted
from evaluators.graphs.layer_groups import LayerGroup
from hwprofiles.errors import InvalidInput
from search.fliqs.cost import FLOAT
from search.pruning.tracing import hooked
from search.supernets.elastic import Elastic
from search.training.quantised import QUANTISABLE

Layers = Mapping[str, Sequence[str]]
"""By group, the names of its layers."""


@dataclass(frozen=True)
class ElasticBitOperations:
    """Bit-operations for one sample (see :func:`evaluators.graphs.bit_operations.bit_operations`) of the chosen
    sub-network: a :class:`search.fliqs.cost.Cost` of formats by group and values by decision.

    ``positions`` says at how many positions of an image each layer computes; ``fixed`` are the bit-operations of all
    that is no layer of the module.
    """

    network: Elastic
    layers: Layers
    positions: Mapping[str, int]
    fixed: float = 0.0

    @classmethod
    def of_groups(
        cls, network: Elastic, layers: Layers, groups: Sequence[LayerGroup], example: tuple[Tensor, ...]
    ) -> ElasticBitOperations:
        """``groups`` are those of the exported network at its largest; ``example`` is one sample, on the processor.

        Raises :class:`InvalidInput` where a sub-network computes at other positions.
        """
        positions, others = (positions_of(network.extracted(v), example) for v in (network.largest, network.smallest))
        if positions != others:
            raise InvalidInput(
                "sub-networks compute at different positions of an image",
                "pad every kernel by half of its size, and let strides be",
            )
        alone = cls(network, layers, positions)
        return cls(network, layers, positions, max(0.0, counted(groups, {}) - alone.of({})))

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
    """Bytes of all weights of the chosen sub-network, those of its layers packed, the rest as 32-bit floats: a
    :class:`search.fliqs.cost.Cost` likewise."""

    network: Elastic
    layers: Layers

    def of(self, formats: Mapping[str, str]) -> float:
        """See :meth:`Cost.of`."""
        network = _chosen(self.network, formats)
        total = float(sum(one.numel() for one in network.parameters())) * FLOAT_BITS
        for group, layers in self.layers.items():
            bits = bits_of(formats.get(group, FLOAT))[0]
            total -= (FLOAT_BITS - bits) * sum(_weights(network, layer) for layer in layers)
        return total / 8


@torch.no_grad()
def positions_of(network: nn.Module, example: tuple[Tensor, ...]) -> dict[str, int]:
    """By layer that can have a number format, at how many positions of one sample it computes."""
    found: Counter[str] = Counter()

    def note(name: str, part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(part, QUANTISABLE):
            found[name] += output.numel() // part.weight.shape[0]

    with hooked(network, note):
        network(*example)
    return dict(found)


def _chosen(network: Elastic, values: Mapping[str, str]) -> nn.Module:
    """The structure of the sub-network, ``values`` holding formats too."""
    return network.structure({name: value for name, value in values.items() if name in network.choices})


def _weights(network: nn.Module, layer: str) -> int:
    return network.get_submodule(layer).get_parameter("weight").numel()
