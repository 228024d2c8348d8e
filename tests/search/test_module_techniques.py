"""Techniques that change the module: what they promise beyond all others, and pruning and sparsity themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import trainable
from fake_device import FakeDevice
from onnx import numpy_helper
from technique_conformance import TechniqueConformance

from evaluators.capability import Capability
from evaluators.graph_cleanup import prepared
from evaluators.layers import LayerGroup, layer_groups, under_first_names
from evaluators.onnx_model import load_model, serialized
from evaluators.sparse_size import sparsity
from hwprofiles import find_device
from hwprofiles.errors import InvalidInput
from search.job import parse_job, validate_options
from search.layer_tables import structure_of
from search.scales import LayerScale, levels, narrowed, work_left
from search.structures import Structures
from search.tasks import Task
from search.techniques import Draft, ModuleTechnique, PrecisionTechnique, Subject, Technique, is_of_module, trains
from search.techniques.pruning import PruningTechnique
from search.techniques.sparsity import SparsityTechnique
from search.training.recipe import Recipe

RECIPE = Recipe(steps=4, batch=32, learning_rate=1e-3, losses={"task": {}}, patience=None)
SHAPES = {"image": [1, 1, 8, 8]}


@pytest.fixture(scope="module")
def task() -> Task:
    return trainable.make_task()


@pytest.fixture
def subject(task: Task, tmp_path: Path) -> Subject:
    task.export(tmp_path / "model.onnx")
    model = prepared(load_model(tmp_path / "model.onnx"))
    return Subject(
        model=model, groups=groups_of(model), digest="net", sample={"image": task.inputs("validation")["image"][:1]},
        calibration_batches=lambda count: [{"image": task.inputs("calibration")["image"][:count]}], cache=tmp_path,
        profile=find_device("local-cpu"), wanted=frozenset({"size_bytes"}), task=task,
    )  # fmt: skip


def groups_of(model: onnx.ModelProto) -> tuple[LayerGroup, ...]:
    return layer_groups(model, SHAPES)


def structures(technique: Technique, recipe: Recipe | None = RECIPE, folder: str = "structures") -> Structures:
    assert isinstance(technique, ModuleTechnique)
    name = "pruning" if isinstance(technique, PruningTechnique) else "sparsity"
    return Structures(
        technique.task, "net", {name: technique}, recipe,
        lambda model: under_first_names(groups_of(model), technique.subject.groups), technique.subject.cache / folder,
    )  # fmt: skip


def weights(model: onnx.ModelProto) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


class ModuleConformance(TechniqueConformance):
    """Also that what is built from the changed module keeps the layers' names, so that others find them."""

    kind: type[ModuleTechnique]

    @pytest.fixture
    def subject(self, subject: Subject) -> Subject:
        return subject

    def built(self, technique: Technique, draft: Draft, values: Mapping[str, str]) -> Draft:
        self.times += 1
        # A folder of its own each time, so that equal bytes are not one file.
        return technique.apply(structures(technique, folder=str(self.times)).draft(values) or draft, values)

    times = 0

    def test_it_is_used_only_where_a_job_names_it(self) -> None:
        assert not self.kind.by_default

    def test_a_task_without_a_module_is_refused(self, subject: Subject) -> None:
        options = validate_options(self.kind.Options, self.options, "space")
        for none in (None, NoModule()):
            with pytest.raises(InvalidInput, match="gives none") as refused:
                self.kind(replace(subject, task=none), options)
            assert "TorchTask" in refused.value.hint

    def test_every_decision_s_first_choice_changes_nothing(self, new: Callable[..., Technique]) -> None:
        technique = new()
        assert {decision.choices[0] for decision in technique.decisions(None)} == {self.kind.unchanged}
        assert all(is_of_module(decision.name) for decision in technique.decisions(None))

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


