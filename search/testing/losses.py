"""Conformance suites of losses: a loss's test class subclasses :class:`LossConformance`, or, if it compares with a
teacher and is 0 where student and teacher agree, :class:`DistillationConformance`.

    from my_package.absolute import Absolute
    from search.testing.losses import DistillationConformance

    class TestAbsolute(DistillationConformance):
        kind = Absolute
        shape = (5, 7)

Needs pytest. The loss must be registered, or be an entry point of an installed package.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hwprofiles.errors import InvalidInput
from search.training.losses import LOSSES, Loss
from search.training.outputs import LossInputs, ModuleOutputs


def draw_samples(*shape: int, seed: int = 0) -> Tensor:
    """Normally distributed values, always the same for a seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class LossConformance:
    """What every loss promises."""

    kind: ClassVar[type[Loss]]
    options: ClassVar[dict[str, Any]] = {}
    """Options that it is made with."""
    shape: ClassVar[tuple[int, ...]]
    """Shape of the student's output, and of all submodules' outputs that the loss reads: ``(samples, …, classes)``."""

    def make(self, **options: Any) -> Loss:
        """Makes the loss with :attr:`options` and these."""
        return self.kind(self.kind.Options(**(self.options | options)))

    def batch(self, loss: Loss, student: Tensor, teacher: Tensor | None = None) -> LossInputs:
        """Makes a batch in which every output that ``loss`` reads is ``student`` or ``teacher``; labels are drawn."""
        of_student, of_teacher = loss.taps
        classes = torch.arange(student[..., 0].numel()) % student.shape[-1]
        return LossInputs(
            ModuleOutputs(student, student, dict.fromkeys(of_student, student)),
            None if teacher is None else ModuleOutputs(teacher, teacher, dict.fromkeys(of_teacher, teacher)),
            classes.reshape(student.shape[:-1]),
        )

    def compute(self, student: Tensor, teacher: Tensor | None = None, **options: Any) -> Tensor:
        """Computes a new loss of the first batch of a training."""
        loss = self.make(**options)
        batch = self.batch(loss, student, teacher)
        loss.prepare(batch)
        value: Tensor = loss(batch)
        return value

    def draw_pair(self) -> tuple[Tensor, Tensor | None]:
        """Outputs of a student, and of a teacher if the loss compares with one."""
        teacher = draw_samples(*self.shape, seed=1) if self.kind.of_teacher else None
        return draw_samples(*self.shape), teacher

    def test_it_is_registered(self) -> None:
        assert self.kind in LOSSES.values()

    def test_it_is_documented(self) -> None:
        assert self.kind.__doc__

    def test_unknown_options_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="not permitted"):
            self.make(wieght=2.0)

    def test_it_is_a_finite_scalar(self) -> None:
        value = self.compute(*self.draw_pair())
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)

    def test_its_weight_is_left_to_the_training(self) -> None:
        student, teacher = self.draw_pair()
        weighted = self.compute(student, teacher, weight=3.0)
        assert float(weighted.detach()) == pytest.approx(float(self.compute(student, teacher).detach()))

    def test_it_does_not_depend_on_the_number_of_samples(self) -> None:
        student, teacher = self.draw_pair()
        twice = self.compute(torch.cat([student] * 2), None if teacher is None else torch.cat([teacher] * 2))
        assert float(twice.detach()) == pytest.approx(float(self.compute(student, teacher).detach()), rel=1e-5)

    def test_a_gradient_reaches_the_student(self) -> None:
        student, teacher = self.draw_pair()
        (gradient,) = torch.autograd.grad(self.compute(student.requires_grad_(), teacher), student)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0

    def test_it_remembers_nothing_but_parameters(self) -> None:
        student, teacher = self.draw_pair()
        loss = self.make()
        batch = self.batch(loss, student, teacher)
        loss.prepare(batch)
        first = loss(batch)
        loss(self.batch(loss, student * 2, teacher))
        assert torch.equal(loss(batch), first)
        assert not list(loss.buffers())


class DistillationConformance(LossConformance):
    """What a loss promises that leads a student to its teacher."""

    def test_it_compares_with_a_teacher(self) -> None:
        assert self.kind.of_teacher

    def test_it_is_nothing_at_equality(self) -> None:
        same = draw_samples(*self.shape)
        assert float(self.compute(same, same.clone())) == pytest.approx(0, abs=1e-6)

    def test_it_is_something_elsewhere(self) -> None:
        assert float(self.compute(draw_samples(*self.shape), draw_samples(*self.shape, seed=1))) > 1e-3

    def test_its_gradient_leads_to_the_teacher(self) -> None:
        student, teacher = draw_samples(*self.shape).requires_grad_(), draw_samples(*self.shape, seed=1)
        first = self.compute(student, teacher.requires_grad_())
        (gradient,) = torch.autograd.grad(first, student)
        near = student.detach() - 1e-2 * gradient / gradient.norm()
        assert self.compute(near, teacher.detach()) < first

    def test_without_a_teacher_it_says_so(self) -> None:
        loss = self.make()
        with pytest.raises(InvalidInput, match="there is no") as caught:
            loss.prepare(self.batch(loss, draw_samples(*self.shape)))
        assert caught.value.hint
