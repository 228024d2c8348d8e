"""A small vision transformer (Dosovitskiy et al., ICLR 2021) for one-channel images."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Scaled dot-product attention of ``heads`` heads, with separate linear layers for query, key, value and
    output."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens ``(n, tokens, width)`` to tokens of the same shape."""
        q, k, v = (self._heads_of(layer(x)) for layer in (self.query, self.key, self.value))
        # A constant, not q's last axis: pruning channels of a single head must not change the scale.
        scores = q @ k.transpose(-1, -2) / self.size**0.5
        mixed = (scores.softmax(-1) @ v).transpose(1, 2)
        tokens, heads, size = _sizes(mixed)
        out: Tensor = self.out(mixed.reshape(-1, tokens, heads * size))
        return out

    def _heads_of(self, x: Tensor) -> Tensor:
        """Reshapes ``(n, tokens, channels)`` to ``(n, heads, tokens, channels / heads)``."""
        tokens, channels = _sizes(x)
        return x.reshape(-1, tokens, self.heads, channels // self.heads).transpose(1, 2)


class Perceptron(nn.Module):
    """Two linear layers, the inner one four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens ``(n, tokens, width)`` to tokens of the same shape."""
        out: Tensor = self.down(nn.functional.gelu(self.up(x)))
        return out


class TransformerBlock(nn.Module):
    """Attention and perceptron, each after its own norm and with a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), SelfAttention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width), Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps tokens ``(n, tokens, width)`` to tokens of the same shape."""
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTransformer(nn.Module):
    """``depth`` blocks over the square patches of an image; classifies the mean of the tokens. No class token, no
    dropout.

    Takes images of ``size`` by ``size`` pixels, a multiple of ``patch``. ``width`` is a multiple of ``heads``.
    """

    def __init__(self, *, size: int, patch: int, width: int, heads: int, depth: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, patch, patch)
        # As large as the patch embeddings: with the usual 0.02, the first epochs learn nothing.
        self.places = nn.Parameter(0.5 * torch.randn(1, (size // patch) ** 2, width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Maps images ``(n, 1, size, size)`` to logits ``(n, classes)``."""
        x = self.patches(x)
        width, rows, columns = _sizes(x)
        x = x.reshape(-1, width, rows * columns).transpose(1, 2) + self.places
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.head(self.norm(x).mean(1))
        return logits


def _sizes(x: Tensor) -> list[int]:
    """Returns all sizes except the batch's as integers, so that the export makes them constants and does not compute
    them."""
    return [int(size) for size in x.shape[1:]]
