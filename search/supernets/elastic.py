"""Elastic networks: sub-networks of several sizes that share weights, chosen by a one-shot search."""

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

_CACHE_SIZE = 64
"""Cached structures. Each draw is computed and counted, and a converging policy repeats its draws."""


class Elastic(nn.Module, ABC):
    """A network that can compute as any of its sub-networks.

    Smaller kernels are the centre of the largest kernel, smaller widths the first channels of the widest layer
    (slimmable networks: Yu et al., ICLR 2019; Once-for-All: Cai et al., ICLR 2020, here without its trained kernel
    transforms).

    A subclass is the largest network, made of plain layers. Its constructor ends with :meth:`share`; its :meth:`plain`
    builds a sub-network. Convolutions, linear layers and batch normalisation (:mod:`torch.nn`'s ``Conv2d``, ``Linear``,
    ``BatchNorm2d``) can differ in size. All other parts, and the positions of an image at which a layer computes, are
    the same in all sub-networks.
    """

    choices: Mapping[str, tuple[str, ...]]
    """The values of each decision, smallest first. Decisions are usually named ``<kind>:<part>``, such as
    ``kernel:blocks.0``."""
    chosen: Architecture
    """The current sub-network."""

    @abstractmethod
    def plain(self, values: Mapping[str, str]) -> nn.Module:
        """Builds a new network of plain layers with ``values``, one per decision. Its parts have the same names as
        here; its tensors are no larger."""

    def share(self, choices: Mapping[str, tuple[str, ...]]) -> None:
        """Converts the layers so that sub-networks can share them. Call it once, at the end of the constructor.

        Raises :class:`InvalidInput` if the smallest or the largest sub-network has other parts than this network, or
        parts that differ in size and cannot be shared.
        """
        self.choices = {name: tuple(values) for name, values in choices.items()}
        self.chosen = self.largest
        self._structures: dict[tuple[str, ...], nn.Module] = {}
        slice_layers(self)
        for values in (self.smallest, self.largest):
            self._check(values)

    @property
    def largest(self) -> Architecture:
        """The largest value of each decision."""
        return {name: values[-1] for name, values in self.choices.items()}

    @property
    def smallest(self) -> Architecture:
        """The smallest value of each decision."""
        return {name: values[0] for name, values in self.choices.items()}

    def choose(self, values: Mapping[str, str]) -> None:
        """Switches to the sub-network with ``values``; decisions that are left out take their largest value.

        Raises :class:`InvalidInput` for an unknown decision or value.
        """
        like = self.structure(values)
        for name, part in self.named_modules():
            if isinstance(part, Sliced):
                part.take(like.get_submodule(name))
        self.chosen = self.complete(values)

    def extract(self, values: Mapping[str, str]) -> nn.Module:
        """Copies the sub-network with ``values`` into a plain module.

        Raises as :meth:`choose`, and :class:`InvalidInput` while a layer of this network is parametrised.
        """
        with torch.random.fork_rng(devices=[]):
            network = self.plain(self.complete(values))
        own = self.state_dict()
        wanted = network.state_dict()
        if wanted.keys() != own.keys():
            raise InvalidInput(
                "cannot extract a sub-network: tensors of the network were renamed",
                "remove parametrisations from its layers first, such as fake quantisation",
            )
        network.load_state_dict({name: part_of(own[name], values.shape) for name, values in wanted.items()})
        return network.train(self.training)

    def structure(self, values: Mapping[str, str]) -> nn.Module:
        """Builds the sub-network with ``values`` without weights, on torch's meta device (cached). Raises as
        :meth:`choose`."""
        values = self.complete(values)
        key = tuple(values.values())
        if key not in self._structures:
            if len(self._structures) == _CACHE_SIZE:
                del self._structures[next(iter(self._structures))]
            with torch.device("meta"):
                self._structures[key] = self.plain(values)
        return self._structures[key]

    def complete(self, values: Mapping[str, str]) -> Architecture:
        """Adds the largest value of each decision that is left out. Raises as :meth:`choose`."""
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
                    f"the sub-network of {values} differs in {name!r}", "give it the same parts as the whole network"
                )
            sizes = own[name], wanted[name]
            larger = len(sizes[0]) != len(sizes[1]) or any(a < b for a, b in zip(*sizes, strict=True))
            if larger or (sizes[0] != sizes[1] and name.rpartition(".")[0] not in shared):
                raise InvalidInput(
                    f"{name} of shape {sizes[0]} cannot be shared with one of {sizes[1]}",
                    "let only Conv2d, Linear and BatchNorm2d differ in size, and list the largest choices last",
                )


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    tensors: dict[str, Any] = network.state_dict()
    return {name: tuple(values.shape) for name, values in tensors.items()}
