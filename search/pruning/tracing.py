"""What each module of a model was called with, for one example."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]
"""A model's arguments, the first axis of each being the batch."""


@dataclass
class Call:
    """A module's calls while the model ran once: how many, and the last one's first input and output."""

    count: int = 0
    first: Any = None
    output: Any = None


@contextmanager
def hooked(model: nn.Module, hook: Callable[[str, nn.Module, tuple[Any, ...], Any], Any]) -> Iterator[None]:
    """Calls ``hook`` with name, module, inputs and output after each module's forward; what it returns replaces the
    output unless it is None."""
    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: hook(name, module, inputs, output))
        for name, module in model.named_modules()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def calls(model: nn.Module, example: Inputs) -> dict[str, Call]:
    """By name, the calls of each module that was called at all."""
    found: dict[str, Call] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = found.setdefault(name, Call())
        call.count += 1
        call.first, call.output = (inputs[0] if inputs else None), output

    with hooked(model, note), torch.no_grad():
        model(*example)
    return found


def outputs_of(model: nn.Module, example: Inputs) -> list[Tensor]:
    """All tensors that the model gives for an example, in order, without gradients."""
    with torch.no_grad():
        return list(_tensors(model(*example)))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)
