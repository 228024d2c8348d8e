"""Losses: the conformance suites, known answers, and what changes nothing."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hwprofiles.errors import InvalidInput
from search.testing.losses import DistillationConformance, LossConformance, draw_samples
from search.training.losses import LOSSES, Loss, make_losses
from search.training.outputs import FeatureTaps, LossInputs, ModuleOutputs


def made(name: str, **options: Any) -> Loss:
    return make_losses({name: options})[name]


def answers(output: Tensor, **features: Tensor) -> ModuleOutputs:
    return ModuleOutputs(output, output, features)


def seen(student: Tensor, teacher: Tensor | None = None, labels: list[int] | None = None) -> LossInputs:
    return LossInputs(
        answers(student, part=student),
        None if teacher is None else answers(teacher, part=teacher),
        None if labels is None else torch.tensor(labels),
    )


class TestLogitsKl(DistillationConformance):
    kind = LOSSES["kl"]
    options: ClassVar[dict[str, Any]] = {"temperature": 3.0}
    shape = (5, 7)

    def test_a_known_answer(self) -> None:
        """Teacher (3/4, 1/4), student (1/2, 1/2) at temperature 1; at T the logits are T times as far apart."""
        expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        teacher, student = torch.tensor([[math.log(3), 0.0]]), torch.zeros(1, 2)
        assert float(made("kl", temperature=1)(seen(student, teacher))) == pytest.approx(expected, rel=1e-5)
        assert float(made("kl", temperature=2)(seen(student, teacher * 2))) == pytest.approx(4 * expected, rel=1e-5)

    def test_a_shift_of_all_logits_changes_nothing(self) -> None:
        student, teacher = draw_samples(5, 7), draw_samples(5, 7, seed=1)
        assert float(self.compute(student + 3, teacher - 2)) == pytest.approx(
            float(self.compute(student, teacher)), rel=1e-4
        )

    def test_hot_it_is_the_distance_of_centred_logits(self) -> None:
        """Hinton et al., section 2.1: in the limit matching logits is a special case."""
        student, teacher = draw_samples(5, 7), draw_samples(5, 7, seed=1)
        apart = (student - student.mean(1, keepdim=True)) - (teacher - teacher.mean(1, keepdim=True))
        hot = made("kl", temperature=100.0)(seen(student, teacher))
        assert float(hot) == pytest.approx(float(apart.square().sum(1).mean() / (2 * 7)), rel=0.05)

    def test_positions_count_as_samples(self) -> None:
        student, teacher = draw_samples(2, 3, 7), draw_samples(2, 3, 7, seed=1)
        assert float(self.compute(student, teacher)) == pytest.approx(
            float(self.compute(student.flatten(0, 1), teacher.flatten(0, 1))), rel=1e-5
        )

    def test_another_number_of_classes_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"\(5, 7\), of the teacher \(5, 8\)"):
            self.compute(draw_samples(5, 7), draw_samples(5, 8))


class TestLogitsL2(DistillationConformance):
    kind = LOSSES["l2"]
    shape = (5, 7)

    def test_a_known_answer(self) -> None:
        """Half of 1 + 4, and half of 9, on average."""
        student, teacher = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.zeros(2, 2)
        assert float(self.compute(student, teacher)) == pytest.approx((2.5 + 4.5) / 2)

    def test_twice_as_far_is_four_times_as_much(self) -> None:
        student = draw_samples(5, 7)
        zero = torch.zeros(5, 7)
        assert float(self.compute(2 * student, zero)) == pytest.approx(4 * float(self.compute(student, zero)), rel=1e-5)

    def test_a_shift_of_all_logits_counts(self) -> None:
        same = draw_samples(5, 7)
        assert float(self.compute(same + 1, same)) == pytest.approx(3.5, rel=1e-4)


class TestChannelWise(DistillationConformance):
    kind = LOSSES["cwd"]
    options: ClassVar[dict[str, Any]] = {"features": {"part": "part"}, "temperature": 2.0}
    shape = (3, 4, 5, 5)

    def test_a_known_answer(self) -> None:
        """One channel of two positions, as for logits; a second that agrees halves the mean over channels."""
        expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        teacher = torch.tensor([[[[2 * math.log(3), 0.0]], [[5.0, 1.0]]]])
        student = torch.tensor([[[[0.0, 0.0]], [[5.0, 1.0]]]])
        assert float(self.compute(student, teacher)) == pytest.approx(4 * expected / 2, rel=1e-5)

    def test_the_level_of_a_channel_changes_nothing(self) -> None:
        student, teacher = draw_samples(*self.shape), draw_samples(*self.shape, seed=1)
        shifted = student + draw_samples(1, 4, 1, 1, seed=2)
        assert float(self.compute(shifted, teacher)) == pytest.approx(float(self.compute(student, teacher)), rel=1e-4)

    def test_the_order_of_positions_changes_nothing(self) -> None:
        student, teacher = draw_samples(*self.shape), draw_samples(*self.shape, seed=1)
        assert float(self.compute(student.transpose(2, 3), teacher.transpose(2, 3))) == pytest.approx(
            float(self.compute(student, teacher)), rel=1e-5
        )

    def test_fewer_channels_are_brought_to_the_teacher_s(self) -> None:
        loss = self.make()
        student, teacher = draw_samples(3, 2, 5, 5).requires_grad_(), draw_samples(*self.shape, seed=1)
        loss.prepare(seen(student, teacher))
        (adapter,) = loss.parameters()
        assert adapter.shape == (4, 2, 1)
        loss(seen(student, teacher)).backward()
        assert adapter.grad is not None
        assert student.grad is not None

    @pytest.mark.parametrize(("student", "teacher"), [((3, 4, 5, 4), (3, 4, 5, 5)), ((3, 4), (3, 4))])
    def test_maps_that_do_not_lie_over_one_another_are_refused(
        self, student: tuple[int, ...], teacher: tuple[int, ...]
    ) -> None:
        with pytest.raises(InvalidInput, match="part"):
            self.compute(draw_samples(*student), draw_samples(*teacher))


class TestAttentionRelations(DistillationConformance):
    """Queries, keys and values come side by side in one tensor."""

    kind = LOSSES["minilm"]
    options: ClassVar[dict[str, Any]] = {"student": ["part"], "teacher": ["part"], "heads": 2}
    shape = (2, 5, 24)

    def test_a_known_answer(self) -> None:
        """Two tokens, one head of width 1. The teacher's first token has scores (ln 3, 0), all others are even."""
        root = math.sqrt(math.log(3))
        expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        teacher = torch.tensor([[[root, root, 0.0], [0.0, 0.0, 0.0]]])
        loss = made("minilm", student=["part"], teacher=["part"], heads=1)
        found = loss(seen(torch.zeros(1, 2, 3), teacher))
        assert float(found) == pytest.approx(expected / 2, rel=1e-5)  # the mean over two tokens

    def test_the_attention_is_the_model_s_own(self) -> None:
        """``softmax(q kᵀ / √d)`` of one head is what attention gives for the identity as values."""
        q, k = draw_samples(1, 1, 5, 4), draw_samples(1, 1, 5, 4, seed=1)
        own = functional.scaled_dot_product_attention(q, k, torch.eye(5).expand(1, 1, 5, 5))
        from search.training.losses.attention_relations import _log_relation

        assert torch.allclose(_log_relation(q, k).exp(), own, atol=1e-6)

    def test_turning_the_space_of_a_head_changes_nothing(self) -> None:
        turn = torch.linalg.qr(draw_samples(4, 4, seed=3))[0]
        student, teacher = draw_samples(*self.shape), draw_samples(*self.shape, seed=1)
        turned = (student.unflatten(-1, (6, 4)) @ turn).flatten(2)
        assert float(self.compute(turned, teacher)) == pytest.approx(float(self.compute(student, teacher)), rel=1e-4)

    def test_three_parts_are_as_good_as_one(self) -> None:
        names = {"student": ["a", "b", "c"], "teacher": ["a", "b", "c"]}
        sides = [draw_samples(*self.shape), draw_samples(*self.shape, seed=1)]
        student, teacher = (answers(one, **dict(zip("abc", one.chunk(3, -1), strict=True))) for one in sides)
        loss = self.make(**names)
        assert float(loss(LossInputs(student, teacher))) == pytest.approx(float(self.compute(*sides)), rel=1e-6)

    def test_other_tokens_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="5 tokens, the teacher 6"):
            self.compute(draw_samples(2, 5, 24), draw_samples(2, 6, 24))

    def test_heads_that_do_not_divide_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="for 2 heads"):
            self.compute(draw_samples(2, 5, 21), draw_samples(2, 5, 24))


