"""What the menagerie's models share: data to feed them, and the list of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

Feed = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Animal:
    """A model and a maker of inputs; ``layers`` is how many groups it has at least (0: exactly none)."""

    name: str
    build: Callable[[], onnx.ModelProto]
    feed: Callable[[np.random.Generator], Feed]
    layers: int = 1

    def feeds(self, count: int = 4, seed: int = 1) -> list[Feed]:
        rng = np.random.default_rng(seed)
        return [self.feed(rng) for _ in range(count)]


ANIMALS: dict[str, Animal] = {}


def animal(
    feed: Callable[[np.random.Generator], Feed], layers: int = 1
) -> Callable[[Callable[[], onnx.ModelProto]], Callable[[], onnx.ModelProto]]:
    def register(build: Callable[[], onnx.ModelProto]) -> Callable[[], onnx.ModelProto]:
        ANIMALS[build.__name__] = Animal(build.__name__, build, feed, layers)
        return build

    return register


def normal(*shape: int, name: str = "x") -> Callable[[np.random.Generator], Feed]:
    return lambda rng: {name: rng.standard_normal(shape).astype(np.float32)}


def ids(batch: int = 2, tokens: int = 12, mask: bool = False) -> Callable[[np.random.Generator], Feed]:
    def feed(rng: np.random.Generator) -> Feed:
        found: Feed = {"ids": rng.integers(0, 100, (batch, tokens))}
        if mask:
            lengths = rng.integers(tokens // 2, tokens + 1, batch)
            found["mask"] = (np.arange(tokens)[None] < lengths[:, None]).astype(np.int64)
        return found

    return feed
