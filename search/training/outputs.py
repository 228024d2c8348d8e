"""Outputs of modules and of their submodules for a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.training.data import TaskLossFunction


@dataclass(frozen=True)
class ModuleOutputs:
    """Outputs of a module for a batch."""

    raw: Any
    """As the module returned it."""
    output: Tensor
    """The first tensor of ``raw``; floating-point values as float32."""
    features: Mapping[str, Tensor] = field(default_factory=dict)
    """First output tensors of tapped submodules, by name."""


@dataclass(frozen=True)
class LossInputs:
    """Inputs of a loss for one batch."""

    student: ModuleOutputs
    teacher: ModuleOutputs | None = None
    """Without gradients; None if the training has no teacher."""
    labels: Tensor | None = None
    task_loss: TaskLossFunction | None = None
    """The task's own loss."""


def first_tensor(value: Any) -> Tensor:
    """Returns the value itself, or the first tensor in a tuple, list or mapping; floating-point values as float32.

    Raises :class:`InvalidInput` if there is no tensor.
    """
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        if isinstance(part, Tensor | list | tuple | Mapping):
            return first_tensor(part)
    raise InvalidInput(
        f"training: the module returned {type(value).__name__}, which contains no tensor",
        "return a tensor, or a tuple or mapping whose first element is a tensor",
    )


class TeacherCache:
    """A cache of teacher outputs by step, shared by students that train on the same batches.

    Stores the first outputs, up to ``limit_bytes``.
    """

    def __init__(self, limit_bytes: int = 256_000_000) -> None:
        self._free_bytes = limit_bytes
        self._outputs: dict[int, ModuleOutputs] = {}

    def of(self, step: int, compute: Callable[[], ModuleOutputs]) -> ModuleOutputs:
        """Returns the outputs for the batch of ``step``; calls ``compute`` if they are not cached."""
        if step in self._outputs:
            return self._outputs[step]
        outputs = compute()
        size = outputs.output.nbytes
        # Only the first tensor: the raw output has an unknown size, and no loss reads the teacher's.
        if size <= self._free_bytes:
            self._outputs[step] = ModuleOutputs(outputs.output, outputs.output)
            self._free_bytes -= size
        return outputs


class FeatureTaps:
    """Calls a module and records the outputs of its submodules ``names``; leaving the context removes the hooks.

    Raises :class:`InvalidInput` for an unknown submodule; the message calls the module by its ``role`` (``student`` or
    ``teacher``).
    """

    def __init__(self, module: nn.Module, names: Iterable[str], role: str) -> None:
        self._module = module
        self._features: dict[str, Tensor] = {}
        submodules = dict(module.named_modules())
        self._handles = []
        for name in dict.fromkeys(names):
            if not name or name not in submodules:
                raise InvalidInput(
                    f"losses: the {role} has no part {name!r}", nearest(name, [part for part in submodules if part])
                )
            self._handles.append(submodules[name].register_forward_hook(self._recorder(name)))

    def _recorder(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def record(part: nn.Module, inputs: Any, output: Any) -> None:
            self._features[name] = first_tensor(output)

        return record

    def __call__(self, inputs: tuple[Tensor, ...]) -> ModuleOutputs:
        """Runs the module on one batch, ``inputs`` in the order of its arguments."""
        self._features.clear()
        raw = self._module(*inputs)
        return ModuleOutputs(raw, first_tensor(raw), dict(self._features))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()


def to_tensors(arrays: Iterable[Any], device: torch.device) -> tuple[Tensor, ...]:
    """Copies arrays to a device; tensors of four axes are laid out channels last, the fastest for convolutions."""
    tensors = [torch.tensor(values, device=device) for values in arrays]
    return tuple(t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in tensors)


def move(module: nn.Module, device: torch.device, layout: torch.memory_format) -> None:
    """Moves a module to a device, and its weights of four axes to a memory layout."""
    module.to(device)
    # Module.to would also convert weights of five axes, which have no channels_last.
    for weight in module.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=layout)
