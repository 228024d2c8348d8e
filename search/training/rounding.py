"""Rounding to a number format while training: the forward pass sees the format's values, the backward pass does not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from evaluators.graphs.number_format import NumberFormat

_EDGE = 1 + 2.0**-22
"""What a scale is made of can lie so much beyond it, as both are rounded: it is not clipped."""


def rounded(values: Tensor, form: NumberFormat) -> Tensor:
    """The nearest values of the format, as :meth:`NumberFormat.round` has them: float32 of ``values``' own shape.

    Formats are three numbers in one rule, so that changing from one to another costs nothing. No gradient.
    """
    limited = values.float().clamp(-form.largest, form.largest)
    if form.is_integer:  # all steps are 1
        return limited.round_()
    # The exponent's bits alone are 2 ** floor(log2|x|); 0 for what is smaller than any format's first step.
    power = (limited.view(torch.int32) & 0x7F800000).view(torch.float32)
    steps = power.clamp_(min=2.0**form.exponent).mul_(2.0**-form.mantissa)
    return limited.div_(steps).round_().mul_(steps)


class _Scaled(torch.autograd.Function):
    """Values in units of a scale, rounded. Gradients pass straight through (Bengio et al., arXiv:1308.3432, 2013) where
    nothing was clipped; the scale's own is that of LSQ (Esser et al., ICLR 2020)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, form: NumberFormat) -> Tensor:
        scaled = values.float() / scale
        units = rounded(scaled, form)
        inside = scaled.abs() <= form.largest * _EDGE
        if ctx.needs_input_grad[1]:
            # d(units * scale) / d(scale): the error of rounding inside, the largest value outside.
            ctx.save_for_backward(inside, torch.where(inside, torch.sub(units, scaled, out=scaled), units))
        else:
            ctx.save_for_backward(inside, None)
        return units.mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        inside, slopes = ctx.saved_tensors
        (gradient,) = gradients
        scale = None if slopes is None else (gradient * slopes).sum()
        return torch.where(inside, gradient, 0.0), scale, None


def _in_units(values: Tensor, scale: Tensor, form: NumberFormat) -> Tensor:
    if not torch.is_grad_enabled():
        return rounded(values.float() / scale, form).mul_(scale)
    answer: Tensor = _Scaled.apply(values, scale, form)  # type: ignore[no-untyped-call]
    return answer


def rounded_weight(weight: Tensor, form: NumberFormat) -> Tensor:
    """A weight in a format, each channel of its first axis scaled so that its largest magnitude is the format's."""
    scale = weight.detach().abs().flatten(1).amax(1) / form.largest
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    per_channel = scale.view(-1, *[1] * (weight.ndim - 1))
    return _in_units(weight, per_channel, form)


def rounded_input(values: Tensor, bound: Tensor, form: NumberFormat) -> Tensor:
    """A layer's input in a format, scaled so that ``bound`` (a scalar above 0, which can be trained) is the format's
    largest value; what lies beyond is clipped."""
    return _in_units(values, bound / form.largest, form)
