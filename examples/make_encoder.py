"""Makes encoder.onnx and encoder.npz beside this file: a transformer encoder of one's own and samples for it.

    python make_encoder.py

Six layers, hidden size 384, 128 tokens, trained for a moment to recover masked tokens of made-up sentences, so that its
outputs mean something.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

VOCABULARY, HIDDEN, LAYERS, HEADS, TOKENS, MASK = 1000, 384, 6, 12, 128, 1


class Attention(nn.Module):
    """Multi-head self-attention."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(HIDDEN, HIDDEN) for _ in range(4))

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``x`` is ``(batch, tokens, hidden)``; ``bias`` is added to the scores."""
        split = (HEADS, HIDDEN // HEADS)
        q, k, v = (layer(x).unflatten(-1, split).transpose(1, 2) for layer in (self.query, self.key, self.value))
        scores = q @ k.transpose(-1, -2) / (HIDDEN // HEADS) ** 0.5 + bias
        mixed: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))
        return mixed


class Layer(nn.Module):
    """Attention and two dense layers, each with a residual sum and a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm1 = Attention(), nn.LayerNorm(HIDDEN)
        self.up, self.down = nn.Linear(HIDDEN, 4 * HIDDEN), nn.Linear(4 * HIDDEN, HIDDEN)
        self.norm2 = nn.LayerNorm(HIDDEN)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``(batch, tokens, hidden)`` in and out."""
        x = self.norm1(x + self.attention(x, bias))
        out: Tensor = self.norm2(x + self.down(nn.functional.gelu(self.up(x))))
        return out


class Encoder(nn.Module):
    """Token ids and their mask, both ``(batch, tokens)``, to states ``(batch, tokens, hidden)``."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, HIDDEN), nn.Embedding(TOKENS, HIDDEN)
        nn.init.normal_(self.words.weight, std=0.05)
        nn.init.normal_(self.places.weight, std=0.05)
        self.norm = nn.LayerNorm(HIDDEN)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """See the class."""
        x = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
        bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * -10000.0
        for layer in self.layers:
            x = layer(x, bias)
        return x


def sentences(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Ids ``(count, tokens)`` that follow simple rules (each token leads to one of three), and their masks."""
    follow = np.random.default_rng(1).integers(2, VOCABULARY, (VOCABULARY, 3))
    ids = np.zeros((count, TOKENS), np.int64)
    ids[:, 0] = rng.integers(2, VOCABULARY, count)
    for place in range(1, TOKENS):
        ids[:, place] = follow[ids[:, place - 1], rng.integers(0, 3, count)]
    lengths = rng.integers(TOKENS // 2, TOKENS + 1, count)
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int64)
    return ids * mask, mask


def train(model: Encoder, steps: int) -> None:
    """A moment of masked-token training."""
    rng = np.random.default_rng(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    for step in range(1, steps + 1):
        ids, mask = sentences(8, rng)
        hidden = (rng.random(ids.shape) < 0.15) & (mask == 1)
        states = model(torch.from_numpy(np.where(hidden, MASK, ids)), torch.from_numpy(mask))
        logits = states[torch.from_numpy(hidden)] @ model.words.weight.T
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(ids[hidden]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step} of {steps}, loss {loss.item():.2f}", file=sys.stderr, flush=True)


def main(folder: Path, steps: int = 60, samples: int = 160) -> None:
    """Writes both files into ``folder``."""
    torch.manual_seed(0)
    model = Encoder()
    train(model, steps)
    ids, mask = sentences(samples, np.random.default_rng(3))
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(), (torch.from_numpy(ids[:1]), torch.from_numpy(mask[:1])), str(folder / "encoder.onnx"),
            dynamo=False, opset_version=17, input_names=["ids", "mask"], output_names=["states"],
            dynamic_axes={name: {0: "batch"} for name in ("ids", "mask", "states")},
        )  # fmt: skip
    np.savez(folder / "encoder.npz", ids=ids, mask=mask)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
