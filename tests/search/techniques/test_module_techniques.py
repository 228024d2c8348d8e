"""Techniques that change the module: what they promise beyond all others, and pruning and sparsity themselves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.graphs.bit_operations import bit_operations
from evaluators.graphs.changed_layers import under_first_names
from evaluators.graphs.layer_cost import LayerCost
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import save_model, serialize
from evaluators.graphs.reference_run import run_once
from evaluators.graphs.sparse_size import sparsity
from evaluators.probing.capability import Capability
from evaluators.probing.layer_table import LayerTable, Unit, UnitTime
from evaluators.runtimes import OnnxRuntime
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import Precision
from hwprofiles.errors import BuildFailed, InvalidInput, Unreachable
from search.fliqs.held_out import HeldOutQuality
from search.job.spec import parse_job
from search.options import validate_options
from search.prediction.tables import structural_names
from search.space.candidate import Decision, Space
from search.space.layer_changes import LayerWidth, costs_left, read_change, uniform_levels, work_left
from search.tasks import Split, TorchTask
from search.techniques import Offer, Subject, Technique, trains
from search.techniques.pruning import PruningTechnique
from search.techniques.sparsity import SparsityTechnique
from search.techniques.trained_formats import FormatsTechnique
from search.techniques.training import TrainingTechnique
from search.testing.techniques import (
    RECIPE,
    ModuleConformance,
    create_task_subject,
    create_variants,
    make_net,
    read_weights,
)
from search.training.asha import Halving
from search.trials.module_variants import ModuleVariants

SHAPES = {"image": [1, 1, 8, 8]}


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    return create_task_subject(make_net(), tmp_path)


class TestPruning(ModuleConformance):
    kind = PruningTechnique
    options = {"ratios": [0.5], "round": 2, "criterion": "l1"}  # noqa: RUF012 - never written to

    def test_one_decision_a_group_and_block(self, new: Callable[..., Technique]) -> None:
        found = {decision.name: decision.choices for decision in self.decisions(new())}
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
        technique = new(ratios=[0.6, 0.3, 0.1], round=4, blocks=False)
        found = {d.name: d.choices for d in self.decisions(technique)}
        assert found["pruning:stem+blocks/blocks.0/conv2"] == ("1", "0.5")  # of 8 channels
        assert found["pruning:blocks/blocks.2/conv1"] == ("1", "0.625", "0.375", "0.125")  # of 32

    def test_a_probed_device_says_how_widths_are_rounded(
        self, subject: Subject, new: Callable[..., Technique], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("search.pruning.channel_step", lambda known, group, precisions: 16)
        known = {subject.profile.digest: Capability.__new__(Capability)}
        options = validate_options(PruningTechnique.Options, {"ratios": [0.25]}, "space")
        found = {
            d.name: d.choices for d in self.decisions(PruningTechnique(replace(subject, capabilities=known), options))
        }
        assert found["pruning:blocks/blocks.2/conv1"] == ("1", "0.5")
        unknown = {d.name: d.choices for d in self.decisions(PruningTechnique(subject, options))}
        assert unknown["pruning:blocks/blocks.2/conv1"] == ("1", "0.25")  # multiples of 8

    def test_layers_are_as_narrow_as_decided(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        first = {d.name: d.choices[0] for d in self.decisions(technique)}
        draft = create_variants(technique).draft(first | {"pruning:blocks/blocks.1/conv1": "0.5"})
        assert draft is not None
        shapes = {name: values.shape for name, values in read_weights(draft.model).items() if values.ndim == 4}
        before = {name: values.shape for name, values in read_weights(subject.model).items() if values.ndim == 4}
        changed = sorted((before[name], shape) for name, shape in shapes.items() if shape != before[name])
        assert changed == [((16, 8, 3, 3), (8, 8, 3, 3)), ((16, 16, 3, 3), (16, 8, 3, 3))]

    def test_rounds_look_again_at_what_is_left(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new(schedule="iterative", rounds=2, ratios=[0.25])
        assert isinstance(technique, PruningTechnique)
        name = "pruning:blocks/blocks.2/conv1"
        values = {d.name: d.choices[0] for d in self.decisions(technique)} | {name: "0.25"}
        half = technique.change(technique.module(), values, 0.5)
        assert half.get_submodule("blocks.2.conv1").out_channels == 16
        assert technique.change(half, values, 1.0).get_submodule("blocks.2.conv1").out_channels == 8
        draft = create_variants(technique).draft(values)
        assert draft is not None
        assert not list((subject.cache / "structures").glob("*.checkpoint"))

    def test_gradual_takes_most_at_first(self, new: Callable[..., Technique]) -> None:
        technique = new(schedule="gradual", rounds=4, ratios=[0.25])
        assert isinstance(technique, PruningTechnique)
        # 24 of 32 channels go: 24 * (1 - (3 / 4)^3) of them in the first round
        name = "pruning:blocks/blocks.2/conv1"
        values = {d.name: d.choices[0] for d in self.decisions(technique)} | {name: "0.25"}
        changed = technique.change(technique.module(), values, 0.25)
        assert changed.get_submodule("blocks.2.conv1").out_channels == 18

    def test_unknown_names_are_refused(self, new: Callable[..., Technique]) -> None:
        with pytest.raises(InvalidInput, match=r"criterion.*'taylr'") as caught:
            new(criterion="taylr")
        assert caught.value.hint == "did you mean 'taylor'?"
        with pytest.raises(InvalidInput, match=r"0\.5 keeps half"):
            new(ratios=[1.5])

    def test_modelled_layers_shrink_with_their_groups(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        assert isinstance(technique, PruningTechnique)
        changes = [read_change(json.loads(json.dumps(change.to_dict()))) for change in technique.layer_changes()]
        assert changes == technique.layer_changes()
        assert all(isinstance(change, LayerWidth) for change in changes)
        for values in self.assignments(technique):
            draft = create_variants(technique, None).draft(values)
            if draft is None:
                unchanged = {group.name: LayerCost.of_group(group) for group in subject.groups}
                assert costs_left(subject.groups, changes, values) == unchanged
                continue
            built = {group.name: group for group in draft.groups}
            for name, cost in costs_left(subject.groups, changes, values).items():
                real = built.get(name)
                assert (cost.macs, cost.weights) == ((real.macs, real.weights) if real else (0, 0)), name

    def test_what_no_candidate_was_trained_for_is_asked_of_equally_narrow_ones(
        self, new: Callable[..., Technique]
    ) -> None:
        technique = new(ratios=[0.75, 0.5, 0.25])
        assert isinstance(technique, PruningTechnique)
        choices = {d.name: d.choices for d in self.decisions(technique)}
        found = uniform_levels(technique.layer_changes(), choices)
        assert [set(level.values()) for level in found] == [{"0.75"}, {"0.5"}, {"0.25"}]
        assert not any(name.rpartition("/")[2] == "blocks.0" for level in found for name in level)
        left = work_left(technique.layer_changes(), found[1])
        assert left["/stem/Conv"] == 0.5  # one input channel, which nobody prunes
        assert left["/blocks/blocks.1/conv2/Conv"] == 0.25
        decisions = (Decision("graph", ("plain", "fused"), "graph"), *technique.offer(None, Offer()).decisions)
        assert structural_names(Space(decisions, "")) == ("graph",)


class TestTraining(ModuleConformance):
    kind = TrainingTechnique
    options = {"lengths": [2]}  # noqa: RUF012 - never written to

    def test_a_longer_training_has_more_steps(self, new: Callable[..., Technique]) -> None:
        technique = new(lengths=[2, 3, 1])
        (decision,) = self.decisions(technique)
        assert (decision.name, decision.choices) == ("training", ("1", "2", "3"))
        recipe = RECIPE.model_copy(update={"evaluate_every": 1, "steps": 4, "epochs": 1, "patience": None})
        trainings = [create_variants(technique, recipe).train({"training": length}) for length in ("2", "3")]
        assert [len(training.figures) for training in trainings if training] == [1 + 8, 1 + 12]

    def test_it_needs_a_recovery(self, subject: Subject) -> None:
        with pytest.raises(InvalidInput, match="recovery is null"):
            TrainingTechnique(replace(subject, recipe=None), TrainingTechnique.Options())


class TestSparsity(ModuleConformance):
    kind = SparsityTechnique
    options = {"choices": ["0.5", "2:4", 0.9]}  # noqa: RUF012 - never written to

    def test_one_decision_for_the_model(self, new: Callable[..., Technique]) -> None:
        (decision,) = self.decisions(new())
        assert (decision.name, decision.choices) == ("sparsity", ("dense", "0.5", "2:4", "0.9"))

    @pytest.mark.parametrize("schedule", ["one_shot", "iterative", "gradual"])
    def test_weights_are_as_sparse_as_decided(self, new: Callable[..., Technique], schedule: str) -> None:
        draft = create_variants(new(schedule=schedule)).draft({"sparsity": "0.9"})
        assert draft is not None
        assert sparsity(draft.model) == pytest.approx(0.9, abs=0.01)

    def test_without_training_they_go_at_once(self, new: Callable[..., Technique]) -> None:
        draft = create_variants(new(), None).draft({"sparsity": "2:4"})
        assert draft is not None
        kernels = [
            values for values in read_weights(draft.model).values() if values.ndim == 4 and values.shape[1] % 4 == 0
        ]
        assert kernels
        for kernel in kernels:
            groups = np.moveaxis(kernel, 1, -1).reshape(-1, 4)
            assert ((groups == 0).sum(1) >= 2).all()

    def test_it_is_offered_only_where_something_is_gained(self, subject: Subject) -> None:
        options = validate_options(SparsityTechnique.Options, {"choices": ["0.5"]}, "space")
        fast = replace(subject, wanted=frozenset())
        assert self.decisions(SparsityTechnique(fast, options)) == ()
        for ratio, offered in ((1.0, False), (1.3, True)):
            technique = SparsityTechnique(replace(fast, cache=subject.cache / str(ratio)), options)
            offer = technique.offer(FakeDevice(lambda path, ratio=ratio: ratio), Offer())
            assert bool(offer.decisions) is offered
            assert offer.answers[0]["sparsity"] == "0.5"

    @pytest.mark.parametrize("choice", ["0", "1", "4:2", "some", "-1"])
    def test_what_is_no_sparsity_is_refused(self, new: Callable[..., Technique], choice: str) -> None:
        with pytest.raises(InvalidInput, match="is no sparsity"):
            new(choices=[choice])


class TestFormats(ModuleConformance):
    kind = FormatsTechnique
    options = {"choices": ["int4", "int8"]}  # noqa: RUF012 - never written to

    def assignments(self, technique: Technique) -> list[dict[str, str]]:
        """Of the decisions' last values alone the first one's does for all: each is a training."""
        return super().assignments(technique)[:4]

    @pytest.fixture
    def searching(self, subject: Subject) -> Callable[..., FormatsTechnique]:
        """The technique of a job in which formats are searched for in one shot."""

        def create(choices: Sequence[str] = ("int4", "int8"), table: LayerTable | None = None, **options: Any) -> Any:
            section = {"choices": tuple(choices), "search": {"targets": [20], **options}}
            return FormatsTechnique(
                replace(subject, layer_times=table), FormatsTechnique.Options.model_validate(section)
            )

        return create

    def test_one_decision_a_group(self, new: Callable[..., Technique], subject: Subject) -> None:
        found = {decision.name: decision.choices for decision in self.decisions(new(choices=["INT4", "fp32", "e2m1"]))}
        assert found == {f"formats:{group.name}": ("fp32", "int4", "e2m1") for group in subject.groups}

    def test_in_one_shot_one_decision_for_the_model(self, searching: Callable[..., FormatsTechnique]) -> None:
        (decision,) = self.decisions(searching(targets=[20, 32.5, 20]))
        assert (decision.name, decision.choices) == ("formats", ("fp32", "20", "32.5"))

    def test_without_a_layer_to_give_a_format_it_is_refused(self, subject: Subject) -> None:
        images = make_net().inputs("calibration")["image"]
        splits: tuple[Split, ...] = ("calibration", "validation", "test")
        none = TorchTask(nn.Flatten(), {split: {"image": images} for split in splits})
        with pytest.raises(InvalidInput, match=r"space\.formats: the model has no linear or convolution") as refused:
            FormatsTechnique(replace(subject, task=none, groups=()), FormatsTechnique.Options()).offer(None, Offer())
        assert refused.value.hint

    def test_without_training_it_is_refused(self, subject: Subject) -> None:
        with pytest.raises(InvalidInput, match=r"space\.formats: .*recovery is null") as refused:
            FormatsTechnique(replace(subject, recipe=None), FormatsTechnique.Options()).offer(None, Offer())
        assert refused.value.hint == "give a recovery"

    @pytest.mark.parametrize("choices", [["int9"], ["fp32"], [], ["int4", "E2M9"]])
    def test_choices_that_are_none_are_refused(self, new: Callable[..., Technique], choices: list[str]) -> None:
        with pytest.raises(InvalidInput, match=r"space\.choices") as refused:
            new(choices=choices)
        assert "\n" not in refused.value.message

    def test_latency_is_searched_by_in_what_is_executed(self, searching: Callable[..., FormatsTechnique]) -> None:
        with pytest.raises(InvalidInput, match=r"space\.formats\.choices: no runtime computes in int4,") as refused:
            searching(cost="latency").offer(None, Offer())
        assert "int8" in refused.value.hint
        assert self.decisions(searching(["int8"], cost="latency"))
        assert searching(["int8"], cost="latency").by_latency
        assert not searching(["int8"]).by_latency

    @pytest.mark.parametrize(
        ("name", "agree", "close"), [("int8", 0.995, 0.9995), ("int4", 0.99, 0.9995), ("e2m1", 0.99, 0.9995)]
    )
    def test_the_file_answers_as_the_training_graph_does(
        self, new: Callable[..., Technique], subject: Subject, tmp_path: Path, name: str, agree: float, close: float
    ) -> None:
        technique = new(choices=[name])
        assert isinstance(technique, FormatsTechnique)
        images = np.concatenate([make_net().inputs(split)["image"] for split in ("calibration", "validation", "test")])
        expected = seen_at_the_end(technique, images)
        values = dict.fromkeys((d.name for d in self.decisions(technique)), name)
        draft = create_variants(technique, RECIPE.model_copy(update={"steps": 24})).draft(values)
        assert draft is not None
        assert technique.layer_formats(draft, values) == {group.name: name for group in draft.groups}
        assert json.loads(json.dumps(dict(draft.notes))) == draft.notes
        built = technique.apply(draft, values)
        assert ("QuantizeLinear" in {node.op_type for node in built.model.graph.node}) is (name == "int8")
        save_model(built.model, tmp_path / "built.onnx")
        session = OnnxRuntime().open(tmp_path / "built.onnx")
        found = np.concatenate([*session.run({"image": images}).values()])
        session.close()
        assert (found.argmax(1) == expected[0].argmax(1)).mean() >= agree
        assert cosine(found, expected[0]) > close
        # What was trained is what was rounded: without the formats it answers otherwise.
        (plain,) = run_once(draft.model, {"image": images}).values()
        assert name == "int8" or cosine(plain, expected[0]) < cosine(found, expected[0])

    def test_layers_left_alone_stay_float(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new(choices=["int8"])
        names = [decision.name for decision in self.decisions(technique)]
        values = dict.fromkeys(names, "fp32") | {names[1]: "int8"}
        draft = create_variants(technique).draft(values)
        assert draft is not None
        (group,) = (group for group in draft.groups if f"formats:{group.name}" == names[1])
        assert technique.layer_formats(draft, values) == {group.name: "int8"}
        before, built = read_weights(draft.model), read_weights(technique.apply(draft, values).model)
        kernels = [name for name, values in before.items() if values.ndim > 1]
        assert len([name for name in kernels if name not in built]) == len(group.nodes)

    def test_a_search_ends_with_formats_for_its_target(self, searching: Callable[..., FormatsTechnique]) -> None:
        technique = searching(delay=0.1, beta=5.0)
        draft = create_variants(technique, RECIPE.model_copy(update={"steps": 50})).draft({"formats": "64"})
        assert draft is not None
        found = technique.layer_formats(draft, {})
        assert found.keys() == {group.name for group in draft.groups}
        cost = {name: bit_operations(draft.groups, formats) for name, formats in (("fp32", {}), ("found", found))}
        assert cost["fp32"] / cost["found"] > 45  # drawn evenly they would be 26 times cheaper
        assert run_once(technique.apply(draft, {"formats": "64"}).model, technique.subject.sample)

    def test_a_search_by_size_counts_all_weights(self, searching: Callable[..., FormatsTechnique]) -> None:
        """Not 8 times, since biases and normalisation stay."""
        with pytest.raises(Unreachable, match=r"8 times cheaper than fp32: at most 7\.13 times"):
            create_variants(searching(cost="size")).train({"formats": "8"})
        assert create_variants(searching(cost="size")).train({"formats": "7"}) is not None

    def test_a_search_by_latency_asks_the_table(
        self, searching: Callable[..., FormatsTechnique], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(HeldOutQuality, "__call__", lambda held_out, step: 0.5)
        subject = searching().subject
        slow = subject.groups[1].name
        units = tuple(
            Unit(group.name, group.nodes, group.name, {
                kind.value: UnitTime(kind, time, time, 1.0, None)
                for kind, time in ((Precision.FP32, 4.0), (Precision.INT8, 9.0 if group.name == slow else 1.0))
            }, {"float": 0.0, "integer": 0.0})
            for group in subject.groups
        )  # fmt: skip
        whole = 4.0 * len(units)
        table = LayerTable(units, (), whole, 0.0, 1.0)
        best = whole / (4.0 + len(units) - 1)
        technique = searching(["int8"], table, cost="latency", beta=5.0, delay=0.1, settle=0.5)
        draft = create_variants(technique, RECIPE.model_copy(update={"steps": 120, "batch": 8})).draft(
            {"formats": f"{best:.2f}"}
        )
        assert draft is not None
        assert set(technique.layer_formats(draft, {})) == {group.name for group in subject.groups} - {slow}
        with pytest.raises(BuildFailed, match="no table"):
            create_variants(searching(["int8"], cost="latency")).draft({"formats": "2"})

    def test_a_target_out_of_reach_is_no_structure(self, searching: Callable[..., FormatsTechnique]) -> None:
        technique = searching()
        with pytest.raises(Unreachable, match="at most 64 times"):
            create_variants(technique).train({"formats": "65"})
        assert not list((technique.subject.cache / "structures").glob("*.onnx"))
        # And what is asked next is not disturbed by it.
        assert create_variants(technique).train({"formats": "20"}) is not None

    def test_what_cannot_be_rounded_counts_too(self, subject: Subject) -> None:
        """A target is for the model: layers that stay in float make it harder to reach."""
        *others, last = subject.groups
        stays = replace(last, precisions=(Precision.FP32,))
        options = FormatsTechnique.Options.model_validate({"search": {"targets": [64]}})
        technique = FormatsTechnique(replace(subject, groups=(*others, stays)), options)
        assert [group.name for group in technique.layers] == [group.name for group in others]
        with pytest.raises(Unreachable, match="64 times"):
            create_variants(technique).train({"formats": "64"})

    def test_how_it_is_searched_for_is_part_of_a_structure_s_name(
        self, searching: Callable[..., FormatsTechnique]
    ) -> None:
        one, same, *others = (
            searching(**options) for options in ({}, {"targets": [20, 30]}, {"beta": 0.3}, {"cost": "size"})
        )
        names = [create_variants(technique)._name({"formats": {"formats": "20"}}) for technique in (one, same, *others)]
        assert names[0] == names[1]
        assert len(set(names)) == 3

    def test_an_interrupted_search_goes_on(
        self, searching: Callable[..., FormatsTechnique], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        recipe = RECIPE.model_copy(update={"steps": 12, "evaluate_every": 3})
        whole = create_variants(searching(), recipe, "whole").draft({"formats": "20"})

        def interrupt(text: str) -> None:
            if text.startswith("training: step 9"):
                raise KeyboardInterrupt

        monkeypatch.setattr("search.trials.module_variants.report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            create_variants(searching(), recipe).draft({"formats": "20"})
        monkeypatch.setattr("search.trials.module_variants.report", lambda text: None)
        resumed = create_variants(searching(), recipe).draft({"formats": "20"})
        assert whole is not None
        assert resumed is not None
        assert resumed.notes == whole.notes
        assert serialize(resumed.model) == serialize(whole.model)

    def test_it_goes_together_with_pruning_and_sparsity(self, new: Callable[..., Technique], subject: Subject) -> None:
        formats = new()
        assert isinstance(formats, FormatsTechnique)
        pruning = PruningTechnique(subject, PruningTechnique.Options(ratios=(0.5,), round=2, criterion="l1"))
        sparsity_ = SparsityTechnique(subject, SparsityTechnique.Options(schedule="one_shot"))
        together = ModuleVariants(
            formats.task, "net", {"pruning": pruning, "sparsity": sparsity_, "formats": formats}, RECIPE,
            lambda model: under_first_names(model, layer_groups(model, SHAPES), subject.model, subject.groups),
            subject.cache / "together", lambda decision: decision.partition(":")[0],
        )  # fmt: skip
        values = {d.name: d.choices[0] for d in (*self.decisions(pruning), *self.decisions(formats))}
        values |= {"sparsity": "0.75", "pruning:blocks/blocks.1/conv1": "0.5"}
        values |= {name: "int4" for name in values if name.startswith("formats:")}
        draft = together.draft(values)
        assert draft is not None
        assert sparsity(draft.model) == pytest.approx(0.75, abs=0.02)
        assert any(weight.shape == (8, 8, 3, 3) for weight in read_weights(draft.model).values())
        assert set(formats.layer_formats(draft, values).values()) == {"int4"}
        assert run_once(formats.apply(draft, values).model, subject.sample)


def seen_at_the_end(technique: FormatsTechnique, images: Any) -> list[Any]:
    """Gets what the module answers when its training is over, rounding as it was trained."""
    found: list[Any] = []
    finish = technique.finish

    def looked_at(module: nn.Module, values: Mapping[str, str]) -> dict[str, Any]:
        with torch.no_grad():
            found.append(module.eval()(torch.from_numpy(images)).numpy())
        return finish(module, values)

    technique.finish = looked_at  # type: ignore[method-assign]
    return found


def cosine(one: Any, other: Any) -> float:
    return float(((one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)).mean())


class TestStructures:
    def test_one_file_for_all_processes(self, subject: Subject) -> None:
        options = validate_options(PruningTechnique.Options, {"ratios": [0.5], "criterion": "l1"}, "space")
        first, second = (create_variants(PruningTechnique(subject, options)) for _ in range(2))
        values = {"pruning:blocks/blocks.1/conv1": "0.5", "precision:stem": "int8", "runtime": "onnxruntime"}
        one = first.draft(values)
        (file,) = (subject.cache / "structures").glob("*.onnx")
        changed = file.stat().st_mtime_ns
        other = second.draft(values | {"precision:stem": "fp32"})
        assert one is not None
        assert other is not None
        assert serialize(one.model) == serialize(other.model)
        assert file.stat().st_mtime_ns == changed
        assert one.digest == other.digest == file.stem

    def test_another_recipe_is_another_structure(self, subject: Subject) -> None:
        technique = SparsityTechnique(subject, SparsityTechnique.Options())
        drafts = [create_variants(technique, recipe).draft({"sparsity": "0.5"}) for recipe in (None, RECIPE)]
        assert len({draft.digest for draft in drafts if draft}) == 2

    def test_an_interrupted_training_goes_on(self, subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
        technique = SparsityTechnique(subject, SparsityTechnique.Options())
        recipe = RECIPE.model_copy(update={"evaluate_every": 1})
        whole = create_variants(technique, recipe, "whole").draft({"sparsity": "0.5"})
        said: list[str] = []

        def interrupt(text: str) -> None:
            said.append(text)
            if text.startswith("training: step 2"):
                raise KeyboardInterrupt

        monkeypatch.setattr("search.trials.module_variants.report", interrupt)
        with pytest.raises(KeyboardInterrupt):
            create_variants(technique, recipe).draft({"sparsity": "0.5"})
        monkeypatch.setattr("search.trials.module_variants.report", said.append)
        resumed = create_variants(technique, recipe).draft({"sparsity": "0.5"})
        assert whole is not None
        assert resumed is not None
        assert serialize(resumed.model) == serialize(whole.model)
        assert not list((subject.cache / "structures").glob("*checkpoint*"))


class TestHalving:
    EARLIER = ([0.1, 0.2, 0.5], [0.1, 0.3, 0.6], [0.1, 0.9, 0.7, 0.7])

    def test_only_the_best_go_on(self) -> None:
        halving = Halving.after(2, self.EARLIER)
        assert halving.rungs == {2: [0.5, 0.6, 0.7]}
        assert [halving.goes_on(2, figure) for figure in (0.55, 0.6, 0.65)] == [False, True, True]
        assert halving.goes_on(1, 0.0)
        assert Halving.after(4, self.EARLIER).goes_on(4, 0.0)
        assert Halving.after(2, self.EARLIER[:1]).goes_on(2, 0.0)

    def test_a_training_that_falls_behind_leaves_nothing(self, subject: Subject) -> None:
        technique = SparsityTechnique(subject, SparsityTechnique.Options())
        recipe = RECIPE.model_copy(update={"evaluate_every": 1, "halving": 2})
        made = create_variants(technique, recipe)
        stopped = made.train({"sparsity": "0.5"}, [[0.0, 2.0, 2.0]] * 2)
        assert stopped is not None
        assert (len(stopped.figures), stopped.stopped) == (3, True)
        assert list((subject.cache / "structures").iterdir()) == []
        whole = made.train({"sparsity": "0.5"})
        assert whole is not None
        assert (len(whole.figures), whole.stopped) == (5, False)
        assert whole.figures[:3] == stopped.figures

    def test_a_structure_that_is_there_is_held_to_the_same(self, subject: Subject) -> None:
        """What a cache holds must not decide what becomes of a candidate."""
        technique = SparsityTechnique(subject, SparsityTechnique.Options())
        made = create_variants(technique, RECIPE.model_copy(update={"evaluate_every": 1, "halving": 2}))
        made.draft({"sparsity": "0.5"})
        found = made.train({"sparsity": "0.5"}, [[0.0, 2.0, 2.0]] * 2)
        assert found is not None
        assert (len(found.figures), found.stopped) == (3, True)

    def test_halving_changes_no_result(self, subject: Subject) -> None:
        technique = SparsityTechnique(subject, SparsityTechnique.Options())
        drafts = [
            create_variants(technique, RECIPE.model_copy(update={"halving": halving})).draft({"sparsity": "0.5"})
            for halving in (None, 3)
        ]
        assert len({draft.digest for draft in drafts if draft}) == 1


class TestJob:
    def test_losses_are_checked_before_anything_runs(self) -> None:
        job = {"task": {"name": "digits"}, "space": {"pruning": {}}, "recovery": {"losses": {"kll": {}}}}
        with pytest.raises(InvalidInput, match=r"recovery\.losses: unknown loss 'kll'") as refused:
            parse_job(job, folder=Path())
        assert "kl" in refused.value.hint

    def test_only_jobs_that_name_one_train(self) -> None:
        assert trains(["pruning", "precision"])
        assert not trains(["graph", "precision"])
