"""Shortcuts of a model: the layers that their sums begin and end at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from search.pruning.tensors import CONVOLUTIONS, TRANSPOSED
from search.pruning.tracing import Inputs, forward_hooks, tensors_in

_LAYERS = (nn.Linear, nn.Embedding, *CONVOLUTIONS, *TRANSPOSED)
_SUMS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
_INPUTS = ""
"""Stands for the model's inputs among the layers that a tensor comes from."""

Sources = frozenset[str]
"""Layers whose outputs a tensor is made of, without another layer in between."""


@dataclass(frozen=True)
class Skips:
    """The layers at both ends of a model's shortcuts."""

    starts: frozenset[str]
    """Layers that read what a shortcut passes around them; also a projection on the shortcut."""
    ends: frozenset[str]
    """Layers whose outputs are added to a shortcut."""


def find_skips(model: nn.Module, example: Inputs) -> Skips:
    """Runs the model and finds the sums of two tensors of one shape that come from a common tensor on two ways."""
    trace = _Trace()
    trace.note(example, frozenset({_INPUTS}))

    def after(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(module, _LAYERS):
            trace.reads[name] = trace.sources(inputs)
            trace.note(output, frozenset({name}))

    with torch.no_grad(), forward_hooks(model, after), trace:
        model(*example)
    starts: set[str] = set()
    ends: set[str] = set()
    for left, right in trace.sums:
        before_left, before_right = (_ancestors(side, trace.reads) for side in (left, right))
        common, between = before_left & before_right, before_left ^ before_right
        if common - {_INPUTS}:
            starts |= {layer for layer in between if trace.reads[layer] <= common}
            ends |= (left | right) - common
    return Skips(frozenset(starts), frozenset(ends))


class _Trace(TorchFunctionMode):
    """Follows which layers each tensor of a run comes from."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: dict[str, Sources] = {}
        """By layer, what it read last."""
        self.sums: list[tuple[Sources, Sources]] = []
        self._sources: dict[int, tuple[Tensor, Sources]] = {}
        """By id; holds the tensors, so that no id is used twice."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        operands = [value for value in args[:2] if isinstance(value, Tensor)]
        if getattr(func, "__name__", "") in _SUMS and len(operands) == 2:
            left, right = map(self.sources, operands)
            if left and right and operands[0].shape == operands[1].shape:
                self.sums.append((left, right))
        sources = self.sources((args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        self.note(result, sources)
        return result

    def note(self, value: Any, sources: Sources) -> None:
        for tensor in tensors_in(value) if sources else ():
            self._sources[id(tensor)] = (tensor, sources)

    def sources(self, value: Any) -> Sources:
        return frozenset().union(*(self._sources.get(id(t), (t, frozenset[str]()))[1] for t in tensors_in(value)))


def _ancestors(sources: Sources, reads: Mapping[str, Sources]) -> frozenset[str]:
    """Returns the layers that a tensor comes from, directly or through others."""
    known: set[str] = set()
    front = set(sources)
    while front:
        known |= front
        front = {source for layer in front for source in reads.get(layer, ())} - known
    return frozenset(known)
