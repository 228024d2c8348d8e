"""Graph optimisation as a decision: the transformer fusions that a skilled user turns on first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from evaluators.device import Device
from evaluators.fusion import fuse_transformer, regroup
from search.candidate import Decision
from search.techniques.base import Draft, Technique, TechniqueOptions

DECISION = "graph"


class GraphOptions(TechniqueOptions):
    """``choices`` of the graph: as it is, or with attention, layer normalisation and activation fused."""

    choices: tuple[str, ...] = ("plain", "fused")


class GraphTechnique(Technique):
    """``plain`` leaves the graph to the runtime's own optimiser; ``fused`` rewrites transformer blocks first.

    Which is faster differs from device to device and from precision to precision, so both are tried.
    """

    Options = GraphOptions
    options: GraphOptions

    def decisions(self, device: Device | None) -> list[Decision]:
        """None for a graph in which nothing can be fused."""
        if "fused" not in self.options.choices or self._fused is None:
            return []
        return [Decision(DECISION, ("plain", "fused"), "graph")]

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`."""
        if values.get(DECISION) != "fused" or self._fused is None:
            return draft
        return self._fused

    @cached_property
    def _fused(self) -> Draft | None:
        model = self.subject.model
        fused = fuse_transformer(model, self.subject.sample)
        return None if fused is None else Draft(fused, regroup(self.subject.groups, model, fused))
