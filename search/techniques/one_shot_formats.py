"""Number formats that each training finds itself: the formats of a model by one decision, the target of the search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evaluators.quantize.formats import EXECUTED
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed, InvalidInput
from search.fliqs.options import OneShotOptions
from search.fronts.metrics import ARCHITECTURE
from search.space.candidate import Decision
from search.subject import Subject
from search.tasks.base import Task
from search.techniques.module import first_samples
from search.training.recipe import Recipe

if TYPE_CHECKING:
    from torch import nn

    from search.fliqs.cost import Cost
    from search.fliqs.one_shot import OneShotSearch
    from search.supernets.elastic import Elastic
    from search.training.quantised import QuantisedLayers

FORMATS = "formats"
"""The technique; also the decision of a search, whose values are the targets."""

FLOAT = Precision.FP32.value


@dataclass(frozen=True)
class OneShotFormats:
    """The search for number formats within a training (:mod:`search.fliqs`), and for the sub-network if the task's
    module is a :class:`search.fliqs.Elastic`."""

    options: OneShotOptions
    choices: tuple[str, ...]
    """Formats of every layer."""
    subject: Subject
    groups_of: Callable[[nn.Module], dict[str, list[str]]]
    """Returns the layers of a module by layer group, for groups that can have a format."""

    @property
    def by_latency(self) -> bool:
        """Whether the cost is latency from the device's table of layers."""
        return self.options.cost == "latency"

    def decision(self) -> Decision:
        """Returns the model's decision: the target, as how many times cheaper than fp32.

        Raises :class:`InvalidInput` if the cost is latency, and that of a choice or of a sub-network is unknown.
        """
        simulated = [name for name in rounding_formats(self.choices) if not is_executable({"": name})]
        if self.by_latency and simulated:
            raise InvalidInput(
                f"space.formats.choices: no runtime computes in {', '.join(simulated)}, so its latency is unknown",
                "write: choices: [int8], or take bit_operations as the strategy's cost",
            )
        if self.by_latency and self._choices_of_network:
            raise InvalidInput(
                "strategy.options.cost: the device's table of layers knows no sub-networks of an elastic network",
                "take bit_operations or size as the cost",
            )
        return Decision(FORMATS, (FLOAT, *(f"{target:g}" for target in self.options.targets)), FORMATS)

    def constraint(
        self, module: nn.Module, layers: QuantisedLayers, values: Mapping[str, str], steps: int
    ) -> OneShotSearch:
        """Returns the search during a training of so many steps; ``layers`` are those of the ``module``."""
        from search.fliqs.elastic_cost import ElasticBitOperations, ElasticBytes
        from search.fliqs.held_out import HeldOutQuality
        from search.fliqs.one_shot import OneShotSearch

        recipe = self.subject.recipe or Recipe()
        choices = (FLOAT, *rounding_formats(self.choices)) if self.by_latency else self.choices
        held_out = HeldOutQuality(module, self._task.training(), recipe, self._task.module)
        elastic, cost = _elastic(module), self._cost
        if elastic is not None and isinstance(cost, ElasticBitOperations | ElasticBytes):
            cost = replace(cost, network=elastic)  # which then makes the structure that it computes and counts but once
        target = float(values[FORMATS])
        return OneShotSearch(
            layers, dict.fromkeys(layers.groups, choices), cost, target, held_out, steps, self.options,
            seed=recipe.seed, elastic=elastic,
        )  # fmt: skip

    def architecture(self, module: nn.Module) -> dict[str, Any]:
        """Returns the note about the sub-network of a trained module; empty if it is not elastic."""
        elastic = _elastic(module)
        return {} if elastic is None else {ARCHITECTURE: dict(elastic.chosen)}

    def extract(self, module: nn.Module) -> nn.Module:
        """Returns the sub-network of a trained elastic module; any other module as it is."""
        elastic = _elastic(module)
        return module if elastic is None else elastic.extract(elastic.chosen)

    def depends(self) -> list[Any]:
        """Returns what a training depends on, besides its target and the choices of formats."""
        table, choices = self.subject.layer_times, self._choices_of_network
        times = [table.to_dict()] if self.by_latency and table is not None else []
        return [self.options.model_dump(mode="json", exclude={"targets"}), *times, *([choices] if choices else [])]

    @property
    def _task(self) -> Task:
        if self.subject.task is None:
            raise ValueError("a search for formats needs a task with a torch module")
        return self.subject.task

    @cached_property
    def _choices_of_network(self) -> dict[str, list[str]]:
        """The choices of an elastic network, by decision."""
        elastic = _elastic(self._task.module(trained=False))
        return {} if elastic is None else {name: list(values) for name, values in elastic.choices.items()}

    @cached_property
    def _cost(self) -> Cost:
        from search.fliqs.cost import LatencyCost, bit_operations_cost, size_cost
        from search.fliqs.elastic_cost import ElasticBitOperations, ElasticBytes

        module = self._task.module(trained=False)
        elastic, groups = _elastic(module), self.groups_of(module)
        rounding, table = rounding_formats(self.choices), self.subject.layer_times
        if self.options.cost == "bit_operations":
            if elastic is None:
                return bit_operations_cost(self.subject.groups, rounding)
            return ElasticBitOperations.of_groups(elastic, groups, self.subject.groups, first_samples(self._task, 1))
        if self.options.cost == "size":
            if elastic is not None:
                return ElasticBytes(elastic, groups)
            layers = tuple(group for group in self.subject.groups if group.name in groups)
            return size_cost(layers, rounding, sum(parameter.numel() for parameter in module.parameters()))
        if table is None:
            raise BuildFailed("the device has no table of this model's layers", "take bit_operations as the cost")
        return LatencyCost(table)


def _elastic(module: nn.Module) -> Elastic | None:
    from search.supernets.elastic import Elastic

    return module if isinstance(module, Elastic) else None


def rounding_formats(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the choices other than fp32."""
    return tuple(name for name in choices if name != FLOAT)


def is_executable(formats: Mapping[str, str]) -> bool:
    """Returns whether runtimes compute in all of these formats, instead of simulating them."""
    return all(name in (FLOAT, *EXECUTED) for name in formats.values())