class TestPruning(ModuleConformance):
    kind = PruningTechnique
    options = {"ratios": [0.5], "round": 2, "criterion": "l1"}  # noqa: RUF012 - never written to

    def test_one_decision_a_group_and_block(self, new: Callable[..., Technique]) -> None:
        found = {decision.name: decision.choices for decision in new().decisions(None)}
        assert found == {
            "pruning:stem+blocks/blocks.0/conv2": ("1", "0.5"),
            "pruning:blocks/blocks.0/conv1": ("1", "0.5"),
            "pruning:blocks/blocks.1/conv1": ("1", "0.5"),
            "pruning:blocks/blocks.1/conv2+shortcut/shortcut.0": ("1", "0.5"),
            "pruning:blocks/blocks.2/conv1": ("1", "0.5"),
            "pruning:blocks/blocks.2/conv2+shortcut/shortcut.0": ("1", "0.5"),
            "pruning:blocks/blocks.0": ("1", "0"),
        }

    def test_widths_are_rounded_up_and_named_by_what_stays(self, new: Callable[..., Technique]) -> None:
        found = {d.name: d.choices for d in new(ratios=[0.6, 0.3, 0.1], round=4, blocks=False).decisions(None)}
        assert found["pruning:stem+blocks/blocks.0/conv2"] == ("1", "0.5")  # of 8 channels
        assert found["pruning:blocks/blocks.2/conv1"] == ("1", "0.625", "0.375", "0.125")  # of 32

    def test_a_probed_device_says_how_widths_are_rounded(
        self, subject: Subject, new: Callable[..., Technique], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("search.pruning.channel_step", lambda known, group, precisions: 16)
        known = {subject.profile.digest: Capability.__new__(Capability)}
        options = validate_options(PruningTechnique.Options, {"ratios": [0.25]}, "space")
        found = {
            d.name: d.choices for d in PruningTechnique(replace(subject, capabilities=known), options).decisions(None)
        }
        assert found["pruning:blocks/blocks.2/conv1"] == ("1", "0.5")
        unknown = {d.name: d.choices for d in PruningTechnique(subject, options).decisions(None)}
        assert unknown["pruning:blocks/blocks.2/conv1"] == ("1", "0.25")  # multiples of 8

    def test_layers_are_as_narrow_as_decided(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        first = {d.name: d.choices[0] for d in technique.decisions(None)}
        draft = structures(technique).draft(first | {"pruning:blocks/blocks.1/conv1": "0.5"})
        assert draft is not None
        shapes = {name: values.shape for name, values in weights(draft.model).items() if values.ndim == 4}
        before = {name: values.shape for name, values in weights(subject.model).items() if values.ndim == 4}
        changed = sorted((before[name], shape) for name, shape in shapes.items() if shape != before[name])
        assert changed == [((16, 8, 3, 3), (8, 8, 3, 3)), ((16, 16, 3, 3), (16, 8, 3, 3))]

    def test_rounds_look_again_at_what_is_left(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new(schedule="iterative", rounds=2, ratios=[0.25])
        assert isinstance(technique, PruningTechnique)
        name = "pruning:blocks/blocks.2/conv1"
        values = {d.name: d.choices[0] for d in technique.decisions(None)} | {name: "0.25"}
        half = technique.change(technique.module(), values, 0.5)
        assert half.get_submodule("blocks.2.conv1").out_channels == 16
        assert technique.change(half, values, 1.0).get_submodule("blocks.2.conv1").out_channels == 8
        draft = structures(technique).draft(values)
        assert draft is not None
        assert not list((subject.cache / "structures").glob("*.checkpoint"))

    def test_gradual_takes_most_at_first(self, new: Callable[..., Technique]) -> None:
        technique = new(schedule="gradual", rounds=4, ratios=[0.25])
        assert isinstance(technique, PruningTechnique)
        # 24 of 32 channels go: 24 * (1 - (3 / 4)^3) of them in the first round
        name = "pruning:blocks/blocks.2/conv1"
        values = {d.name: d.choices[0] for d in technique.decisions(None)} | {name: "0.25"}
        changed = technique.change(technique.module(), values, 0.25)
        assert changed.get_submodule("blocks.2.conv1").out_channels == 18

    def test_unknown_names_are_refused(self, new: Callable[..., Technique]) -> None:
        with pytest.raises(InvalidInput, match=r"criterion.*'taylr'.*did you mean 'taylor'"):
            new(criterion="taylr")
        with pytest.raises(InvalidInput, match=r"0\.5 keeps half"):
            new(ratios=[1.5])

    def test_modelled_layers_shrink_with_their_groups(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        assert isinstance(technique, PruningTechnique)
        scales = [LayerScale.from_dict(json.loads(json.dumps(asdict(one)))) for one in technique.scales()]
        assert scales == technique.scales()
        for values in self.assignments(technique):
            draft = structures(technique, None).draft(values)
            if draft is None:
                assert narrowed(subject.groups, scales, values) == subject.groups
                continue
            built = {group.name: group for group in draft.groups}
            for group in narrowed(subject.groups, scales, values):
                real = built.get(group.name)
                assert (group.macs, group.weights) == ((real.macs, real.weights) if real else (0, 0)), group.name

    def test_what_no_candidate_was_trained_for_is_asked_of_equally_narrow_ones(
        self, new: Callable[..., Technique]
    ) -> None:
        technique = new(ratios=[0.75, 0.5, 0.25])
        assert isinstance(technique, PruningTechnique)
        choices = {d.name: d.choices for d in technique.decisions(None)}
        found = levels(technique.scales(), choices)
        assert [set(level.values()) for level in found] == [{"0.75"}, {"0.5"}, {"0.25"}]
        assert not any(name.rpartition("/")[2] == "blocks.0" for level in found for name in level)
        left = work_left(technique.scales(), found[1])
        assert left["/stem/Conv"] == 0.5  # one input channel, which nobody prunes
        assert left["/blocks/blocks.1/conv2/Conv"] == 0.25
        assert structure_of({"graph": "plain", "pruning:a": "0.5", "precision:a": "int8"}) == {"graph": "plain"}


class TestSparsity(ModuleConformance):
    kind = SparsityTechnique
    options = {"choices": ["0.5", "2:4", 0.9]}  # noqa: RUF012 - never written to

    def test_one_decision_for_the_model(self, new: Callable[..., Technique]) -> None:
        (decision,) = new().decisions(None)
        assert (decision.name, decision.choices) == ("sparsity", ("dense", "0.5", "2:4", "0.9"))

    @pytest.mark.parametrize("schedule", ["one_shot", "iterative", "gradual"])
    def test_weights_are_as_sparse_as_decided(self, new: Callable[..., Technique], schedule: str) -> None:
        draft = structures(new(schedule=schedule)).draft({"sparsity": "0.9"})
        assert draft is not None
        assert sparsity(draft.model) == pytest.approx(0.9, abs=0.01)

    def test_without_training_they_go_at_once(self, new: Callable[..., Technique]) -> None:
        draft = structures(new(), None).draft({"sparsity": "2:4"})
        assert draft is not None
        kernels = [values for values in weights(draft.model).values() if values.ndim == 4 and values.shape[1] % 4 == 0]
        assert kernels
        for kernel in kernels:
            groups = np.moveaxis(kernel, 1, -1).reshape(-1, 4)
            assert ((groups == 0).sum(1) >= 2).all()

    def test_it_is_offered_only_where_something_is_gained(self, subject: Subject) -> None:
        options = validate_options(SparsityTechnique.Options, {"choices": ["0.5"]}, "space")
        fast = replace(subject, wanted=frozenset())
        assert SparsityTechnique(fast, options).decisions(None) == []
        for ratio, offered in ((1.0, False), (1.3, True)):
            technique = SparsityTechnique(replace(fast, cache=subject.cache / str(ratio)), options)
            assert bool(technique.decisions(FakeDevice(lambda path, ratio=ratio: ratio))) is offered
            assert technique.answers[0]["sparsity"] == "0.5"

    @pytest.mark.parametrize("choice", ["0", "1", "4:2", "some", "-1"])
    def test_what_is_no_sparsity_is_refused(self, new: Callable[..., Technique], choice: str) -> None:
        with pytest.raises(InvalidInput, match="is no sparsity"):
            new(choices=[choice])


class TestStructures:
    def test_one_file_for_all_processes(self, subject: Subject) -> None:
        options = validate_options(PruningTechnique.Options, {"ratios": [0.5], "criterion": "l1"}, "space")
        first, second = (structures(PruningTechnique(subject, options)) for _ in range(2))
        values = {"pruning:blocks/blocks.1/conv1": "0.5", "precision:stem": "int8", "runtime": "onnxruntime"}
        one = first.draft(values)
        (file,) = (subject.cache / "structures").glob("*.onnx")
        changed = file.stat().st_mtime_ns
        other = second.draft(values | {"precision:stem": "fp32"})
        assert one is not None
        assert other is not None
        assert serialized(one.model) == serialized(other.model)
        assert file.stat().st_mtime_ns == changed
        assert one.digest == other.digest == file.stem

    def test_another_recipe_is_another_structure(self, subject: Subject) -> None:
        technique = SparsityTechnique(subject, SparsityTechnique.Options())
        drafts = [structures(technique, recipe).draft({"sparsity": "0.5"}) for recipe in (None, RECIPE)]
        assert len({draft.digest for draft in drafts if draft}) == 2

    def test_an_interrupted_training_goes_on(self, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        technique = SparsityTechnique(subject, SparsityTechnique.Options())
        recipe = RECIPE.model_copy(update={"evaluate_every": 1})
        whole = structures(technique, recipe, "whole").draft({"sparsity": "0.5"})
        said: list[str] = []

        def interrupt(text: str) -> None:
            said.append(text)
            if text.startswith("training: step 2"):
                raise KeyboardInterrupt

        monkeypatch.setattr("search.structures.report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            structures(technique, recipe).draft({"sparsity": "0.5"})
        monkeypatch.setattr("search.structures.report", said.append)
        resumed = structures(technique, recipe).draft({"sparsity": "0.5"})
        assert whole is not None
        assert resumed is not None
        assert serialized(resumed.model) == serialized(whole.model)
        assert not list((subject.cache / "structures").glob("*checkpoint*"))


class TestJob:
    def test_losses_are_checked_before_anything_runs(self) -> None:
        job = {"task": {"name": "digits"}, "space": {"pruning": {}}, "recovery": {"losses": {"kll": {}}}}
        with pytest.raises(InvalidInput, match=r"recovery\.losses: unknown loss 'kll'") as refused:
            parse_job(job, folder=Path())
        assert "kl" in refused.value.hint

    def test_only_jobs_that_name_one_train(self) -> None:
        assert trains(["pruning", "precision"])
        assert not trains(["graph", "precision"])
