"""Builds students: copies of a teacher without some units, and with fewer channels in others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hwprofiles.errors import BuildFailed, InvalidInput, Unreachable, first_line
from search.pruning import BlockGroup, ChannelsToKeep, Group, best_channels, prune
from search.pruning.tracing import Inputs, outputs_of
from search.students.plain_layers import PlainLayer, leave_out
from search.students.units import Unit

FEWER = "keep more units or channels"


def find_gone(units: Sequence[Unit], removed: Collection[str]) -> frozenset[str]:
    """Names the units of which nothing is left if the ``removed`` ones, by name, are: these, and those inside."""
    layers = {layer for unit in units if unit.name in removed for layer in unit.layers}
    return frozenset(unit.name for unit in units if layers.issuperset(unit.layers))


def find_outermost(units: Sequence[Unit], removed: Collection[str]) -> frozenset[str]:
    """Names those of the ``removed`` units, by name, that are not inside of another one."""
    sets = {unit.name: set(unit.layers) for unit in units if unit.name in removed}
    return frozenset(name for name, layers in sets.items() if not any(layers < other for other in sets.values()))


def build_student(
    teacher: nn.Module,
    units: Sequence[Unit],
    removed: Collection[str],
    widths: Mapping[str, int],
    scores: Mapping[str, NDArray[np.float64]],
    example: Inputs,
) -> nn.Module:
    """Builds a student with the teacher's weights: without the units in ``removed``, and with as many channels as
    ``widths`` say, by name of the unit. Leaves the teacher unchanged.

    Of a narrower unit the channels with the highest ``scores`` stay, by name of its group. The width of a removed unit
    is ignored. Raises :class:`Unreachable` for a student that cannot learn, and :class:`BuildFailed` for one that does
    not run or has outputs of other shapes; :class:`InvalidInput` for units that cannot be removed.
    """
    fixed = set(removed) - {unit.name for unit in units if unit.removal is not None}
    if fixed:
        raise InvalidInput(f"{', '.join(sorted(fixed))}: cannot be removed", "name units that have a removal")
    nothing_left, outermost = find_gone(units, removed), find_outermost(units, removed)
    if all(unit.name in nothing_left for unit in units if not isinstance(unit.removal, BlockGroup)):
        raise Unreachable("the student has no layer left but its last", FEWER)
    kept: dict[Group, Sequence[int]] = {}
    plain_layers: list[PlainLayer] = []
    for unit in units:
        if unit.name in outermost:
            if isinstance(unit.removal, BlockGroup):
                kept[unit.removal] = ()
            elif unit.removal is not None:
                plain_layers.append(unit.removal)
        elif unit.group is not None and unit.name in widths and unit.name not in nothing_left:
            kept[unit.group] = best_channels(unit.group, scores[unit.group.name], widths[unit.name])
            if not unit.group.exact and widths[unit.name] == 1:
                raise Unreachable(f"{unit.name}: a normalisation over one channel makes it constant", FEWER)
    return _try_out(teacher, kept, plain_layers, example)


def _try_out(
    teacher: nn.Module, kept: ChannelsToKeep, plain_layers: Sequence[PlainLayer], example: Inputs
) -> nn.Module:
    """Changes a copy of the teacher, and runs it."""
    try:
        student = prune(teacher, kept)
        for plain in plain_layers:
            leave_out(student, plain)
        training = student.training
        outputs = outputs_of(student.eval(), example)
        student.train(training)
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        raise BuildFailed(f"the student does not run: {first_line(error, 200)}", FEWER) from None
    expected = outputs_of(teacher, example)
    if [output.shape for output in outputs] != [output.shape for output in expected]:
        raise BuildFailed("the student's outputs have other shapes than the teacher's", FEWER)
    if not all(map(_is_finite, outputs)):
        raise BuildFailed("the student's outputs are not finite", FEWER)
    return student


def _is_finite(output: Tensor) -> bool:
    return bool(torch.isfinite(output).all())
