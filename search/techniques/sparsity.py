"""Unstructured and N:M sparsity: zero weights, which compress well and speed up a few runtimes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import onnx
from pydantic import Field, field_validator

from evaluators.devices.device import Device
from evaluators.processes.sandbox_child import report
from search.bounds import MOST, MOST_AT_ONCE, MOST_ITEMS
from search.gains.whole_model import WholeModel, silent
from search.options import brief
from search.space.candidate import Decision
from search.space.offer import Offer
from search.techniques.base import TechniqueOptions
from search.techniques.module import ModuleTechnique

if TYPE_CHECKING:
    from torch import nn

    from search.training.constraint import TrainingConstraint
    from search.training.masks import Pattern

DECISION = "sparsity"
DENSE = "dense"
_IN_GROUPS = re.compile(r"([1-9]\d{0,4}):([1-9]\d{0,4})")


class SparsityOptions(TechniqueOptions):
    """The section ``sparsity`` of a job's space."""

    choices: tuple[str, ...] = Field(("0.5", "0.75", "0.9"), min_length=1, max_length=MOST_ITEMS)
    """Shares of the weights that are zero, or ``N:M``: N of each M weights along the inputs stay."""
    schedule: Literal["one_shot", "iterative", "gradual"] = "gradual"
    rounds: int = Field(5, ge=1, le=MOST)
    """Rounds of an ``iterative`` schedule."""
    share: float = Field(0.6, ge=0, le=1)
    """Share of the training in which weights become zero."""

    @field_validator("choices", mode="before")
    @classmethod
    def _as_text(cls, choices: Any) -> Any:
        if not isinstance(choices, list):
            return choices
        return [_text_of(choice) for choice in choices]

    @field_validator("choices")
    @classmethod
    def _check_choices(cls, choices: tuple[str, ...]) -> tuple[str, ...]:
        for choice in choices:
            _parse(choice)
        return choices


class SparsityTechnique(ModuleTechnique):
    """One decision for the whole model: how many weights of each linear and convolution layer are zero.

    Offered if the job wants a small file (``size_bytes`` counts all values, ``sparse_size_bytes`` only non-zero ones),
    or if a benchmark shows that a device runs the model faster with zeros.
    """

    Options = SparsityOptions
    options: SparsityOptions
    unchanged = DENSE

    def offer(self, device: Device | None, earlier: Offer) -> Offer:
        """Returns one decision with the worthwhile choices, after benchmarking them if only speed counts."""
        choices, answers = list(self.options.choices), []
        if not self.subject.small:
            answers = [] if device is None else [self._measure_zeros(device, choice) for choice in choices]
            choices = [answer["sparsity"] for answer in answers if _is_faster(answer)]
        decisions = (Decision(DECISION, (DENSE, *choices), "sparsity"),) if choices else ()
        return Offer(decisions, tuple(answers))

    def change(self, module: nn.Module, values: Mapping[str, str], way: float) -> nn.Module:
        """Returns the module as it is: :meth:`constraint` sets zeros, at once or during the training."""
        return module

    def constraint(self, module: nn.Module, values: Mapping[str, str], steps: int) -> TrainingConstraint | None:
        """See :meth:`ModuleTechnique.constraint`."""
        from search.training.schedules import Schedule
        from search.training.sparsifier import Sparsifier

        pattern, sparsity = _pattern(values[DECISION])
        curve = self.options.schedule
        schedule = Schedule(
            curve, final=sparsity, end=None if curve == "one_shot" else int(steps * self.options.share),
            every=max(1, steps // 50), rounds=self.options.rounds,
        )  # fmt: skip
        return Sparsifier(module, schedule, pattern)

    def _measure_zeros(self, device: Device, choice: str) -> dict[str, Any]:
        """Measures the fp32 model with so many zeros on the device."""
        report(f"benchmarking sparsity {choice}")
        answer = WholeModel(self.subject, device).measure_gain(
            ["sparse", choice], lambda: with_zeros(self.subject.model, choice), device.profile.runtime
        )
        return {
            "layer": "all", "precision": "fp32", "sparsity": choice, "values": {"sparsity": choice}, **answer
        }  # fmt: skip


def with_zeros(model: onnx.ModelProto, choice: str) -> onnx.ModelProto:
    """Returns a copy of a graph in which the share ``choice`` of the smallest weights is zero."""
    import numpy as np
    import torch
    from onnx import numpy_helper

    pattern, sparsity = _pattern(choice)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if len(tensor.dims) < 2 or tensor.data_type != onnx.TensorProto.FLOAT:
            continue
        values = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        if pattern.fits(values):
            zeros = values.masked_fill(~pattern.mask(values, sparsity), 0.0)
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(zeros.numpy()), tensor.name))
    return copy


def _is_faster(answer: dict[str, Any]) -> bool:
    """Returns whether a choice is clearly faster than the fp32 model; also if there was no answer."""
    return silent(answer) or ("ci95" in answer and answer["ci95"][0] > 1)


def _text_of(choice: Any) -> Any:
    if isinstance(choice, int):
        return str(choice)
    return f"{choice:g}" if isinstance(choice, float) else choice


def _parse(choice: str) -> tuple[int | None, float]:
    """Returns the size of the groups (None: no groups), and the share of zeros."""
    groups = _IN_GROUPS.fullmatch(choice)
    if groups is not None and int(groups[1]) < int(groups[2]) <= MOST_AT_ONCE:
        return int(groups[2]), 1 - int(groups[1]) / int(groups[2])
    try:
        share = float(choice)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise ValueError(f"{brief(choice)!r} is no sparsity: write a share such as 0.75, or N:M such as '2:4'")
    return None, share


def _pattern(choice: str) -> tuple[Pattern, float]:
    from search.training.masks import InGroups, Unstructured

    group, share = _parse(choice)
    return (Unstructured() if group is None else InGroups(group)), share
