"""The technique ``student``: what it decides, builds and says of costs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from teachers import Vgg

from hwprofiles.errors import InvalidInput, Unreachable
from search.job.spec import parse_job
from search.options import validate_options
from search.space.candidate import Decision
from search.space.display import Fields
from search.space.encoding import UnitEncoding
from search.space.layer_changes import costs_left, read_change, uniform_levels
from search.techniques import Offer, Subject, Technique
from search.techniques.student import StudentOptions, StudentTechnique
from search.testing.techniques import ModuleConformance, create_task_subject, create_variants
from search.testing.trainable import make_task

INNER = "student:blocks/blocks.0/conv1"
BLOCK = "student:blocks/blocks.0#keep"


class TestStudent(ModuleConformance):
    kind = StudentTechnique
    options = {"factors": [0.5], "round": 2, "criterion": "l1"}  # noqa: RUF012 - never written to

    def test_each_unit_is_kept_or_not_and_as_wide_as_decided(self, new: Callable[..., Technique]) -> None:
        decisions = self.decisions(new(factors=[1.0, 0.5, 0.25]))
        assert {decision.name: decision.choices for decision in decisions} == {
            "student:stem+blocks/blocks.0/conv2": ("1", "0.5", "0.25"),
            BLOCK: ("1", "0"),
            INNER: ("1", "0.5", "0.25"),
            "student:blocks/blocks.1/conv1#keep": ("1", "0"),
            "student:blocks/blocks.1/conv1": ("1", "0.5", "0.25"),
            "student:blocks/blocks.1/conv2+shortcut/shortcut.0": ("1", "0.5", "0.25"),
            "student:blocks/blocks.2/conv1#keep": ("1", "0"),
            "student:blocks/blocks.2/conv1": ("1", "0.5", "0.25"),
            "student:blocks/blocks.2/conv2+shortcut/shortcut.0": ("1", "0.5", "0.25"),
        }
        assert {decision.scope for decision in decisions} == {"module"}
        assert not [d for d in self.decisions(new(remove=False)) if d.choices[-1] == "0"]
        assert [d.choices for d in self.decisions(new(factors=[]))] == [("1", "0")] * 3

    def test_a_student_is_shown_beside_its_teacher(self, new: Callable[..., Technique]) -> None:
        technique = new()
        first = {decision.name: decision.choices[0] for decision in self.decisions(technique)}
        draft = create_variants(technique).draft({**first, BLOCK: "0", "student:blocks/blocks.1/conv1": "0.5"})
        assert draft is not None
        (item,) = technique.describe(draft.notes["student"])
        assert isinstance(item, Fields)
        assert item.fields["stem"] == "8 outputs, 72 parameters"
        assert item.fields["blocks.0.conv1"] == "left out (8 outputs, 576 parameters)"
        assert item.fields["blocks.1.conv1"] == "16 → 8 outputs, 1,152 → 576 parameters"
        assert item.fields["blocks.1.conv2"] == "16 outputs, 2,304 → 1,152 parameters"

    def test_encodings_are_by_target(self, new: Callable[..., Technique]) -> None:
        technique = new()
        encodings = technique.encodings()
        assert list(encodings) == [decision.target for decision in self.decisions(technique)]
        assert encodings["blocks/blocks.0#keep"] == UnitEncoding("block", 3, 1, 1, 8, True, True)
        assert encodings["blocks/blocks.1/conv1"] == UnitEncoding("conv", 3, 2, 1, 16, starts_skip=True)

    def test_factors_of_one_width_are_one_student(self, new: Callable[..., Technique]) -> None:
        technique = new(factors=[0.9, 0.5, 0.4, 0.3], round=4)
        assert isinstance(technique, StudentTechnique)
        first = {decision.name: "1" for decision in self.decisions(technique)}
        for value, width in (("0.9", "1"), ("0.4", "0.5")):  # of 8 channels in steps of 4
            assert technique.effective(first | {INNER: value}) == first | {INNER: width}
        assert technique.effective(first | {INNER: "0.5", BLOCK: "0"}) == first | {BLOCK: "0"}
        variants = create_variants(technique, None)
        drafts = [variants.draft(first | {INNER: value}) for value in ("0.5", "0.4")]
        assert drafts[0] is drafts[1] is not None
        assert variants.draft(first | {INNER: "0.9"}) is None

    def test_a_further_round_leaves_the_student_as_it_is(self, new: Callable[..., Technique]) -> None:
        technique = new()
        assert isinstance(technique, StudentTechnique)
        values = {decision.name: decision.choices[-1] for decision in self.decisions(technique)}
        student = technique.change(technique.module(), values, 0.5)
        assert technique.change(student, values, 1.0) is student

    def test_values_in_words(self) -> None:
        decision = Decision("student:x", ("1", "0.5", "0"), "student", "x", "module")
        words = [StudentTechnique.describe_value(decision, value) for value in decision.choices]
        assert words == ["kept", "shrunk to 50 %", "left out"]

    def test_modelled_layers_shrink_as_students_do(self, new: Callable[..., Technique], subject: Subject) -> None:
        check_costs(new(factors=[0.7, 0.3], round=1), subject)

    def test_few_levels_of_width_are_timed(self, new: Callable[..., Technique]) -> None:
        technique = new(factors=StudentOptions().factors, round=1)
        choices = {decision.name: decision.choices for decision in self.decisions(technique)}
        levels = uniform_levels(technique.layer_changes(), choices)
        assert [set(level.values()) for level in levels] == [{"0.7"}, {"0.4"}, {"0.1"}]

    @pytest.mark.parametrize("factors", [[0], [1.5], [-0.1]])
    def test_what_is_no_factor_is_refused(self, new: Callable[..., Technique], factors: list[float]) -> None:
        with pytest.raises(InvalidInput, match=r"0\.5 keeps half"):
            new(factors=factors)


def check_costs(technique: Technique, subject: Subject) -> None:
    """Compares what decisions say of costs with what is built, for some students drawn at random."""
    changes = [read_change(json.loads(json.dumps(change.to_dict()))) for change in technique.layer_changes()]
    assert changes == technique.layer_changes()
    assert isinstance(technique, StudentTechnique)
    decisions, rng = technique.offer(None, Offer()).decisions, random.Random(6)
    variants = create_variants(technique, None)
    for _ in range(6):
        values = {decision.name: rng.choice(decision.choices) for decision in decisions}
        draft = variants.draft(values)
        assert draft is not None
        built = {group.name: group for group in draft.groups}
        for name, cost in costs_left(subject.groups, changes, values).items():
            real = built.get(name)
            assert (cost.macs, cost.weights) == ((real.macs, real.weights) if real else (0, 0)), (name, values)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> StudentTechnique:
    """The technique on a net without shortcuts."""
    subject = create_task_subject(make_task(Vgg((8, 8, "M", 16, 12, "M"))), tmp_path_factory.mktemp("plain"))
    options = validate_options(StudentOptions, {"factors": [0.5], "round": 1, "criterion": "l1"}, "space")
    return StudentTechnique(subject, options)


def test_costs_of_a_plain_net_without_layers(plain: StudentTechnique) -> None:
    check_costs(plain, plain.subject)


def test_a_degenerate_student_is_a_failed_candidate(plain: StudentTechnique) -> None:
    values = {decision.name: decision.choices[-1] for decision in plain.offer(None, Offer()).decisions}
    with pytest.raises(Unreachable):
        create_variants(plain).draft(values)


def test_students_and_pruning_are_not_for_one_job(tmp_path: Path) -> None:
    space = {"student": {}, "pruning": {}}
    with pytest.raises(InvalidInput, match="pruning and student both decide which channels and blocks are left"):
        parse_job({"version": 1, "task": {"name": "digits"}, "space": space}, folder=tmp_path)
