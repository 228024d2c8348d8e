"""Distillation of the relations between a transformer's tokens."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor
from torch.nn import functional

from hwprofiles.errors import InvalidInput
from search.bounds import MOST_AT_ONCE
from search.training.losses.base import Loss, LossOptions, teacher_of
from search.training.outputs import LossInputs, ModuleOutputs

Relation = Literal["qk", "qq", "kk", "vv"]
_PARTS = "qkv"


class AttentionRelationsOptions(LossOptions):
    """Options of :class:`AttentionRelations`."""

    student: tuple[str, ...]
    """Names of three submodules with the queries, keys and values ``(n, tokens, width)``, or of one with all three
    concatenated."""
    teacher: tuple[str, ...]
    """Likewise for the teacher."""
    heads: int = Field(ge=1, le=MOST_AT_ONCE)
    """Number of equal parts that the widths are split into."""
    relations: tuple[Relation, ...] = Field(("qk", "vv"), min_length=1)
    """Which products are compared."""

    @field_validator("student", "teacher")
    @classmethod
    def _parts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) not in (1, 3):
            raise ValueError("name the query, key and value parts, or one part that outputs all three")
        return value


class AttentionRelations(Loss):
    """KL in nats from the teacher's to the student's relations, ``softmax(a bᵀ / √width of a head)`` over tokens;
    mean over samples, heads and tokens, sum over relations.

    MiniLM (Wang et al., NeurIPS 2020) uses ``qk`` and ``vv``, the attention and value relations, of the last layer with
    the model's own heads. MiniLMv2 (Wang et al., Findings of ACL 2021) uses ``qq``, ``kk`` and ``vv`` of any layer with
    a free number of relation heads, so that student and teacher may differ in heads and width. Ignores attention masks:
    batches are best without padding.
    """

    Options = AttentionRelationsOptions
    of_teacher = True

    @property
    def taps(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """See :meth:`Loss.taps`."""
        return self.options.student, self.options.teacher

    def prepare(self, batch: LossInputs) -> None:
        """See :meth:`Loss.prepare`."""
        student = self._heads(batch.student, self.options.student)["q"]
        teacher = self._heads(teacher_of(batch), self.options.teacher)["q"]
        if student.shape[:3] != teacher.shape[:3]:
            raise InvalidInput(
                f"losses.minilm: the student has {student.shape[2]} tokens, the teacher {teacher.shape[2]}",
                "compare layers with the same number of tokens",
            )

    def forward(self, batch: LossInputs) -> Tensor:
        """See :meth:`Loss.forward`."""
        student = self._heads(batch.student, self.options.student)
        teacher = self._heads(teacher_of(batch), self.options.teacher)
        total = batch.student.output.new_zeros(())
        for a, b in self.options.relations:
            total = total + functional.kl_div(
                _log_relation(student[a], student[b]).flatten(0, 2),
                _log_relation(teacher[a], teacher[b]).flatten(0, 2),
                reduction="batchmean",
                log_target=True,
            )
        return total

    def _heads(self, outputs: ModuleOutputs, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Splits queries, keys and values into ``(n, heads, tokens, width of a head)``."""
        features = [outputs.features[name] for name in names]
        heads = self.options.heads
        for name, values in zip(names, features, strict=True):
            if values.ndim != 3 or values.shape[-1] % (heads * (3 if len(names) == 1 else 1)):
                raise InvalidInput(
                    f"losses.minilm: {name!r} outputs {tuple(values.shape)}, not (n, tokens, width) for {heads} heads",
                    "name layers that output queries, keys and values, and a number of heads that divides their widths",
                )
        parts = features[0].chunk(3, dim=-1) if len(features) == 1 else features
        return {
            name: values.reshape(*values.shape[:-1], heads, values.shape[-1] // heads).transpose(1, 2)
            for name, values in zip(_PARTS, parts, strict=True)
        }


def _log_relation(a: Tensor, b: Tensor) -> Tensor:
    return functional.log_softmax(a @ b.transpose(-1, -2) / a.shape[-1] ** 0.5, dim=-1)
