"""Quantisation-aware layers: fake quantisation of weights and inputs while a module trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

from evaluators.graphs.number_format import NumberFormat, number_format
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.supernets.sliced import Sliced
from search.training.rounding import round_input, round_weight

QUANTISABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

MOMENTUM = 0.95
"""Decay of the moving average of an input's largest magnitude, observed before inputs are first rounded."""


class _WeightQuantizer(nn.Module):
    """Fake-quantises a weight; of a sliced layer only the part that it computes with."""

    form: NumberFormat | None = None

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._slice = layer.slice_weight if isinstance(layer, Sliced) else None

    def forward(self, weight: Tensor) -> Tensor:
        # Sliced before rounding: the scale of a channel is that of the weights in use.
        weight = weight if self._slice is None else self._slice(weight)
        return weight if self.form is None else round_weight(weight, self.form)


class _InputQuantizer(nn.Module):
    """Observes, then fake-quantises a layer's input; each format has a trained bound of its own."""

    peak: Tensor

    def __init__(self, formats: Sequence[str]) -> None:
        super().__init__()
        self.form: NumberFormat | None = None
        self.rounds = False
        self.register_buffer("peak", torch.zeros(()))
        self.logarithms = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in formats})

    def forward(self, values: Tensor) -> Tensor:
        if self.training and not self.rounds:
            largest = values.detach().abs().amax().float()
            self.peak.copy_(torch.where(self.peak > 0, MOMENTUM * self.peak + (1 - MOMENTUM) * largest, largest))
        if self.form is None or not self.rounds:
            return values
        return round_input(values, self.bound(self.form.name), self.form)

    def bound(self, name: str) -> Tensor:
        """Computes the largest magnitude that a format covers."""
        bound: Tensor = self.logarithms[name].exp()
        return bound

    def begin(self) -> None:
        """Starts rounding inputs; initialises the bounds with the observed largest magnitude."""
        self.rounds = True
        for logarithm in self.logarithms.values():
            logarithm.data.fill_(float(self.peak.clamp(min=1e-8).log()))


class QuantisedLayers:
    """Number formats of layer groups, which can change from step to step.

    ``groups`` maps a group's name to the names of the layers of ``module`` that share its format. Weights are rounded
    per output channel from the first step; inputs from :meth:`begin` on, with bounds trained along with the weights.
    Changes the module in place, including the names of its parameters, until :meth:`remove`.

    >>> net = nn.Sequential(nn.Linear(4, 4))
    >>> layers = QuantisedLayers(net, {"first": ["0"]}, ("int4", "int8"))
    >>> layers.select({"first": "int4"})

    Raises :class:`InvalidInput` for an unknown layer or format.
    """

    def __init__(self, module: nn.Module, groups: Mapping[str, Sequence[str]], formats: Sequence[str]) -> None:
        candidates = {name: part for name, part in module.named_modules() if isinstance(part, QUANTISABLE)}
        for name in (layer for layers in groups.values() for layer in layers):
            if name not in candidates:
                raise InvalidInput(f"formats: there is no layer {name!r}", nearest(name, list(candidates)))
        self.formats = {name: number_format(name) for name in formats}
        self.groups = {group: tuple(layers) for group, layers in groups.items()}
        self.chosen: dict[str, str] = {}
        """Formats by group; groups that stay float are left out."""
        self._parts = {layer: candidates[layer] for layers in self.groups.values() for layer in layers}
        self._weights: dict[str, _WeightQuantizer] = {}
        self._inputs: dict[str, _InputQuantizer] = {}
        self._hooks = []
        for layer, part in self._parts.items():
            self._weights[layer], self._inputs[layer] = _WeightQuantizer(part), _InputQuantizer(formats)
            # unsafe: slicing changes the weight's shape.
            register_parametrization(part, "weight", self._weights[layer], unsafe=isinstance(part, Sliced))
            part.add_module("quantised_input", self._inputs[layer].train(part.training))
            self._hooks.append(part.register_forward_pre_hook(_quantise_input))

    def select(self, formats: Mapping[str, str]) -> None:
        """Sets the format of each group; groups that are left out compute in float."""
        self.chosen = dict(formats)
        for group, layers in self.groups.items():
            form = self.formats[formats[group]] if group in formats else None
            for layer in layers:
                self._weights[layer].form = self._inputs[layer].form = form

    @property
    def rounds_inputs(self) -> bool:
        """Whether inputs are rounded too."""
        return any(quantizer.rounds for quantizer in self._inputs.values())

    def begin(self) -> None:
        """Starts rounding inputs; initialises their bounds with the observed largest magnitudes."""
        for quantizer in self._inputs.values():
            quantizer.begin()

    def resume(self) -> None:
        """Starts rounding inputs with the bounds in the module's state."""
        for quantizer in self._inputs.values():
            quantizer.rounds = True

    def bounds(self) -> dict[str, float]:
        """Returns by layer the largest input magnitude that its chosen format covers."""
        return {
            layer: float(self._inputs[layer].bound(self.chosen[group]).detach())
            for group, layers in self.groups.items()
            if group in self.chosen
            for layer in layers
        }

    def remove(self) -> None:
        """Restores the module's plain layers with the trained weights, unrounded."""
        for hook in self._hooks:
            hook.remove()
        for part in self._parts.values():
            remove_parametrizations(part, "weight", leave_parametrized=False)
            del part.quantised_input


def _quantise_input(part: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (part.get_submodule("quantised_input")(inputs[0]), *inputs[1:])
