"""What techniques that change the module promise beyond all others, and a subject to try them on."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import trainable
from onnx import numpy_helper
from technique_conformance import TechniqueConformance

from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import LayerGroup, layer_groups, under_first_names
from evaluators.graphs.model import load_model
from hwprofiles import find_device
from hwprofiles.errors import InvalidInput
from search.options import validate_options
from search.tasks import Task
from search.techniques import TECHNIQUES, Draft, ModuleTechnique, PrecisionTechnique, Subject, Technique
from search.training.recipe import Recipe
from search.trials.module_variants import ModuleVariants

RECIPE = Recipe(steps=4, batch=32, learning_rate=1e-3, losses={"task": {}}, patience=None, threads=1)
SHAPES = {"image": [1, 1, 8, 8]}


@functools.cache
def task() -> Task:
    """The same for all tests of a process: its module is trained once."""
    return trainable.make_task()


def subject_in(folder: Path) -> Subject:
    """The trained net as candidates start from it; what techniques store goes into ``folder``."""
    task().export(folder / "model.onnx")
    model = clean_graph(load_model(folder / "model.onnx"))
    image = task().inputs("calibration")["image"]
    return Subject(
        model=model, groups=groups_of(model), digest="net", sample={"image": task().inputs("validation")["image"][:1]},
        calibration_batches=lambda count: [{"image": image[:count]}], cache=folder,
        profile=find_device("local-cpu"), wanted=frozenset({"size_bytes"}), task=task(), recipe=RECIPE,
    )  # fmt: skip


def groups_of(model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
    return layer_groups(model, SHAPES)


def structures(technique: Technique, recipe: Recipe | None = RECIPE, folder: str = "structures") -> ModuleVariants:
    """What makes the modules that a technique decides about."""
    assert isinstance(technique, ModuleTechnique)
    name = next(name for name, kind in TECHNIQUES.items() if kind is type(technique))
    shapes = {key: value.shape for key, value in technique.subject.sample.items()}
    return ModuleVariants(
        technique.task, "net", {name: technique}, recipe,
        lambda model: under_first_names(layer_groups(model, shapes), technique.subject.groups),
        technique.subject.cache / folder,
        technique_of,
    )  # fmt: skip


def technique_of(decision: str) -> str:
    """The technique of a decision by the names that ours have."""
    return decision.partition(":")[0]


def weights(model: onnx.ModelProto) -> dict[str, Any]:
    """A graph's initializers by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


class ModuleConformance(TechniqueConformance):
    """Also that what is built from the changed module keeps the layers' names, so that others find them."""

    kind: type[ModuleTechnique]

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return subject_in(tmp_path)

    def built(self, technique: Technique, draft: Draft, values: Mapping[str, str]) -> Draft:
        self.times += 1
        # A folder of its own each time, so that equal bytes are not one file.
        return technique.apply(structures(technique, folder=str(self.times)).draft(values) or draft, values)

    times = 0

    def repeated(self, technique: Technique) -> list[dict[str, str]]:
        """Of the decisions' last values alone the first one's does for all: each is a training."""
        decisions = self.decisions(technique)
        return self.assignments(technique)[: 1 + len({value for one in decisions for value in one.choices})]

    def test_it_is_used_only_where_a_job_names_it(self) -> None:
        assert not self.kind.by_default

    def test_a_task_without_a_module_is_refused(self, subject: Subject) -> None:
        options = validate_options(self.kind.Options, self.options, "space")
        for none in (None, NoModule()):
            with pytest.raises(InvalidInput, match="has none") as refused:
                self.kind(replace(subject, task=none), options)
            assert "TorchTask" in refused.value.hint

    def test_every_decision_s_first_choice_changes_nothing(self, new: Callable[..., Technique]) -> None:
        technique = new()
        decisions = self.decisions(technique)
        assert {decision.choices[0] for decision in decisions} == {self.kind.unchanged}
        assert all(TECHNIQUES[decision.technique] is self.kind for decision in decisions)

    def test_layers_keep_their_names(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        values = self.assignments(technique)[1]
        draft = structures(technique).draft(values)
        assert draft is not None
        assert {group.name for group in draft.groups} <= {group.name for group in subject.groups}
        assert draft.digest

    def test_other_techniques_go_on_from_it(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        draft = structures(technique).draft(self.assignments(technique)[1])
        assert draft is not None
        precision = PrecisionTechnique(subject, PrecisionTechnique.Options())
        decisions = {f"precision:{group.name}": "int8" for group in subject.groups}
        quantised = precision.apply(draft, decisions)
        assert quantised.digest == draft.digest
        assert any(node.op_type == "QuantizeLinear" for node in quantised.model.graph.node)
        # Ranges of the whole model must never serve a changed one: the graphs look alike.
        plain = precision.apply(Draft(subject.model, subject.groups), decisions)
        scales = [{n: v for n, v in weights(m).items() if "scale" in n} for m in (quantised.model, plain.model)]
        assert scales[0].keys() & scales[1].keys()
        assert any(not np.array_equal(scales[0][n], scales[1][n]) for n in scales[0].keys() & scales[1].keys())


class NoModule(Task):
    digest = ""

    def export(self, path: Path, *, trained: bool = True, module: Any = None) -> None:
        raise NotImplementedError

    def inputs(self, split: Any) -> dict[str, Any]:
        raise NotImplementedError
