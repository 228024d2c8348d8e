"""Multi-head attention made of plain layers, whose heads can be removed one by one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class PlainAttention(nn.Module):
    """Computes the same as :class:`torch.nn.MultiheadAttention`, with separate linear layers for query, key, value and
    output.

    May have fewer ``heads`` than the model's width holds. Never returns attention weights.
    """

    # torch's encoder layers read these to learn that their fused path does not apply.
    in_proj_bias = None
    _qkv_same_embed_dim = False
    batch_first: bool

    def __init__(self, source: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = source.num_heads
        self.batch_first = source.batch_first
        self.dropout = source.dropout
        weights: list[Tensor] = [source.q_proj_weight, source.k_proj_weight, source.v_proj_weight]
        if source.in_proj_weight is not None:
            weights = list(source.in_proj_weight.chunk(3))
        biases: list[Tensor | None] = [None] * 3
        if source.in_proj_bias is not None:
            biases = list(source.in_proj_bias.chunk(3))
        self.query, self.key, self.value = (_linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.out = _linear(source.out_proj.weight, source.out_proj.bias)
        self.train(source.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """See :meth:`torch.nn.MultiheadAttention.forward`; batches only, and the second result is always None."""
        if not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        padding = None if key_padding_mask is None else key_padding_mask[:, None, None]
        for mask in (_by_head(attn_mask, scores), padding):
            if mask is not None:
                scores = scores.masked_fill(mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
        weights = nn.functional.dropout(scores.softmax(-1), self.dropout, self.training)
        mixed: Tensor = self.out((weights @ v).transpose(1, 2).flatten(-2))
        return (mixed if self.batch_first else mixed.transpose(0, 1)), None


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    # skip_init: initialising the weights would advance the caller's random state.
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, 1, 1, bias=bias is not None)  # type: ignore[no-untyped-call]
    layer.out_features, layer.in_features = weight.shape
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return layer


def _by_head(mask: Tensor | None, scores: Tensor) -> Tensor | None:
    """Reshapes an attention mask ``(queries, keys)`` or ``(batch * heads, queries, keys)`` to add it to the scores."""
    return mask if mask is None or mask.ndim == 2 else mask.reshape(scores.shape)


def with_plain_attention(model: nn.Module) -> nn.Module:
    """Copies the model with each :class:`torch.nn.MultiheadAttention` replaced by a :class:`PlainAttention`, except
    those that add a bias or zeros to keys and values."""
    changed = copy.deepcopy(model)
    for name, module in list(changed.named_modules()):
        if type(module) is nn.MultiheadAttention and module.bias_k is None and not module.add_zero_attn and name:
            changed.set_submodule(name, PlainAttention(module))
        if isinstance(module, nn.TransformerEncoder):
            module.use_nested_tensor = False  # it would read the joint weights of query, key and value
    return changed
