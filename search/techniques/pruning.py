"""Structured pruning: one decision a group of channels, and one a block that can be left out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from evaluators.devices.device import Device
from search.bounds import LARGEST, MOST, MOST_ITEMS
from search.space.candidate import Decision
from search.space.layer_changes import KEPT, LEFT_OUT, LayerWidth
from search.space.offer import Offer
from search.techniques.channels import ChannelOptions, ChannelTechnique

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from search.pruning import ChannelGroup, Group

CRITERIA_SLIMMING = {"bn_scale": 1e-4}
"""Criteria that need slimming, with the usual weight of its term."""


Ratio = Annotated[float, Field(json_schema_extra={"exclusiveMinimum": 0, "exclusiveMaximum": 1})]


class PruningOptions(ChannelOptions):
    """The section ``pruning`` of a job's space."""

    ratios: tuple[Ratio, ...] = Field((0.75, 0.5, 0.25), min_length=1, max_length=MOST_ITEMS)
    """Shares of its channels that a group may keep, apart from all."""
    blocks: bool = True
    """Whether whole blocks can be left out."""
    schedule: Literal["one_shot", "iterative", "gradual"] = "one_shot"
    rounds: int = Field(3, ge=1, le=MOST)
    """Rounds in which channels are removed, unless ``one_shot``."""
    slimming: float | None = Field(None, ge=0, le=LARGEST, allow_inf_nan=False)
    """Weight of the term that makes scales of batch normalisation sparse before pruning (network slimming)."""
    slimming_epochs: int = Field(5, ge=1, le=MOST)

    @field_validator("ratios")
    @classmethod
    def _check_ratios(cls, ratios: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < ratio < 1 for ratio in ratios):
            raise ValueError("ratios lie between 0 and 1: 0.5 keeps half of the channels")
        return tuple(sorted(set(ratios), reverse=True))


class PruningTechnique(ChannelTechnique):
    """Removes channels, heads and blocks from the module (:mod:`search.pruning`).

    A group's values are the shares of its channels that stay: the job's ratios, with the width rounded up to the
    device's step. In several rounds the criterion is computed anew for the remaining, retrained channels.
    """

    Options = PruningOptions
    options: PruningOptions

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """See :class:`ModuleTechnique`."""
        return 1 if self.options.schedule == "one_shot" else self.options.rounds

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Returns one decision for each group with a choice, widest first, and one for each block that can be left
        out."""
        from search.pruning import ChannelGroup, width_choices

        decisions = []
        for target, group in self._groups.items():
            if not isinstance(group, ChannelGroup):
                decisions.append(_decision(target, (KEPT, LEFT_OUT)))
                continue
            widths = width_choices(group, self.options.ratios, self.step(device, group))
            if len(widths) > 1:
                decisions.append(_decision(target, tuple(_share(width, group) for width in widths)))
        return Offer(tuple(decisions))

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        """See :meth:`ModuleTechnique.change`."""
        from search.pruning import ChannelGroup, best_channels, prune

        first = way * self.rounds <= 1
        if first:
            module = self._initial_module
        groups = self._groups if first else self._find_groups(module)
        kept: dict[Group, tuple[int, ...]] = {}
        shrinking: dict[ChannelGroup, int] = {}
        for target, own in self._groups.items():
            value = values.get(_name(target), KEPT)
            group = None if value == KEPT else _matching_group(own, groups)
            if group is None:
                continue
            if not isinstance(group, ChannelGroup):
                kept[group] = ()
                continue
            whole = own.channels
            width = self._width(whole, round(float(value) * whole), group.block_size, way)
            if width < group.channels:
                shrinking[group] = width
        scores = self._scores(module, tuple(shrinking), first=first)
        kept |= {group: best_channels(group, scores[group.name], width) for group, width in shrinking.items()}
        return prune(module, kept)

    def layer_changes(self) -> list[LayerWidth]:
        """See :meth:`Technique.layer_changes`: the layers that narrow with their channels."""
        from search.pruning.reach import layer_widths

        groups = {_name(target): group for target, group in self._groups.items()}
        return layer_widths(self.subject.model, self.subject.groups, self.structure, groups, self.shapes)

    @classmethod
    def describe_value(cls, decision: Decision, value: str) -> str:
        """See :meth:`Technique.describe_value`."""
        return "left out" if value == LEFT_OUT else f"kept to {100 * float(value):.3g} %"

    def _width(self, whole: int, final: int, block: int, way: float) -> int:
        """Computes how many of ``whole`` channels the share ``way`` of the way to ``final`` leaves, in blocks."""
        from search.training.schedules import SCHEDULES

        removed = SCHEDULES[self.options.schedule](way, 0.0, 1 - final / whole, self.rounds)
        return max(final, -(-round(whole * (1 - removed)) // block) * block)

    @property
    def _slimming(self) -> float:
        weight, usual = self.options.slimming, CRITERIA_SLIMMING.get(self.options.criterion, 0.0)
        return usual if weight is None else weight

    @cached_property
    def _initial_module(self) -> nn.Module:
        """The module to prune: the task's own, after network slimming (training!) if the job asks for it."""
        module = self.module()
        if self._slimming == 0 or self.subject.profile.is_dry_run:
            return module
        from search.pruning.slimming import train_slim

        return train_slim(
            module, self.task.training(), weight=self._slimming, epochs=self.options.slimming_epochs,
            seed=self.options.seed, folder=self.subject.cache / "structures",
        )  # fmt: skip

    @cached_property
    def _groups(self) -> dict[str, Group]:
        """The task's own groups, by the targets of their decisions."""
        return self._find_groups(self.structure)

    def _find_groups(self, module: nn.Module) -> dict[str, Group]:
        from search.pruning import block_groups, channel_groups

        example = self.example(2)
        groups: list[Group] = [*channel_groups(module, example)]
        if self.options.blocks:
            groups += block_groups(module, example)
        names = [group.name for group in groups]
        return {
            group.name + "#block" * (name in names[:number]): group
            for number, (name, group) in enumerate(zip(names, groups, strict=True))
        }

    def _scores(
        self, module: nn.Module, groups: tuple[ChannelGroup, ...], *, first: bool
    ) -> Mapping[str, NDArray[np.float64]]:
        """Importance of the groups' channels; computed once for the task's own module."""
        from search.pruning import ChannelGroup

        if not groups:
            return {}
        if not first:
            return self.score(module, groups)
        if self._first_scores is None:
            channel_groups = [group for group in self._groups.values() if isinstance(group, ChannelGroup)]
            self._first_scores = self.score(module, channel_groups)
        return self._first_scores

    _first_scores: Mapping[str, NDArray[np.float64]] | None = None


def _name(target: str) -> str:
    """Returns the name of the decision about a group or block."""
    return f"pruning:{target}"


def _decision(target: str, choices: tuple[str, ...]) -> Decision:
    return Decision(_name(target), choices, "pruning", target=target, scope="module")


def _share(width: int, group: ChannelGroup) -> str:
    """Returns a width as the share of a group's channels, exact enough to recover it."""
    return f"{width / group.channels:.5g}"


def _matching_group(group: Group, groups: Mapping[str, Any]) -> Group | None:
    """Returns the group of a changed module that holds the rest of one of the task's own groups."""
    from search.pruning import BlockGroup

    if isinstance(group, BlockGroup):
        matches = [block for block in groups.values() if isinstance(block, BlockGroup) and block.module == group.module]
    else:
        layers = set(group.layers)
        matches = [part for part in groups.values() if not isinstance(part, BlockGroup) and layers >= set(part.layers)]
    return matches[0] if matches else None
