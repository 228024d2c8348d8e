"""Fusion of transformer blocks, as one decision for the graph."""

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
from search.bounds import MOST_ITEMS
from search.gains.runtimes import candidate_runtimes, fastest_of_families
from search.gains.whole_model import WholeModel, silent
from search.space.candidate import RUNTIME, Decision, Replacement
from search.space.offer import Offer
from search.subject import Draft, Subject
from search.techniques.base import Stage, Technique, TechniqueOptions

DECISION = "graph"
VERSION = 1
"""Part of a cached fused graph's name; raised when fusing changes."""


class GraphOptions(TechniqueOptions):
    """``choices`` of the graph: as it is, or with attention, layer normalisation and activation fused."""

    choices: tuple[Literal["plain", "fused"], ...] = Field(("plain", "fused"), min_length=1, max_length=MOST_ITEMS)


class GraphTechnique(Technique):
    """``plain`` leaves the graph to the runtime's own optimiser; ``fused`` rewrites transformer blocks first.

    Which is faster depends on the device and the precision, so both are tried.
    """

    stage = Stage.GRAPH
    Options = GraphOptions
    options: GraphOptions

    def __init__(self, subject: Subject, options: TechniqueOptions) -> None:
        super().__init__(subject, options)
        self._drafts: Recent[str, Draft | None] = Recent(lambda draft: 0 if draft is None else size_of(draft.model))
        """The fused draft by the draft's digest; None if nothing can be fused."""

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Returns one decision; none for a graph in which nothing can be fused."""
        fused = self._fuse(self._plain) if "fused" in self.options.choices else None
        if fused is None:
            return Offer()
        offer = Offer((Decision(DECISION, ("plain", "fused"), "graph"),))
        if device is not None and device.profile.digest == self.subject.profile.digest:
            return offer.merge(self._ask_runtimes(device, fused, earlier))
        return offer

    def _ask_runtimes(self, device: Device, fused: Draft, earlier: Offer) -> Offer:
        """Benchmarks the fused graph in the device's further runtimes; it stays plain where it is not clearly faster.

        The fused operators are ONNX Runtime's own.
        """
        speedups = candidate_runtimes(self.subject, device.profile, earlier)
        answers, replacements = [], []
        model = WholeModel(self.subject, device)
        for family, spec in fastest_of_families(speedups, device.profile.runtime).items():
            report(f"benchmarking the fused graph on {spec}")
            answer = model.measure_gain(["fused", VERSION], lambda: fused.model, spec)
            row = {"layer": "all", "precision": "fp32", "graph": "fused", "runtime": spec}
            answers.append({**row, "values": {"graph": "fused", RUNTIME: spec}, **answer})
            if not silent(answer) and ("ci95" not in answer or answer["ci95"][0] <= speedups[spec]):
                relatives = [name for name in speedups if runtime_of(name).family == family]
                replacements += [Replacement(name, "graph", "fused", "plain") for name in relatives]
        return Offer(answers=tuple(answers), replacements=tuple(replacements))

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        """See :meth:`Technique.apply`."""
        return draft if values.get(DECISION) != "fused" else self._fuse(draft) or draft

    @property
    def _plain(self) -> Draft:
        return Draft(self.subject.model, self.subject.groups)

    def _fuse(self, draft: Draft) -> Draft | None:
        """Returns the draft with fused blocks, cached for all processes; None if nothing can be fused.

        The file of a graph in which nothing can be fused is the plain graph.
        """

        def fuse() -> Draft | None:
            module = [draft.digest] if draft.digest else []
            path = self.subject.cache / "fused" / f"{digest_of([self.subject.digest, VERSION, *module])}.onnx"
            if not path.exists():
                report("looking for transformer blocks to fuse")
                path.parent.mkdir(parents=True, exist_ok=True)
                save_model(fuse_transformer(draft.model, self.subject.sample) or draft.model, path)
            fused = load_model(path)
            groups = None if fused.graph == draft.model.graph else regroup(draft.groups, draft.model, fused)
            return None if groups is None else replace(draft, model=fused, groups=groups)

        return self._drafts.get(draft.digest, fuse)
