"""Layers that compute in number formats of few bits while a module trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization, remove_parametrizations

from evaluators.graphs.number_format import NumberFormat, number_format
from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.supernets.sliced import Sliced
from search.training.rounding import rounded_input, rounded_weight

QUANTISABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)

MOMENTUM = 0.95
"""Of the largest magnitude of an input, seen over the steps before it is first rounded."""


class _Weight(nn.Module):
    """A weight as the layer's format has it; where the layer computes with a part of it, that part alone."""

    form: NumberFormat | None = None

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self._sliced = layer.sliced if isinstance(layer, Sliced) else None

    def forward(self, weight: Tensor) -> Tensor:
        # Before it is rounded: the scale of a channel is that of the weights that are used.
        weight = weight if self._sliced is None else self._sliced(weight)
        return weight if self.form is None else rounded_weight(weight, self.form)


class _Input(nn.Module):
    """An input as the layer's format has it: one trained bound for each format, so that none pays for another."""

    peak: Tensor

    def __init__(self, formats: Sequence[str]) -> None:
        super().__init__()
        self.form: NumberFormat | None = None
        self.rounds = False
        self.register_buffer("peak", torch.zeros(()))
        self.logarithms = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in formats})

    def forward(self, values: Tensor) -> Tensor:
        if self.training and not self.rounds:
            seen = values.detach().abs().amax().float()
            self.peak.copy_(torch.where(self.peak > 0, MOMENTUM * self.peak + (1 - MOMENTUM) * seen, seen))
        if self.form is None or not self.rounds:
            return values
        return rounded_input(values, self.bound(self.form.name), self.form)

    def bound(self, name: str) -> Tensor:
        """The largest magnitude that a format covers."""
        bound: Tensor = self.logarithms[name].exp()
        return bound

    def begin(self) -> None:
        """From now on inputs are rounded, at first up to the largest magnitude that was seen."""
        self.rounds = True
        for logarithm in self.logarithms.values():
            logarithm.data.fill_(float(self.peak.clamp(min=1e-8).log()))


class QuantisedLayers:
    """Gives groups of layers number formats, which can change from step to step.

    ``groups`` maps a group's name to the layers of ``module`` (by their names) that share its format. Weights are
    rounded per output channel from the first step; inputs from :meth:`begin` on, with bounds that are trained with the
    weights. The module is changed in place until :meth:`remove`; its parameters' names are others meanwhile.

    >>> net = nn.Sequential(nn.Linear(4, 4))
    >>> layers = QuantisedLayers(net, {"first": ["0"]}, ("int4", "int8"))
    >>> layers.select({"first": "int4"})

    Raises :class:`InvalidInput` for a name that is no such layer, or no format.
    """

    def __init__(self, module: nn.Module, groups: Mapping[str, Sequence[str]], formats: Sequence[str]) -> None:
        known = {name: part for name, part in module.named_modules() if isinstance(part, QUANTISABLE)}
        for name in (layer for layers in groups.values() for layer in layers):
            if name not in known:
                raise InvalidInput(f"formats: there is no layer {name!r}", nearest(name, list(known)))
        self.formats = {name: number_format(name) for name in formats}
        self.groups = {group: tuple(layers) for group, layers in groups.items()}
        self.chosen: dict[str, str] = {}
        """The format of each group; without those that stay float."""
        self._parts = {layer: known[layer] for layers in self.groups.values() for layer in layers}
        self._weights: dict[str, _Weight] = {}
        self._inputs: dict[str, _Input] = {}
        self._hooks = []
        for layer, part in self._parts.items():
            self._weights[layer], self._inputs[layer] = _Weight(part), _Input(formats)
            # Unsafe is that a part may have another shape.
            register_parametrization(part, "weight", self._weights[layer], unsafe=isinstance(part, Sliced))
            part.add_module("quantised_input", self._inputs[layer].train(part.training))
            self._hooks.append(part.register_forward_pre_hook(_round_first))

    def select(self, formats: Mapping[str, str]) -> None:
        """The format of each group from now on; a group that is left out stays float."""
        self.chosen = dict(formats)
        for group, layers in self.groups.items():
            form = self.formats[formats[group]] if group in formats else None
            for layer in layers:
                self._weights[layer].form = self._inputs[layer].form = form

    @property
    def begun(self) -> bool:
        """Whether inputs are rounded too."""
        return any(one.rounds for one in self._inputs.values())

    def begin(self) -> None:
        """Rounds inputs too."""
        for one in self._inputs.values():
            one.begin()

    def resume(self) -> None:
        """Rounds inputs too, with bounds that were loaded with the module's state."""
        for one in self._inputs.values():
            one.rounds = True

    def bounds(self) -> dict[str, float]:
        """By layer, the largest magnitude of its input that its chosen format covers."""
        return {
            layer: float(self._inputs[layer].bound(self.chosen[group]).detach())
            for group, layers in self.groups.items()
            if group in self.chosen
            for layer in layers
        }

    def remove(self) -> None:
        """Gives the module back its own layers, with the trained weights as they were before rounding."""
        for hook in self._hooks:
            hook.remove()
        for part in self._parts.values():
            remove_parametrizations(part, "weight", leave_parametrized=False)
            del part.quantised_input


def _round_first(part: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (part.get_submodule("quantised_input")(inputs[0]), *inputs[1:])
