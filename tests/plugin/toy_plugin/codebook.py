"""A technique on the graph, with a metric of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from evaluators.devices.device import Device
from evaluators.metrics import Metric
from search.space.candidate import Decision
from search.space.display import Fields, Item
from search.techniques import Draft, Offer, Stage, Technique


class Codebook(Technique):
    """Weights of each matrix from few values."""

    by_default = False
    stage = Stage.GRAPH
    metrics = {"codebook_bytes": Metric("Size of the codebooks", "B", "min", footprint=True, cost=True)}  # noqa: RUF012

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        return Offer((Decision("codebook", ("none", "16", "4"), "codebook"),))

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        choice = values.get("codebook", "none")
        if choice == "none":
            return draft
        model = onnx.ModelProto()
        model.CopyFrom(draft.model)
        sizes = {}
        for tensor in model.graph.initializer:
            weights = numpy_helper.to_array(tensor)
            if weights.ndim == 2:
                book = np.quantile(weights, np.linspace(0, 1, int(choice))).astype(weights.dtype)
                nearest = np.abs(weights[..., None] - book).argmin(-1)
                tensor.CopyFrom(numpy_helper.from_array(book[nearest], tensor.name))
                sizes[tensor.name] = 4 * len(book)
        return replace(draft, model=model, notes={**draft.notes, "codebook": sizes})

    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        return {"codebook_bytes": sum(draft.notes.get("codebook", {}).values())}

    def describe(self, notes: Mapping[str, Any]) -> list[Item]:
        return [Fields("Codebooks", {name: f"{size} B" for name, size in notes.items()})]
