"""What every technique promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_device import FakeDevice

from evaluators.graphs.model import serialize
from evaluators.graphs.reference_run import run_once
from evaluators.metrics import METRICS
from hwprofiles.errors import InvalidInput
from search.options import validate_options
from search.space.candidate import Decision
from search.space.display import items_of, items_to_json
from search.space.layer_changes import LayerWidth, read_change
from search.techniques import TECHNIQUES, Draft, Offer, Subject, Technique


class TechniqueConformance:
    """A technique's test class subclasses this and gives a ``subject`` that there is something to decide for."""

    kind: type[Technique]
    options: dict[str, Any] = {}  # noqa: RUF012 - never written to

    @pytest.fixture
    def subject(self, tmp_path: Path) -> Subject:
        raise NotImplementedError

    @pytest.fixture
    def new(self, subject: Subject) -> Callable[..., Technique]:
        def create(**options: Any) -> Technique:
            return self.kind(subject, validate_options(self.kind.Options, self.options | options, "space"))

        return create

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

    def test_an_offer_leaves_its_arguments_untouched(self, new: Callable[..., Technique], subject: Subject) -> None:
        """Asked twice, by the same object or by another, it offers the same."""
        technique, device, earlier = new(), FakeDevice(lambda path: 2.0), Offer()
        before = replace(subject, transient=dict(subject.transient))
        first = technique.offer(device, earlier)
        assert technique.offer(device, earlier) == first
        assert new().offer(device, earlier) == first
        assert earlier == Offer()
        assert subject == before

    def test_its_metrics_are_figures_of_the_file(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique, metrics = new(), self.kind.metrics
        assert not any(row.per_device for row in metrics.values())
        assert not metrics.keys() & METRICS.keys()
        draft = Draft(subject.model, subject.groups)
        assert technique.compute_metrics(draft, {}).keys() >= metrics.keys()
        for values in self.assignments(technique)[:2]:
            figures = technique.compute_metrics(self.built(technique, draft, values), values)
            assert figures.keys() >= metrics.keys()
            assert json.loads(json.dumps(figures, allow_nan=False)) == figures

    def test_what_it_notes_it_describes(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique, name = new(), next(name for name, kind in TECHNIQUES.items() if kind is self.kind)
        draft = Draft(subject.model, subject.groups)
        built = self.built(technique, draft, self.assignments(technique)[1])
        assert json.loads(json.dumps(built.notes)) == built.notes
        if name in built.notes:
            items = technique.describe(built.notes[name])
            assert items_of({"display": json.loads(json.dumps(items_to_json(items)))}) == items

    def test_first_choices_leave_the_model_as_it_is(self, new: Callable[..., Technique], subject: Subject) -> None:
        technique = new()
        draft = Draft(subject.model, subject.groups)
        first = {decision.name: decision.choices[0] for decision in self.decisions(technique)}
        assert serialize(self.built(technique, draft, first).model) == serialize(subject.model)
        assert self.built(technique, draft, first).groups == subject.groups

    def test_every_choice_gives_a_model_that_runs_and_leaves_the_draft_untouched(
        self, new: Callable[..., Technique], subject: Subject
    ) -> None:
        technique = new()
        before = serialize(subject.model)
        draft = Draft(subject.model, subject.groups)
        expected = run_once(subject.model, subject.sample)
        for values in self.assignments(technique):
            found = run_once(self.built(technique, draft, values).model, subject.sample)
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
        assignments = self.repeated(used)
        first = [serialize(self.built(used, draft, values).model) for values in assignments]
        again = [serialize(self.built(used, draft, values).model) for values in reversed(assignments)][::-1]
        another = new()
        fresh = [serialize(self.built(another, draft, dict(reversed(values.items()))).model) for values in assignments]
        assert first == again == fresh
        assert len(set(first)) > 1

    def test_values_of_others_are_ignored(self, new: Callable[..., Technique], subject: Subject) -> None:
        draft = Draft(subject.model, subject.groups)
        assert serialize(self.built(new(), draft, {"width": "half"}).model) == serialize(subject.model)

    def test_unknown_options_are_refused(self, new: Callable[..., Technique]) -> None:
        with pytest.raises(InvalidInput, match="unknown key 'wit'"):
            new(wit=1)

    def test_answers_can_be_stored(self, new: Callable[..., Technique]) -> None:
        technique = new()
        offer = technique.offer(FakeDevice(lambda path: 2.0), Offer())
        assert json.loads(json.dumps(offer.answers, allow_nan=False)) is not None

    def decisions(self, technique: Technique) -> tuple[Decision, ...]:
        """The decisions on a device that measures nothing."""
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
            else:
                assert {name for row in change.factors.values() for name in row} <= groups
                assert set(change.factors) <= set(choices[change.decision][1:])

    def built(self, technique: Technique, draft: Draft, values: Mapping[str, str]) -> Draft:
        """What a candidate with these values starts from after this technique."""
        return technique.apply(draft, values)

    def assignments(self, technique: Technique) -> list[dict[str, str]]:
        """Every value everywhere that it is possible, and each decision's last value alone."""
        decisions = self.decisions(technique)
        first = {decision.name: decision.choices[0] for decision in decisions}
        values = dict.fromkeys(value for decision in decisions for value in decision.choices)
        uniform = [
            {d.name: value if value in d.choices else d.choices[0] for d in decisions} for value in values
        ]  # fmt: skip
        return [*uniform, *(first | {d.name: d.choices[-1]} for d in decisions)]

    def repeated(self, technique: Technique) -> list[dict[str, str]]:
        """Of the assignments those that are built several times, to compare the bytes."""
        return self.assignments(technique)
