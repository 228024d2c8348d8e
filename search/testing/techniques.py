"""Conformance suites of techniques: a technique's test class subclasses :class:`TechniqueConformance`, or, if it
changes the torch module, :class:`ModuleConformance`.

    from my_package.half_storage import HalfStorage
    from search.testing.techniques import TechniqueConformance

    class TestHalfStorage(TechniqueConformance):
        kind = HalfStorage

The technique works on a small trained residual net for pictures of 8x8. A technique that can do nothing for this net
gets another one for the same pictures:

    from my_package.activation import Activation
    from search.testing.techniques import ModuleConformance
    from search.testing.trainable import make_task
    from torch import nn

    class TestActivation(ModuleConformance):
        kind = Activation

        def make_task(self):
            return make_task(nn.Sequential(nn.Conv2d(1, 8, 3), nn.GELU(), nn.Flatten(), nn.Linear(288, 5)))

A technique on the graph that needs a model of its own overrides the fixture ``subject`` instead:

    @pytest.fixture
    def subject(self, tmp_path):
        return create_subject(onnx.load("model.onnx"), [{"tokens": tokens}], tmp_path)

Needs pytest and torch. The technique must be registered, or be an entry point of an installed package.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from evaluators.graphs.changed_layers import under_first_names
from evaluators.graphs.cleanup import clean_graph
from evaluators.graphs.layer_groups import layer_groups
from evaluators.graphs.model import load_model, serialize
from evaluators.graphs.reference_run import run_once
from evaluators.metrics import METRICS
from evaluators.tensors import Array
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import digest_of, find_device
from hwprofiles.errors import InvalidInput
from search.options import validate_options
from search.space.candidate import Decision
from search.space.display import items_of, items_to_json
from search.space.encoding import UnitEncoding
from search.space.layer_changes import LayerWidth, ValueShares, read_change
from search.tasks import Task
from search.techniques import TECHNIQUES, Draft, ModuleTechnique, Offer, Subject, Technique
from search.techniques.precision import PrecisionTechnique
from search.testing.watching import watch
from search.training.recipe import Recipe
from search.trials.module_variants import ModuleVariants

RECIPE = Recipe(steps=4, batch=32, learning_rate=1e-3, losses={"task": {}}, patience=None, threads=1)
"""How changed modules are trained in the suites."""


def create_subject(model: onnx.ModelProto, feeds: Sequence[Mapping[str, Array]], cache: Path, **fields: Any) -> Subject:
    """Creates the subject of a model; ``feeds`` are its calibration data, the first one is also its sample."""
    cleaned = clean_graph(model)
    subject = Subject(
        model=cleaned, groups=layer_groups(cleaned, {name: list(values.shape) for name, values in feeds[0].items()}),
        digest=digest_of(["a model", cleaned.SerializeToString(deterministic=True).hex()]), sample=feeds[0],
        calibration_batches=lambda count: [dict(feed) for feed in feeds], cache=cache,
        profile=find_device("local-cpu"), wanted=frozenset(),
    )  # fmt: skip
    return replace(subject, **fields)


def create_task_subject(task: Task, cache: Path) -> Subject:
    """Creates the subject of a trainable task with one input; a job wants it to be small."""
    task.export(cache / "model.onnx")
    (name,) = task.inputs("calibration")
    image, sample = task.inputs("calibration")[name], task.inputs("validation")[name][:1]
    return create_subject(
        load_model(cache / "model.onnx"), [{name: sample}], cache,
        calibration_batches=lambda count: [{name: image[:count]}], wanted=frozenset({"size_bytes"}),
        task=task, recipe=RECIPE,
    )  # fmt: skip


def create_variants(technique: Technique, recipe: Recipe | None = RECIPE, folder: str = "structures") -> ModuleVariants:
    """Creates what changes, trains and exports the module by a technique's decisions."""
    assert isinstance(technique, ModuleTechnique)
    subject, name = technique.subject, name_of(type(technique))
    shapes = {key: list(values.shape) for key, values in subject.sample.items()}
    decisions = {decision.name for decision in technique.offer(None, Offer()).decisions}
    return ModuleVariants(
        technique.task, subject.digest, {name: technique}, recipe,
        lambda model: under_first_names(model, layer_groups(model, shapes), subject.model, subject.groups),
        subject.cache / folder,
        lambda decision: name if decision in decisions else "",
    )  # fmt: skip


def name_of(kind: type[Technique]) -> str:
    """Returns the name under which a technique is registered."""
    return next(name for name, registered in TECHNIQUES.items() if registered is kind)


