"""Graph optimisation as a decision: the transformer fusions that a skilled user turns on first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from pydantic import Field

from evaluators.devices.device import Device
from evaluators.graphs.file import size_of
from evaluators.graphs.fusion import fuse_transformer, regroup
from evaluators.graphs.model import load_model, save_model
from evaluators.processes.recent import Recent
from evaluators.processes.sandbox_child import report
from evaluators.runtimes import runtime_of
from hwprofiles import digest_of
from search.gains.runtimes import fastest_of_families, kept_runtimes
from search.gains.whole_model import WholeModel, silent
from search.space.candidate import Decision, Replacement
from search.subject import Draft, Subject
from search.techniques.base import Technique, TechniqueOptions

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

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        self._known: Recent[str, Draft | None] = Recent(lambda draft: 0 if draft is None else size_of(draft.model))
        """What fusing makes of a draft, by its digest."""

    def decisions(self, device: Device | None) -> list[Decision]:
        """None for a graph in which nothing can be fused."""
        fused = self._fused(self._plain) if "fused" in self.options.choices else None
        if fused is None:
            return []
        if device is not None and device.profile.digest == self.subject.profile.digest:
            self._ask_others(device, fused)
        return [Decision(DECISION, ("plain", "fused"), "graph")]

    def _ask_others(self, device: Device, fused: Draft) -> None:
        """Leaves the graph plain in the device's further runtimes, unless they are clearly faster by the fused one: its
        operators are ONNX Runtime's own."""
        kept = kept_runtimes(self.subject, device.profile)
        model = WholeModel(self.subject, device)
        for family, spec in fastest_of_families(kept, device.profile.runtime).items():
            report(f"asking the device about the fused graph in {spec}")
            answer = model.gain(["fused", VERSION], lambda: fused.model, spec)
            self.answers.append({"layer": "all", "precision": "fp32", "graph": "fused", "runtime": spec, **answer})
            if not silent(answer) and ("ci95" not in answer or answer["ci95"][0] <= kept[spec]):
                relatives = [one for one in kept if runtime_of(one).family == family]
                self.replacements += [Replacement(one, "graph", "fused", "plain") for one in relatives]

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`."""
        return draft if values.get(DECISION) != "fused" else self._fused(draft) or draft

    @property
    def _plain(self) -> Draft:
        return Draft(self.subject.model, self.subject.groups)

    def _fused(self, draft: Draft) -> Draft | None:
        """Fused once for all processes; a graph in which nothing can be fused is kept as it is, to say so."""

        def fuse() -> Draft | None:
            named = [draft.digest] if draft.digest else []
            path = self.subject.cache / "fused" / f"{digest_of([self.subject.digest, VERSION, *named])}.onnx"
            if not path.exists():
                report("looking for transformer blocks to fuse")
                path.parent.mkdir(parents=True, exist_ok=True)
                save_model(fuse_transformer(draft.model, self.subject.sample) or draft.model, path)
            fused = load_model(path)
            groups = None if fused.graph == draft.model.graph else regroup(draft.groups, draft.model, fused)
            return None if groups is None else replace(draft, model=fused, groups=groups)

        return self._known.get(draft.digest, fuse)