class TestRelationsOfTheSecondVersion(TestAttentionRelations):
    options: ClassVar[dict[str, Any]] = {
        "student": ["part"], "teacher": ["part"], "heads": 2, "relations": ("qq", "kk", "vv")
    }  # fmt: skip

    def test_a_known_answer(self) -> None:
        """The teacher's first token relates to itself by ln 3 in all three; the student's are even."""
        root = math.sqrt(math.log(3))
        expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
        teacher = torch.tensor([[[root, root, root], [0.0, 0.0, 0.0]]])
        loss = self.make(heads=1)
        assert float(loss(seen(torch.zeros(1, 2, 3), teacher))) == pytest.approx(3 * expected / 2, rel=1e-5)

    def test_a_narrower_student_has_relations_too(self) -> None:
        assert float(self.compute(draw_samples(2, 5, 12), draw_samples(2, 5, 24))) > 0


class TestTask(LossConformance):
    kind = LOSSES["task"]
    shape = (6, 3)

    def test_cross_entropy_by_itself(self) -> None:
        output = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
        assert float(made("task")(seen(output, labels=[0, 1]))) == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)

    def test_the_task_s_own(self) -> None:
        student, labels = answers(torch.ones(2, 3)), torch.tensor([4, 5])
        own = LossInputs(student, None, labels, lambda raw, labels: raw.sum() + labels.sum())
        assert float(made("task")(own)) == 15.0

    @pytest.mark.parametrize("name", ["task", "class_weighted"])
    def test_without_labels_they_say_so(self, name: str) -> None:
        options = {"classes": {1: 2.0}} if name == "class_weighted" else {}
        with pytest.raises(InvalidInput, match="needs labels"):
            made(name, **options).prepare(seen(torch.ones(2, 3)))


