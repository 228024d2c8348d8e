"""Students: one decision for each unit of the module that can be removed, and one for each that can be narrower."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from evaluators.devices.device import Device
from search.bounds import MOST_ITEMS
from search.space.candidate import Decision
from search.space.display import Fields, Item
from search.space.encoding import REMOVAL, UnitEncoding
from search.space.layer_changes import KEPT, LEFT_OUT, LayerChange, ValueShares
from search.space.offer import Offer
from search.techniques.channels import ChannelOptions, ChannelTechnique

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from search.students import Unit

Factor = Annotated[float, Field(json_schema_extra={"exclusiveMinimum": 0, "maximum": 1})]


class StudentOptions(ChannelOptions):
    """The section ``student`` of a job's space."""

    factors: tuple[Factor, ...] = Field((0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1), max_length=MOST_ITEMS)
    """Shares of its channels that a unit may keep, apart from all."""
    remove: bool = True
    """Whether layers and blocks can be left out."""

    @field_validator("factors")
    @classmethod
    def _check_factors(cls, factors: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < factor <= 1 for factor in factors):
            raise ValueError("factors lie above 0 and up to 1: 0.5 keeps half of the channels")
        return tuple(sorted({factor for factor in factors if factor < 1}, reverse=True))


class StudentTechnique(ChannelTechnique):
    """Makes the module a student with fewer layers, blocks and channels, and the module's weights
    (:mod:`search.students`).

    All units have the same factors, also where two of them give the same width: the first of these is trained. So has
    the width of a removed unit no effect.
    """

    Options = StudentOptions
    options: StudentOptions

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Returns the decisions of each unit in the module's order: whether it stays, and how wide."""
        return Offer(tuple(decision for unit in self._units.values() for decision in self._decisions(unit)))

    def encodings(self) -> Mapping[str, UnitEncoding]:
        """See :meth:`Technique.encodings`."""
        return {
            decision.target: unit.encoding
            for unit in self._units.values()
            for decision in self._decisions(unit)
            if decision.target is not None
        }

    def effective(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """See :meth:`ModuleTechnique.effective`."""
        from search.students import find_gone, find_outermost

        units, removed = tuple(self._units.values()), self._removed(values)
        outer, nothing_left = find_outermost(units, removed), find_gone(units, removed)
        effective = dict(values)
        for unit in units:
            if unit.name in removed and unit.name not in outer:
                effective[_name(unit.name + REMOVAL)] = KEPT
            name = _name(unit.name)
            if name in values:
                first = next(v for v, width in self._widths[unit.name].items() if width == self._width(unit, values))
                effective[name] = KEPT if unit.name in nothing_left else first
        return effective

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        """See :meth:`ModuleTechnique.change`."""
        from search.students import build_student

        if _shapes(module) != _shapes(self.structure):  # a further round: the module is the student
            return module
        values = self.effective(values)
        widths = {
            unit.name: width
            for unit in self._units.values()
            if unit.group is not None and (width := self._width(unit, values)) < unit.group.channels
        }
        scores = self._scores if widths else {}
        units = tuple(self._units.values())
        return build_student(module, units, self._removed(values), widths, scores, self.example(2))

    def finish(self, module: nn.Module, values: Mapping[str, str]) -> dict[str, Any]:
        """Notes what became of each layer of the teacher."""
        from search.students import compare_layers

        return {"layers": compare_layers(self.structure, module)}

    def describe(self, notes: Mapping[str, Any]) -> list[Item]:
        """Returns the student beside its teacher, layer by layer."""
        return [Fields("Student beside its teacher", notes["layers"], "Outputs and parameters of each layer.")]

    def layer_changes(self) -> list[LayerChange]:
        """See :meth:`Technique.layer_changes`: the layers that narrow or go, and the shares that factors stand for."""
        from search.pruning import BlockGroup, Group
        from search.students.reach import student_widths

        groups: dict[str, Group] = {}
        plain_layers = {}
        shares = []
        for unit in self._units.values():
            name, removal = _name(unit.name), _name(unit.name + REMOVAL)
            if isinstance(unit.removal, BlockGroup):
                groups[removal] = unit.removal
            elif unit.removal is not None:
                plain_layers[removal] = unit.removal
            if unit.group is not None:
                groups[name] = unit.group
                widths = self._widths[unit.name]
                shares.append(ValueShares(name, {v: width / unit.group.channels for v, width in widths.items()}))
        layers = student_widths(
            self.subject.model, self.subject.groups, self.structure, groups, plain_layers, self.shapes
        )
        return [*layers, *shares]

    @classmethod
    def describe_value(cls, decision: Decision, value: str) -> str:
        """See :meth:`Technique.describe_value`."""
        if value == KEPT:
            return "kept"
        return "left out" if value == LEFT_OUT else f"shrunk to {100 * float(value):.3g} %"

    def _decisions(self, unit: Unit) -> list[Decision]:
        decisions = []
        if unit.removal is not None and self.options.remove:
            decisions.append(_decision(unit.name + REMOVAL, (KEPT, LEFT_OUT)))
        if len({*self._widths.get(unit.name, {}).values()}) > 1:
            decisions.append(_decision(unit.name, tuple(self._widths[unit.name])))
        return decisions

    def _removed(self, values: Mapping[str, str]) -> frozenset[str]:
        """Names the units that these values leave out."""
        return frozenset(name for name in self._units if values.get(_name(name + REMOVAL), KEPT) == LEFT_OUT)

    def _width(self, unit: Unit, values: Mapping[str, str]) -> int:
        return self._widths[unit.name][values.get(_name(unit.name), KEPT)]

    @cached_property
    def _units(self) -> Mapping[str, Unit]:
        """The module's units by name, in the order of their calls."""
        from search.students import find_units

        return {unit.name: unit for unit in find_units(self.structure, self.example(2))}

    @cached_property
    def _widths(self) -> Mapping[str, Mapping[str, int]]:
        """By unit whose channels can shrink, the width that each value of its decision gives, widest first."""
        from search.pruning import width_choices

        widths = {}
        for unit in self._units.values():
            if unit.group is not None:
                step = self.step(None, unit.group)
                factors = {
                    f"{factor:g}": width_choices(unit.group, [factor], step)[-1] for factor in self.options.factors
                }
                widths[unit.name] = {KEPT: unit.group.channels, **factors}
        return widths

    @cached_property
    def _scores(self) -> Mapping[str, NDArray[np.float64]]:
        """Importance of the channels of the task's own module."""
        return self.score(self.structure, [unit.group for unit in self._units.values() if unit.group is not None])


def _name(target: str) -> str:
    return f"student:{target}"


def _decision(target: str, choices: tuple[str, ...]) -> Decision:
    return Decision(_name(target), choices, "student", target=target, scope="module")


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    from search.pruning.attention import with_plain_attention

    return {name: tuple(tensor.shape) for name, tensor in with_plain_attention(module).state_dict().items()}
