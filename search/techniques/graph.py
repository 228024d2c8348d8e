"""Graph optimisation as a decision: the transformer fusions that a skilled user turns on first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from pydantic import Field

from evaluators.child import report
from evaluators.device import Device
from evaluators.fusion import fuse_transformer, regroup
from evaluators.onnx_model import load_model, save_model
from hwprofiles import digest_of
from search.candidate import Decision
from search.techniques.base import Draft, Technique, TechniqueOptions

DECISION = "graph"
VERSION = 1
"""Part of a fused graph's name; raised when fusing changes."""


class GraphOptions(TechniqueOptions):
    """``choices`` of the graph: as it is, or with attention, layer normalisation and activation fused."""

    choices: tuple[Literal["plain", "fused"], ...] = Field(("plain", "fused"), min_length=1)


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
        """Fused once for all processes; a graph in which nothing can be fused is kept as it is, to say so."""
        model = self.subject.model
        path = self.subject.cache / "fused" / f"{digest_of([self.subject.digest, VERSION])}.onnx"
        if not path.exists():
            report("looking for transformer blocks to fuse")
            path.parent.mkdir(parents=True, exist_ok=True)
            save_model(fuse_transformer(model, self.subject.sample) or model, path)
        fused = load_model(path)
        if fused.graph == model.graph:
            return None
        return Draft(fused, regroup(self.subject.groups, model, fused))
