"""Layer-wise relevance propagation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from search.pruning.criteria.base import Batch, Criterion, LossFunction, Needs, Sees, by_block
from search.pruning.criteria.folding import channel_axis, fold_batch_norms, producers_of
from search.pruning.groups import ChannelGroup
from search.pruning.tensors import BATCH_NORMS, CONVOLUTIONS
from search.pruning.tracing import forward_hooks

EPSILON = 1e-6
Rule = Literal["epsilon", "alpha_beta"]
Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class Relevance(Criterion):
    """Share of the right class's output that a channel accounts for, by layer-wise relevance propagation: *Pruning by
    Explaining* (Yeom et al., Pattern Recognition, 2021).

    Relevance starts as the output of each sample's class and propagates back by the ``epsilon`` rule or the
    ``alpha_beta`` rule with ``beta = alpha - 1`` (Bach et al., PLoS ONE, 2015). The propagated quantity is relevance
    over activation: autograd then treats sums, means and rectifiers as the z-rule does, and only layers with weights
    need a rule of their own; batch normalisation is folded into them first. A channel's score is the absolute relevance
    summed over its positions and layers, averaged over samples; comparable between groups, since each layer distributes
    the same total. For networks of convolutions, linear layers and batch normalisation with one output ``(batch,
    classes)``.

    Detects dead channels, also those that no layer reads; not duplicates, which share their relevance. Needs labelled
    batches.
    """

    needs: ClassVar[Needs] = Needs.LABELS
    sees: ClassVar[frozenset[Sees]] = frozenset({Sees.DEAD})

    def __init__(
        self,
        *,
        seed: int = 0,
        loss: LossFunction = nn.functional.cross_entropy,
        rule: Rule = "epsilon",
        alpha: float = 1.0,
    ) -> None:
        super().__init__(seed=seed, loss=loss)
        if rule not in ("epsilon", "alpha_beta") or alpha < 1:
            raise InvalidInput("no such rule of relevance", "use epsilon, or alpha_beta with alpha of at least 1")
        self.rule = rule
        self.alpha = alpha

    def block_scores(
        self, model: nn.Module, groups: Sequence[ChannelGroup], batches: Sequence[Batch]
    ) -> Mapping[str, Tensor]:
        """See :meth:`Criterion.block_scores`."""
        fold_batch_norms(model, batches[0].inputs)
        _check(model)
        wanted = producers_of(groups)
        scores = {group.name: torch.zeros(len(group.blocks), dtype=torch.float64) for group in groups}
        samples = sum(len(batch.inputs[0]) for batch in batches)
        for batch in batches:
            for name, relevance in self._relevance(model, batch, set(wanted)).items():
                for group, indices in wanted[name]:
                    rows = torch.stack([by_block(sample, indices) for sample in relevance])
                    scores[group] += rows.abs().sum(0).cpu() / samples
        return scores

    def _relevance(self, model: nn.Module, batch: Batch, wanted: set[str]) -> dict[str, Tensor]:
        """Computes by layer the relevance of each channel of its output: ``(samples, channels)``."""
        outputs: dict[str, Tensor] = {}

        def follow(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
            if not isinstance(module, (nn.Linear, *CONVOLUTIONS)):
                return None
            changed = (
                _AlphaBeta.apply(inputs[0], output.detach(), module, self.alpha)  # type: ignore[no-untyped-call]
                if self.rule == "alpha_beta"
                else _Epsilon.apply(output)  # type: ignore[no-untyped-call]
            )
            if name in wanted:
                changed.retain_grad()
                outputs[name] = changed
            return changed

        inputs = tuple(x.detach().requires_grad_(x.is_floating_point()) for x in batch.inputs)
        with forward_hooks(model, follow):
            logits = model(*inputs)
        if batch.labels is None or not isinstance(logits, Tensor) or logits.ndim != 2:
            raise InvalidInput("relevance needs one output (batch, classes)", "choose another criterion")
        logits.gather(1, batch.labels[:, None]).sum().backward()  # type: ignore[no-untyped-call]
        by_layer = {}
        for name, output in outputs.items():
            if output.grad is None:
                continue
            relevance = (output.detach() * output.grad).movedim(channel_axis(model.get_submodule(name)), 1)
            by_layer[name] = relevance.flatten(2).sum(2) if relevance.ndim > 2 else relevance
        return by_layer


class _Epsilon(torch.autograd.Function):
    """Scales the gradient by ``|y| / (|y| + epsilon)``: distributes relevance over ``y + epsilon sign(y)``."""

    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        ctx.save_for_backward(output)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *flowing: Any) -> Any:
        (output,) = ctx.saved_tensors
        return flowing[0] * output.abs() / (output.abs() + EPSILON)


class _AlphaBeta(torch.autograd.Function):
    """Distributes relevance over positive contributions (``alpha`` of it) and negative ones (``-beta`` of it)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, output: Tensor, layer: nn.Module, alpha: float) -> Tensor:
        ctx.save_for_backward(x, output)
        ctx.layer, ctx.alpha = layer, alpha
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *flowing: Any) -> Any:
        x, output = ctx.saved_tensors
        relevance = output * flowing[0]
        total = torch.zeros_like(x)
        for share, sign in ((ctx.alpha, 1.0), (1.0 - ctx.alpha, -1.0)):
            if share:
                total = total + share * _distribute(ctx.layer, x.detach(), relevance, sign)
        return total, None, None, None


def _distribute(layer: Layer, x: Tensor, relevance: Tensor, sign: float) -> Tensor:
    """Computes relevance over input from the contributions of one sign; the bias takes its share."""
    with torch.enable_grad():
        positive = x.clamp(min=0).requires_grad_()
        negative = x.clamp(max=0).requires_grad_()
        weights = layer.weight.detach()
        like_sign, opposite = (sign * weights).clamp(min=0) * sign, (sign * weights).clamp(max=0) * sign
        bias = None if layer.bias is None else (sign * layer.bias.detach()).clamp(min=0) * sign
        z = _linear(layer, positive, like_sign, bias) + _linear(layer, negative, opposite, None)
        shares = relevance / (z + sign * EPSILON)
        above, below = torch.autograd.grad(z, (positive, negative), shares)
    return torch.where(x >= 0, above, below)


def _linear(layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return nn.functional.linear(x, weight, bias)
    output: Tensor = layer._conv_forward(x, weight, bias)
    return output


def _check(model: nn.Module) -> None:
    for name, module in model.named_modules():
        weights = list(module.parameters(recurse=False))
        if weights and not isinstance(module, (nn.Linear, *CONVOLUTIONS, *BATCH_NORMS)):
            raise InvalidInput(
                f"relevance has no rule for {name} ({type(module).__name__})",
                "choose another criterion: this one supports convolutions, linear layers and batch normalisation",
            )
