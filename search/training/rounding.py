"""Fake quantisation: the forward pass rounds to a number format, the backward pass is a straight-through estimator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from evaluators.graphs.number_format import NumberFormat

_EDGE = 1 + 2.0**-22
"""Tolerance at the format's largest value, so that the value that defines the scale does not count as clipped."""


def round_to_format(values: Tensor, form: NumberFormat) -> Tensor:
    """Rounds to the nearest values of the format, as :meth:`NumberFormat.round` does; float32, same shape, no
    gradient.

    Implements all formats by one rule of three numbers, so that switching between them costs nothing.
    """
    limited = values.float().clamp(-form.largest, form.largest)
    if form.is_integer:  # all steps are 1
        return limited.round_()
    # The exponent's bits alone are 2 ** floor(log2|x|); 0 for what is smaller than any format's first step.
    power = (limited.view(torch.int32) & 0x7F800000).view(torch.float32)
    steps = power.clamp_(min=2.0**form.exponent).mul_(2.0**-form.mantissa)
    return limited.div_(steps).round_().mul_(steps)


class _Scaled(torch.autograd.Function):
    """Rounds values in units of a scale.

    Gradients of values pass straight through (Bengio et al., arXiv:1308.3432, 2013) unless clipped; the gradient of the
    scale is that of LSQ (Esser et al., ICLR 2020).
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, scale: Tensor, form: NumberFormat) -> Tensor:
        scaled = values.float() / scale
        units = round_to_format(scaled, form)
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


def _round_in_units(values: Tensor, scale: Tensor, form: NumberFormat) -> Tensor:
    if not torch.is_grad_enabled():
        return round_to_format(values.float() / scale, form).mul_(scale)
    output: Tensor = _Scaled.apply(values, scale, form)  # type: ignore[no-untyped-call]
    return output


def round_weight(weight: Tensor, form: NumberFormat) -> Tensor:
    """Rounds a weight to a format, per channel of its first axis; the scale maps the channel's largest magnitude to the
    format's."""
    scale = weight.detach().abs().flatten(1).amax(1) / form.largest
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    per_channel = scale.view(-1, *[1] * (weight.ndim - 1))
    return _round_in_units(weight, per_channel, form)


def round_input(values: Tensor, bound: Tensor, form: NumberFormat) -> Tensor:
    """Rounds a layer's input to a format; clips at ``bound``, a trainable scalar above 0 that maps to the format's
    largest value."""
    return _round_in_units(values, bound / form.largest, form)