class TestClassWeighted(LossConformance):
    kind = LOSSES["class_weighted"]
    options: ClassVar[dict[str, Any]] = {"classes": {1: 3.0}}
    shape = (6, 3)

    def test_a_known_answer(self) -> None:
        """ln 4/3 of a class that weighs 1 and ln 2 of one that weighs 3: their weighted mean."""
        output = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])
        found = made("class_weighted", classes={1: 3.0})(seen(output, labels=[0, 1]))
        assert float(found) == pytest.approx((math.log(4 / 3) + 3 * math.log(2)) / 4)

    def test_equal_weights_change_nothing(self) -> None:
        output, labels = draw_samples(6, 3), [0, 1, 2, 0, 1, 2]
        equal = made("class_weighted", classes={0: 5.0, 1: 5.0, 2: 5.0})(seen(output, labels=labels))
        assert float(equal) == pytest.approx(float(made("task")(seen(output, labels=labels))), rel=1e-6)

    def test_a_heavier_class_pulls_harder(self) -> None:
        def pull(weight: float) -> float:
            output = torch.zeros(2, 2, requires_grad=True)
            made("class_weighted", classes={1: weight})(seen(output, labels=[0, 1])).backward()
            assert output.grad is not None
            return -float(output.grad[1, 1])

        assert pull(0.5) < pull(1.0) < pull(9.0)

    def test_classes_of_a_file_may_be_text(self) -> None:
        assert made("class_weighted", classes={"3": 2}).options.classes == {3: 2.0}

    def test_a_class_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="no class 3"):
            made("class_weighted", classes={3: 2.0}).prepare(seen(torch.ones(2, 3), labels=[0, 1]))


class TestMaking:
    @pytest.mark.parametrize(
        ("sections", "said"),
        [
            ({"lk": {}}, "losses: unknown loss 'lk'"),
            ({"kl": {"temprature": 2}}, "losses.kl.temprature: unknown key"),
            ({"kl": {"temperature": 0}}, "losses.kl.temperature"),
            ({"kl": {"weight": -1}}, "losses.kl.weight"),
            ({"cwd": {}}, "losses.cwd.features"),
            ({"minilm": {"student": ["a", "b"], "teacher": ["a"], "heads": 1}}, "losses.minilm.student"),
            ({"class_weighted": {"classes": {1: -1}}}, "losses.class_weighted.classes"),
        ],
    )
    def test_what_cannot_be_made_is_named(self, sections: dict[str, Any], said: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            make_losses(sections)
        assert caught.value.message.startswith(said)
        assert caught.value.hint

    def test_every_loss_that_ships_has_a_suite(self) -> None:
        suites = {*LossConformance.__subclasses__(), *DistillationConformance.__subclasses__()}
        assert {suite.kind for suite in suites - {DistillationConformance}} >= set(LOSSES.values())


class TestTapping:
    def test_parts_are_seen_and_let_go(self) -> None:
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        with FeatureTaps(net, ["0"], "student") as tapped:
            found = tapped((torch.ones(5, 3),))
            assert torch.equal(found.features["0"], net[0](torch.ones(5, 3)))
            assert torch.equal(found.output, net(torch.ones(5, 3)))
        assert not net[0]._forward_hooks

    def test_a_part_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="the teacher has no part '7'"):
            FeatureTaps(nn.Sequential(nn.Linear(3, 4)), ["7"], "teacher")

    @pytest.mark.parametrize("wrap", [lambda y: (y, None), lambda y: {"logits": y}, lambda y: [y]])
    def test_the_first_tensor_of_an_answer(self, wrap: Any) -> None:
        class Net(nn.Module):
            def forward(self, x: Tensor) -> Any:
                return wrap(x * 2)

        assert torch.equal(FeatureTaps(Net(), [], "student")((torch.ones(2, 2),)).output, torch.full((2, 2), 2.0))

    def test_an_answer_without_tensors_is_refused(self) -> None:
        class Net(nn.Module):
            def forward(self, x: Tensor) -> Any:
                return "nothing"

        with pytest.raises(InvalidInput, match="returned str"):
            FeatureTaps(Net(), [], "student")((torch.ones(2, 2),))
