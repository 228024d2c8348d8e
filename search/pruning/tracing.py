"""Traces of a model's calls for one example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = tuple[Tensor, ...]
"""A model's arguments; the first axis of each is the batch."""


@dataclass
class Call:
    """Calls of a module during one run of the model."""

    count: int = 0
    first: Any = None
    """First input of the last call."""
    output: Any = None
    """Output of the last call."""


@contextmanager
def forward_hooks(model: nn.Module, hook: Callable[[str, nn.Module, tuple[Any, ...], Any], Any]) -> Iterator[None]:
    """Calls ``hook`` with name, module, inputs and output after each module's forward, within the context; a return
    value other than None replaces the output."""
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
    """Runs the model and returns the calls of each module that was called, by name."""
    call_of: dict[str, Call] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        call = call_of.setdefault(name, Call())
        call.count += 1
        call.first, call.output = (_copy(inputs[0]) if inputs else None), _copy(output)

    with forward_hooks(model, note), torch.no_grad():
        model(*example)
    return call_of


def _copy(value: Any) -> Any:
    """Returns a tensor as it is now, whatever later operations in place make of it."""
    return value.clone() if isinstance(value, Tensor) else value


def outputs_of(model: nn.Module, example: Inputs) -> list[Tensor]:
    """Runs the model and lists all tensors of its output in order, without gradients."""
    with torch.no_grad():
        return list(tensors_in(model(*example)))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yields all tensors in nested lists, tuples and mappings, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
