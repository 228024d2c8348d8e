"""Distillation of how a transformer's tokens relate to one another."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from hwprofiles.errors import InvalidInput
from search.training.losses.base import Loss, LossOptions, teacher_of
from search.training.outputs import Answers, Seen

Relation = Literal["qk", "qq", "kk", "vv"]
_PARTS = "qkv"


class AttentionRelationsOptions(LossOptions):
    """``student`` and ``teacher`` name the parts that give queries, keys and values, ``(n, tokens, width)`` each, or
    the one part that gives all three side by side. ``heads`` is into how many equal parts the widths are cut."""

    student: tuple[str, ...]
    teacher: tuple[str, ...]
    heads: int = Field(ge=1)
    relations: tuple[Relation, ...] = Field(("qk", "vv"), min_length=1)

    @field_validator("student", "teacher")
    @classmethod
    def _parts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) not in (1, 3):
            raise ValueError("name the query, key and value parts, or the one that gives all three")
        return value


class AttentionRelations(Loss):
    """KL in nats from the teacher's to the student's relations, ``softmax(a bᵀ / √width of a head)`` over tokens;
    mean over samples, heads and tokens, sum over relations.

    ``qk`` and ``vv``, the attention and the value relation, are MiniLM (Wang et al., NeurIPS 2020), of the last layer
    and with the model's own heads; ``qq``, ``kk`` and ``vv`` are MiniLMv2 (Wang et al., Findings of ACL 2021), of any
    layer and with a number of relation heads of one's own, so that student and teacher may differ in heads and width.
    Knows of no attention mask: batches are best without padding.
    """

    Options = AttentionRelationsOptions
    of_teacher = True

    @property
    def taps(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """See :meth:`Loss.taps`."""
        return self.options.student, self.options.teacher

    def prepare(self, seen: Seen) -> None:
        """See :meth:`Loss.prepare`."""
        student = self._heads(seen.student, self.options.student)["q"]
        teacher = self._heads(teacher_of(seen), self.options.teacher)["q"]
        if student.shape[:3] != teacher.shape[:3]:
            raise InvalidInput(
                f"losses.minilm: the student has {student.shape[2]} tokens, the teacher {teacher.shape[2]}",
                "compare layers that see the same tokens",
            )

    def forward(self, seen: Seen) -> Tensor:
        """See :meth:`Loss.forward`."""
        student = self._heads(seen.student, self.options.student)
        teacher = self._heads(teacher_of(seen), self.options.teacher)
        total = seen.student.output.new_zeros(())
        for a, b in self.options.relations:
            total = total + functional.kl_div(
                _log_relation(student[a], student[b]).flatten(0, 2),
                _log_relation(teacher[a], teacher[b]).flatten(0, 2),
                reduction="batchmean",
                log_target=True,
            )
        return total

    def _heads(self, answers: Answers, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Queries, keys and values ``(n, heads, tokens, width of a head)``."""
        given = [answers.features[name] for name in names]
        heads = self.options.heads
        for name, values in zip(names, given, strict=True):
            if values.ndim != 3 or values.shape[-1] % (heads * (3 if len(names) == 1 else 1)):
                raise InvalidInput(
                    f"losses.minilm: {name!r} gives {tuple(values.shape)}, not (n, tokens, width) for {heads} heads",
                    "name the layers that give queries, keys and values, and heads that divide their widths",
                )
        parts = given[0].chunk(3, dim=-1) if len(given) == 1 else given
        return {
            name: values.reshape(*values.shape[:-1], heads, values.shape[-1] // heads).transpose(1, 2)
            for name, values in zip(_PARTS, parts, strict=True)
        }


def _log_relation(a: Tensor, b: Tensor) -> Tensor:
    return functional.log_softmax(a @ b.transpose(-1, -2) / a.shape[-1] ** 0.5, dim=-1)
