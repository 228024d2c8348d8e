"""The conformance suite of techniques finds what it promises to find."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from evaluators.devices.device import Device
from evaluators.metrics import Metric
from search.space.candidate import Decision
from search.space.display import Fields, Item
from search.techniques import TECHNIQUES, Draft, ModuleTechnique, Offer, Subject, Technique
from search.testing.techniques import ModuleConformance, TechniqueConformance, create_task_subject, make_net


class Rounding(Technique):
    """Rounds weights to few digits."""

    metrics = {"rounded": Metric("Rounded tensors", better="min")}  # noqa: RUF012

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        return Offer((Decision("rounding", ("all", "2"), "rounding"),))

    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        if values.get("rounding", "all") == "all":
            return draft
        model = onnx.ModelProto()
        model.CopyFrom(draft.model)
        for tensor in model.graph.initializer:
            if tensor.data_type == onnx.TensorProto.FLOAT:
                weights = numpy_helper.to_array(tensor)
                tensor.CopyFrom(numpy_helper.from_array(weights.round(2), tensor.name))
        return replace(draft, model=model, notes={**draft.notes, "rounding": {"digits": ["2"]}})

    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        return {"rounded": len(draft.notes.get("rounding", ()))}

    def describe(self, notes: Mapping[str, Any]) -> list[Item]:
        return [Fields("Rounding", {"digits": notes["digits"][0]})]


class WritesSample(Rounding):
    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        self.subject.sample["x"] = np.zeros(1)  # type: ignore[index]
        return super().offer(device, earlier)


class WritesValuesOfSample(Rounding):
    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        for values in self.subject.sample.values():
            values += 1
        return super().offer(device, earlier)


class WritesData(Rounding):
    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        for values in self.subject.calibration_batches(4)[0].values():
            values *= 2
        return super().offer(device, earlier)


class WritesEarlierOffer(Rounding):
    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        earlier.runtime_speedups["other"] = {}  # type: ignore[index]
        return super().offer(device, earlier)


class WritesModel(Rounding):
    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        draft.model.producer_name = "rounding"
        return super().apply(draft, values)


class WritesValues(Rounding):
    def apply(self, draft: Draft, values: Mapping[str, str]) -> Draft:
        values["rounding"] = "all"  # type: ignore[index]
        return super().apply(draft, values)


class WritesNotes(Rounding):
    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        draft.notes["counted"] = True  # type: ignore[index]
        return super().compute_metrics(draft, values)


class WritesInsideNotes(Rounding):
    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        for notes in draft.notes.values():
            notes["digits"].append("3")
        return super().compute_metrics(draft, values)


class ClearsNotes(Rounding):
    def describe(self, notes: Mapping[str, Any]) -> list[Item]:
        items = super().describe(notes)
        notes.clear()  # type: ignore[attr-defined]
        return items


class WritesFormats(Rounding):
    def layer_formats(self, draft: Draft, values: Mapping[str, str]) -> dict[str, str]:
        draft.model.producer_name = "rounding"
        return {}


class WritesWhileAskedForCosts(Rounding):
    def layer_changes(self) -> list[Any]:
        self.subject.model.producer_name = "rounding"
        return []


class ReturnsMore(Rounding):
    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        return {**super().compute_metrics(draft, values), "digits": 2}


class ReturnsText(Rounding):
    def compute_metrics(self, draft: Draft, values: Mapping[str, str]) -> dict[str, Any]:
        return {"rounded": "few"}


class ReturnsWhatItDeclares(ReturnsMore):
    further_keys = frozenset({"digits"})


class ReturnsAMetricOfOurs(ReturnsMore):
    further_keys = frozenset({"digits", "size_bytes"})


class Halving(ModuleTechnique):
    """Halves the weights of the last layer; notes it."""

    unchanged = "whole"

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        return Offer((Decision("halves", ("whole", "half"), "rounding"),))

    def change(self, module: Any, values: Mapping[str, str], way: float) -> Any:
        list(module.parameters())[-1].data *= 0.5
        return module

    def finish(self, module: Any, values: Mapping[str, str]) -> dict[str, Any]:
        return {"halved": dict(values)}


class ChangeWrites(Halving):
    def change(self, module: Any, values: Mapping[str, str], way: float) -> Any:
        values.clear()  # type: ignore[attr-defined]
        return super().change(module, {}, way)


class FinishWrites(Halving):
    def finish(self, module: Any, values: Mapping[str, str]) -> dict[str, Any]:
        values["halves"] = "quarter"  # type: ignore[index]
        return {}


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    subject = create_task_subject(make_net(), tmp_path)
    feeds = {name: values.copy() for name, values in subject.calibration_batches(8)[0].items()}
    sample = {name: values.copy() for name, values in subject.sample.items()}  # other tests have the net's own
    return replace(subject, sample=sample, calibration_batches=lambda count: [feeds])


def check(kind: type[Technique], subject: Subject, test: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs one test of the suite on a technique."""
    monkeypatch.setitem(TECHNIQUES._shipped, "rounding", kind)
    suite = ModuleConformance() if issubclass(kind, ModuleTechnique) else TechniqueConformance()
    monkeypatch.setattr(suite, "kind", kind, raising=False)
    getattr(suite, test)(functools.partial(suite.make_technique, subject), subject)


UNTOUCHED = "test_no_call_writes_to_what_it_is_given"
METRICS = "test_its_metrics_are_figures_of_the_file"


@pytest.mark.parametrize("kind", [Rounding, Halving, ReturnsWhatItDeclares])
def test_a_sound_technique_passes(kind: type[Technique], subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    for test in (UNTOUCHED, METRICS, "test_what_it_notes_it_describes"):
        check(kind, subject, test, monkeypatch)


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (WritesValuesOfSample, "offer writes to subject.sample"),
        (WritesData, "offer writes to subject.calibration_batches"),
        (WritesEarlierOffer, "offer writes to earlier"),
        (WritesModel, "apply writes to subject.model, draft.model"),
        (WritesValues, "apply writes to values"),
        (WritesInsideNotes, "compute_metrics writes to draft.notes"),
        (ClearsNotes, "describe writes to notes"),
        (WritesFormats, "layer_formats writes to subject.model, draft.model"),
        (ChangeWrites, "change writes to values"),
        (FinishWrites, "finish writes to values"),
        (WritesWhileAskedForCosts, "layer_changes writes to subject.model"),
    ],
)
def test_a_technique_that_writes_is_found(
    kind: type[Technique], written: str, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError, match=written):
        check(kind, subject, UNTOUCHED, monkeypatch)


@pytest.mark.parametrize("kind", [WritesSample, WritesNotes])
def test_mappings_are_read_only(kind: type[Technique], subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TypeError, match="does not support item assignment"):
        check(kind, subject, UNTOUCHED, monkeypatch)


@pytest.mark.parametrize("kind", [ReturnsMore, ReturnsText, ReturnsAMetricOfOurs])
def test_a_technique_that_returns_what_it_does_not_declare_is_found(
    kind: type[Technique], subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        check(kind, subject, METRICS, monkeypatch)