def read_weights(model: onnx.ModelProto) -> dict[str, Any]:
    """Reads a graph's initializers, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


@functools.cache
def make_net() -> Task:
    """Makes the trained net of the suites, once a process."""
    from search.testing.trainable import make_task

    return make_task()


class TechniqueConformance:
    """What every technique promises."""

    kind: ClassVar[type[Technique]]
    options: ClassVar[dict[str, Any]] = {}
    """Options that it is made with."""

    def make_task(self) -> Task:
        """Makes a trainable task with one input, in whose model there is something for the technique to decide."""
        return make_net()

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        return create_task_subject(self.make_task(), tmp_path)

    def make_technique(self, subject: Subject, **options: Any) -> Technique:
        """Makes the technique, with all its calls watched."""
        return watch(self.kind(subject, validate_options(self.kind.Options, self.options | options, "space")))

    @pytest.fixture
    def new(self, subject: Subject) -> Callable[..., Technique]:
        return functools.partial(self.make_technique, subject)

    def test_it_is_registered_once(self) -> None:
        assert [name for name, kind in TECHNIQUES.items() if kind is self.kind] != []

    def test_decisions_are_sound(self, new: Callable[..., Technique]) -> None:
        decisions = self.decisions(new())
        assert decisions
        assert len({decision.name for decision in decisions}) == len(decisions)
        for decision in decisions:
            assert len(decision.choices) > 1
            assert len(set(decision.choices)) == len(decision.choices)
            assert (decision.target is None) is (decision.scope in ("model", "device"))
        assert self.decisions(new()) == decisions

    def test_asked_again_it_offers_the_same(self, new: Callable[..., Technique]) -> None:
        technique, device = new(), FakeDevice(lambda path: 2.0)
        first = technique.offer(device, Offer())
        assert technique.offer(device, Offer()) == first
        assert new().offer(device, Offer()) == first

    def test_no_call_writes_to_what_it_is_given(self, new: Callable[..., Technique], subject: Subject) -> None:
        """The fixture ``new`` watches all calls of all tests; this one makes each call that a job makes."""
        technique, name = new(), name_of(self.kind)
        technique.offer(FakeDevice(lambda path: 2.0), Offer())
        technique.layer_changes()
        for values in self.assignments(technique)[:2]:
            built = self.build(technique, Draft(subject.model, subject.groups), values)
            technique.layer_formats(built, values)
            technique.compute_metrics(built, values)
            if name in built.notes:
                technique.describe(built.notes[name])

    def test_its_metrics_are_figures_of_the_file(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique, metrics = new(), self.kind.metrics
        assert not any(row.per_device for row in metrics.values())
        assert not metrics.keys() & METRICS.keys()
        draft = Draft(subject.model, subject.groups)
        assert technique.compute_metrics(draft, {}).keys() >= metrics.keys()
        assert not self.kind.further_keys & (METRICS.keys() | metrics.keys())
        for values in self.assignments(technique)[:2]:
            figures = technique.compute_metrics(self.build(technique, draft, values), values)
            assert metrics.keys() <= figures.keys() <= metrics.keys() | self.kind.further_keys
            assert all(isinstance(figures[name], int | float) for name in metrics)
            assert json.loads(json.dumps(figures, allow_nan=False)) == figures

    def test_what_it_notes_it_describes(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique, name = new(), name_of(self.kind)
        draft = Draft(subject.model, subject.groups)
        built = self.build(technique, draft, self.assignments(technique)[1])
        assert json.loads(json.dumps(dict(built.notes))) == built.notes
        if name in built.notes:
            items = technique.describe(built.notes[name])
            assert items_of({"display": json.loads(json.dumps(items_to_json(items)))}) == items

    def test_first_choices_leave_the_model_as_it_is(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        draft = Draft(subject.model, subject.groups)
        first = {decision.name: decision.choices[0] for decision in self.decisions(technique)}
        assert serialize(self.build(technique, draft, first).model) == serialize(subject.model)
        assert self.build(technique, draft, first).groups == subject.groups

    def test_every_choice_gives_a_model_that_runs_and_leaves_the_draft_untouched(
        self, new: Callable[..., Technique], subject: Subject
    ) -> None:
        technique = new()
        before = serialize(subject.model)
        draft = Draft(subject.model, subject.groups)
        expected = run_once(subject.model, subject.sample)
        for values in self.assignments(technique):
            found = run_once(self.build(technique, draft, values).model, subject.sample)
            assert {name: value.shape for name, value in found.items()} == {
                name: value.shape for name, value in expected.items()
            }
            assert all(np.isfinite(value).all() for value in found.values())
        assert serialize(draft.model) == before
        assert draft.groups == subject.groups
        assert draft.model is subject.model

    def test_the_same_values_give_the_same_bytes(self, new: Callable[..., Technique], subject: Subject) -> None:
        draft = Draft(subject.model, subject.groups)
        used = new()
        assignments = self.assignments_to_repeat(used)
        first = [serialize(self.build(used, draft, values).model) for values in assignments]
        again = [serialize(self.build(used, draft, values).model) for values in reversed(assignments)][::-1]
        another = new()
        fresh = [serialize(self.build(another, draft, dict(reversed(values.items()))).model) for values in assignments]
        assert first == again == fresh
        assert len(set(first)) > 1

    def test_values_of_others_are_ignored(self, new: Callable[..., Technique], subject: Subject) -> None:
        draft = Draft(subject.model, subject.groups)
        assert serialize(self.build(new(), draft, {"width": "half"}).model) == serialize(subject.model)

    def test_unknown_options_are_refused(self, new: Callable[..., Technique]) -> None:
        with pytest.raises(InvalidInput, match="unknown key 'wit'"):
            new(wit=1)

    def test_answers_can_be_stored(self, new: Callable[..., Technique]) -> None:
        technique = new()
        offer = technique.offer(FakeDevice(lambda path: 2.0), Offer())
        assert json.loads(json.dumps(offer.answers, allow_nan=False)) is not None

    def decisions(self, technique: Technique) -> tuple[Decision, ...]:
        """Returns the decisions on a device that measures nothing."""
        return technique.offer(None, Offer()).decisions

    def test_changes_of_costs_can_be_stored_and_are_about_its_own_decisions(
        self, new: Callable[..., Technique], subject: Subject
    ) -> None:
        technique = new()
        choices = {decision.name: decision.choices for decision in technique.offer(None, Offer()).decisions}
        groups = {group.name for group in subject.groups}
        for change in technique.layer_changes():
            assert read_change(json.loads(json.dumps(change.to_dict(), allow_nan=False))) == change
            if isinstance(change, LayerWidth):
                assert change.group in groups
            elif isinstance(change, ValueShares):
                assert set(change.shares) >= set(choices.get(change.decision, ()))
            else:
                assert {name for row in change.factors.values() for name in row} <= groups
                assert set(change.factors) <= set(choices[change.decision][1:])

    def test_encodings_can_be_stored_and_are_about_its_own_decisions(self, new: Callable[..., Technique]) -> None:
        technique = new()
        targets = {decision.target for decision in self.decisions(technique)}
        for target, encoding in technique.encodings().items():
            assert target in targets
            stored = json.dumps(encoding.to_dict(), allow_nan=False)
            assert UnitEncoding.from_dict(json.loads(stored)) == encoding

    def build(self, technique: Technique, draft: Draft, values: Mapping[str, str]) -> Draft:
        """Returns what a candidate with these values starts from after this technique."""
        return technique.apply(draft, values)

    def assignments(self, technique: Technique) -> list[dict[str, str]]:
        """Returns every value everywhere that it is possible, and each decision's last value alone."""
        decisions = self.decisions(technique)
        first = {decision.name: decision.choices[0] for decision in decisions}
        values = dict.fromkeys(value for decision in decisions for value in decision.choices)
        uniform = [
            {d.name: value if value in d.choices else d.choices[0] for d in decisions} for value in values
        ]  # fmt: skip
        return [*uniform, *(first | {d.name: d.choices[-1]} for d in decisions)]

    def assignments_to_repeat(self, technique: Technique) -> list[dict[str, str]]:
        """Of the assignments those that are built several times, to compare the bytes."""
        return self.assignments(technique)


