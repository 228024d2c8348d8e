"""What modules answer to a batch, and what their inner parts gave meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from hwprofiles.errors import InvalidInput
from hwprofiles.suggestions import nearest
from search.training.data import TaskLoss


@dataclass(frozen=True)
class Answers:
    """A module's answer to a batch as it gave it (``raw``), its first tensor, floating-point as float32, and the
    outputs of the parts that were tapped, by name, likewise."""

    raw: Any
    output: Tensor
    features: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """All that a loss may look at: the student's answers, the teacher's if there is one (no gradients), the labels if
    there are any, and the task's own loss."""

    student: Answers
    teacher: Answers | None = None
    labels: Tensor | None = None
    task_loss: TaskLoss | None = None


def first_tensor(value: Any) -> Tensor:
    """The value itself, or the first tensor in a tuple, list or mapping; raises :class:`InvalidInput` where there is
    none."""
    if isinstance(value, Tensor):
        return value.float() if value.is_floating_point() else value
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for part in parts:
        if isinstance(part, Tensor | list | tuple | Mapping):
            return first_tensor(part)
    raise InvalidInput(
        f"training: a module answers with {type(value).__name__}, which holds no tensor",
        "return a tensor, or a tuple or mapping that begins with one",
    )


class Remembered:
    """A teacher's answers by the number of the batch, for all students that see the same batches: they are worked out
    once. Keeps ``limit_bytes`` at most, the first ones."""

    def __init__(self, limit_bytes: int = 256_000_000) -> None:
        self._left = limit_bytes
        self._known: dict[int, Answers] = {}

    def of(self, step: int, answer: Callable[[], Answers]) -> Answers:
        """The answers to the batch of this step."""
        if step in self._known:
            return self._known[step]
        found = answer()
        size = found.output.nbytes
        # What a module returns beside its first tensor is of unknown size, and no loss reads it of a teacher.
        if size <= self._left:
            self._known[step] = Answers(found.output, found.output)
            self._left -= size
        return found


class Tapped:
    """Calls a module and catches what its parts named ``names`` give; the hooks go when the context ends.

    Raises :class:`InvalidInput` for a name that the module (``role``: ``student`` or ``teacher``) has no part of.
    """

    def __init__(self, module: nn.Module, names: Iterable[str], role: str) -> None:
        self._module = module
        self._caught: dict[str, Tensor] = {}
        known = dict(module.named_modules())
        self._handles = []
        for name in dict.fromkeys(names):
            if not name or name not in known:
                raise InvalidInput(
                    f"losses: the {role} has no part {name!r}", nearest(name, [part for part in known if part])
                )
            self._handles.append(known[name].register_forward_hook(self._catcher(name)))

    def _catcher(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def catch(part: nn.Module, inputs: Any, output: Any) -> None:
            self._caught[name] = first_tensor(output)

        return catch

    def __call__(self, inputs: tuple[Tensor, ...]) -> Answers:
        """The module's answers to one batch, ``inputs`` in the order of its arguments."""
        self._caught.clear()
        raw = self._module(*inputs)
        return Answers(raw, first_tensor(raw), dict(self._caught))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()


def to_tensors(arrays: Iterable[Any], device: torch.device) -> tuple[Tensor, ...]:
    """Copies of arrays on a device; images are laid out channels last, which convolutions are quickest with."""
    tensors = [torch.tensor(values, device=device) for values in arrays]
    return tuple(t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in tensors)


def move(module: nn.Module, device: torch.device, layout: torch.memory_format) -> None:
    """Puts a module on a device, its weights of four axes in a layout."""
    module.to(device)
    # Module.to would also lay out weights of five axes, which have no channels_last.
    for weight in module.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=layout)
