"""Networks of several sizes that share their weights: what a search in one shot decides about beside formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.supernets.sliced import Sliced, part_of, slice_layers

Architecture = dict[str, str]

_KEPT = 64
"""Structures that are kept: each is computed and counted, and a policy that settles draws the same ones."""


class Elastic(nn.Module, ABC):
    """A network that can compute as each of its sub-networks: smaller kernels are the centre of the largest one,
    smaller widths the first channels of the widest layer (slimmable networks: Yu et al., ICLR 2019; Once-for-All: Cai
    et al., ICLR 2020, whose trained kernel transforms this has not).

    A subclass is a network of plain layers at its largest, whose constructor ends with :meth:`share`, and says in
    :meth:`plain` what its sub-networks are. Convolutions, linear layers and batch normalisation (:mod:`torch.nn`'s
    ``Conv2d``, ``Linear``, ``BatchNorm2d``) can differ in size; all other parts, and the positions of an image at which
    a layer computes, are the same in all sub-networks.
    """

    choices: Mapping[str, tuple[str, ...]]
    """The values of each decision, the smallest first. Usual names are ``<what>:<part>``, as ``kernel:blocks.0``."""
    chosen: Architecture
    """The sub-network that is computed."""

    @abstractmethod
    def plain(self, values: Mapping[str, str]) -> nn.Module:
        """A fresh network of plain layers with these values, one for each decision: its parts have the names that they
        have here, its tensors are no larger."""

    def share(self, choices: Mapping[str, tuple[str, ...]]) -> None:
        """Makes the layers fit for smaller sizes; to be called once, when they are there at their largest.

        Raises :class:`InvalidInput` where the smallest or the largest sub-network has other parts than this one, or
        parts that differ in size and cannot be shared.
        """
        self.choices = {name: tuple(values) for name, values in choices.items()}
        self.chosen = self.largest
        self._known: dict[tuple[str, ...], nn.Module] = {}
        slice_layers(self)
        for values in (self.smallest, self.largest):
            self._check(values)

    @property
    def largest(self) -> Architecture:
        """The choices of the whole network."""
        return {name: values[-1] for name, values in self.choices.items()}

    @property
    def smallest(self) -> Architecture:
        """The choices of the smallest sub-network."""
        return {name: values[0] for name, values in self.choices.items()}

    def choose(self, values: Mapping[str, str]) -> None:
        """Computes the sub-network with these values from now on; a decision that is left out has its largest.

        Raises :class:`InvalidInput` for what there is not to choose.
        """
        like = self.structure(values)
        for name, part in self.named_modules():
            if isinstance(part, Sliced):
                part.take(like.get_submodule(name))
        self.chosen = self.completed(values)

    def extracted(self, values: Mapping[str, str]) -> nn.Module:
        """The sub-network with these values as a plain module of its own, with a copy of its part of the weights; to be
        called while no layer of this one is parametrised. Raises as :meth:`choose`."""
        with torch.random.fork_rng(devices=[]):
            found = self.plain(self.completed(values))
        own = self.state_dict()
        wanted = found.state_dict()
        if wanted.keys() != own.keys():
            raise InvalidInput(
                "a network whose tensors were renamed has no sub-networks",
                "take away first what was put on its layers, as the rounding of their weights",
            )
        found.load_state_dict({name: part_of(own[name], values.shape) for name, values in wanted.items()})
        return found.train(self.training)

    def structure(self, values: Mapping[str, str]) -> nn.Module:
        """The sub-network with these values without weights, on torch's meta device. Raises as :meth:`choose`."""
        values = self.completed(values)
        key = tuple(values.values())
        if key not in self._known:
            if len(self._known) == _KEPT:
                del self._known[next(iter(self._known))]
            with torch.device("meta"):
                self._known[key] = self.plain(values)
        return self._known[key]

    def completed(self, values: Mapping[str, str]) -> Architecture:
        """A value for each decision, the largest where none is given. Raises as :meth:`choose`."""
        for name, value in values.items():
            if name not in self.choices:
                raise InvalidInput(f"there is no decision {name!r}", nearest(name, list(self.choices)))
            if value not in self.choices[name]:
                raise InvalidInput(f"{name}: {value!r} is no choice", f"choose from {', '.join(self.choices[name])}")
        return {**self.largest, **values}

    def _check(self, values: Architecture) -> None:
        own, wanted = _shapes(self), _shapes(self.structure(values))
        shared = {name for name, part in self.named_modules() if isinstance(part, Sliced)}
        for name in dict.fromkeys([*own, *wanted]):
            if name not in own or name not in wanted:
                raise InvalidInput(
                    f"the network of {values} differs in {name!r}", "give sub-networks the parts of the whole network"
                )
            sizes = own[name], wanted[name]
            larger = len(sizes[0]) != len(sizes[1]) or any(a < b for a, b in zip(*sizes, strict=True))
            if larger or (sizes[0] != sizes[1] and name.rpartition(".")[0] not in shared):
                raise InvalidInput(
                    f"{name} of shape {sizes[0]} cannot be shared with one of {sizes[1]}",
                    "let only Conv2d, Linear and BatchNorm2d differ in size, and the last choices be the largest",
                )


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    tensors: dict[str, Any] = network.state_dict()
    return {name: tuple(values.shape) for name, values in tensors.items()}