class ModuleConformance(TechniqueConformance):
    """What a technique that changes the torch module promises in addition.

    The exported model keeps the layers' names, so that other techniques find them.
    """

    kind: ClassVar[type[ModuleTechnique]]
    _builds = 0

    def build(self, technique: Technique, draft: Draft, values: Mapping[str, str]) -> Draft:
        self._builds += 1
        # A folder of its own each time, so that equal bytes are not one file.
        variant = create_variants(technique, folder=str(self._builds)).draft(values)
        return technique.apply(variant or draft, values)

    def assignments_to_repeat(self, technique: Technique) -> list[dict[str, str]]:
        """Returns the uniform assignments and one more, because each is a training."""
        decisions = self.decisions(technique)
        return self.assignments(technique)[: 1 + len({value for row in decisions for value in row.choices})]

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

    def test_values_without_effect_are_the_first(self, new: Callable[..., Technique]) -> None:
        technique = new()
        assert isinstance(technique, ModuleTechnique)
        for values in self.assignments(technique):
            effective = technique.effective(values)
            assert technique.effective(effective) == effective
            assert effective.keys() == values.keys()

    def test_layers_keep_their_names(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        values = self.assignments(technique)[1]
        draft = create_variants(technique).draft(values)
        assert draft is not None
        assert {group.name for group in draft.groups} <= {group.name for group in subject.groups}
        assert draft.digest

    def test_other_techniques_go_on_from_it(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        draft = create_variants(technique).draft(self.assignments(technique)[1])
        assert draft is not None
        precision = PrecisionTechnique(subject, PrecisionTechnique.Options())
        decisions = {f"precision:{group.name}": "int8" for group in subject.groups}
        quantised = precision.apply(draft, decisions)
        assert quantised.digest == draft.digest
        assert any(node.op_type == "QuantizeLinear" for node in quantised.model.graph.node)
        # Ranges of the whole model must never serve a changed one: the graphs look alike.
        plain = precision.apply(Draft(subject.model, subject.groups), decisions)
        scales = [{n: v for n, v in read_weights(m).items() if "scale" in n} for m in (quantised.model, plain.model)]
        assert scales[0].keys() & scales[1].keys()
        assert any(not np.array_equal(scales[0][n], scales[1][n]) for n in scales[0].keys() & scales[1].keys())


class NoModule(Task):
    digest = ""

    def export(self, path: Path, *, trained: bool = True, module: Any = None) -> None:
        raise NotImplementedError

    def inputs(self, split: Any) -> dict[str, Any]:
        raise NotImplementedError
