"""Channels that must be pruned together: torch-pruning's dependency graph as plain data, each group tried out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

import torch
import torch_pruning
from torch import nn

from hwprofiles.errors import InvalidInput
from search.pruning.attention import with_plain_attention
from search.pruning.groups import ChannelGroup, Producer, TensorSlice
from search.pruning.names import unique_names
from search.pruning.surgery import ChannelsToKeep, prune, zero_channels
from search.pruning.tensors import (
    CONVOLUTIONS,
    HEAD_COUNTS,
    LAYERS,
    OVER_CHANNELS,
    TRANSPOSED,
    Coordinate,
    Tensors,
    coordinates,
    equal_parts,
    first_of,
)
from search.pruning.tracing import Call, Inputs, calls, outputs_of

TOLERANCE = 1e-3
"""Largest difference between the pruned model and the one with zeros, relative to the largest output."""

T = TypeVar("T", bound=Hashable)


class _Unions(Generic[T]):
    """Disjoint sets (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[T, T] = {}

    def root(self, member: T) -> T:
        self._parent.setdefault(member, member)
        while self._parent[member] != member:
            self._parent[member] = self._parent[self._parent[member]]
            member = self._parent[member]
        return member

    def join(self, members: Iterable[T]) -> None:
        roots = [self.root(member) for member in members]
        for root in roots[1:]:
            self._parent[self.root(root)] = self.root(roots[0])


def channel_groups(model: nn.Module, example: Inputs) -> tuple[ChannelGroup, ...]:
    """Finds the groups of channels that can be pruned, in the order of the model's modules. Leaves the model unchanged.

    ``example`` are the model's arguments for one batch. Covers residual sums, concatenations, grouped and depthwise
    convolutions, attention heads (:class:`torch.nn.MultiheadAttention`, and modules with linear layers for query, key
    and value and an attribute such as ``heads``) and the widths between linear layers. Each group is tried: without
    half of its blocks the model must run and give outputs of the same shapes, and of the values that the model has with
    zeros instead, unless a normalisation runs over these channels. A group that fails is dropped; so the model's own
    inputs and outputs never change.

    Raises :class:`InvalidInput` if the model cannot be traced.
    """
    plain = with_plain_attention(model).eval().requires_grad_(True)
    call_of = calls(plain, example)
    candidates = [_make_group(members, unions, plain, call_of) for members, unions in _components(plain, example)]
    groups = [group for group in candidates if group is not None and len(group.blocks) > 1]
    groups = [group for group in groups if _is_prunable(group, plain, example)]
    order = {name: number for number, (name, _) in enumerate(plain.named_modules())}
    groups.sort(key=lambda group: order[group.layers[0]])
    names = unique_names(plain, [group.layers for group in groups])
    return tuple(replace(group, name=name) for group, name in zip(groups, names, strict=True))


def _graph(model: nn.Module, example: Inputs) -> torch_pruning.DependencyGraph:
    try:
        with torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example, verbose=False)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError) as error:
        raise InvalidInput(
            f"the model's dependencies cannot be traced: {(str(error).splitlines() or [type(error).__name__])[0]}",
            "give example inputs that the model accepts, and a model whose outputs are tensors",
        ) from None


class _Members:
    """A connected set of traced layers."""

    def __init__(self) -> None:
        self.producers: dict[str, set[int]] = {}
        """By module, the channels of its output that belong to the set."""
        self.modules: set[str] = set()
        self.coordinates: set[Coordinate] = set()
        self.is_complete = True
        """False if a module is of a kind whose channels cannot be removed."""


def _components(model: nn.Module, example: Inputs) -> list[tuple[_Members, _Unions[Coordinate]]]:
    """Joins the coordinates of each channel, and collects the sets of layers that share channels."""
    graph = _graph(model, example)
    tensors = Tensors(model)
    names = {module: name for name, module in model.named_modules()}
    unions: _Unions[Coordinate] = _Unions()
    traced = []
    for root in graph.get_all_groups(root_module_types=LAYERS):
        members = _Members()
        rows: defaultdict[int, list[Coordinate]] = defaultdict(list)
        for item in root:
            target, handler = item.dep.target.module, item.dep.handler
            out = graph.is_out_channel_pruning_fn(handler)
            if isinstance(target, nn.Parameter):
                name = tensors.name_of(target)
                dimension = item.dep.target.pruning_dim
                for index, channel in zip(item.idxs, item.root_idxs, strict=True):
                    if name is not None:
                        rows[channel].append((name, dimension, index))
                continue
            if not isinstance(target, nn.Module) or target not in names:
                continue  # an operation without tensors
            members.modules.add(names[target])
            for index, channel in zip(item.idxs, item.root_idxs, strict=True):
                at = coordinates(target, tensors, index, out=out)
                if at is None:
                    members.is_complete = False
                    break
                rows[channel] += at
                if out and isinstance(target, LAYERS):
                    members.producers.setdefault(names[target], set()).add(index)
        for row in rows.values():
            unions.join(row)
            members.coordinates.update(row)
        traced.append(members)
    for name in sorted({name for members in traced for name in members.modules}):
        for parts in equal_parts(model.get_submodule(name), tensors):
            unions.join(coordinate for part in parts for coordinate in part)
    return [(members, unions) for members in _merge_members(traced, unions)]


def _merge_members(traced: Sequence[_Members], unions: _Unions[Coordinate]) -> list[_Members]:
    """Merges the sets that share a channel."""
    numbers: _Unions[int] = _Unions()
    first: dict[Coordinate, int] = {}
    for number, members in enumerate(traced):
        for coordinate in members.coordinates:
            numbers.join((first.setdefault(unions.root(coordinate), number), number))
    merged: dict[int, _Members] = {}
    for number, members in enumerate(traced):
        into = merged.setdefault(numbers.root(number), _Members())
        into.modules |= members.modules
        into.coordinates |= members.coordinates
        into.is_complete &= members.is_complete
        for name, channels in members.producers.items():
            into.producers.setdefault(name, set()).update(channels)
    return list(merged.values())


def _make_group(
    members: _Members, unions: _Unions[Coordinate], model: nn.Module, call_of: Mapping[str, Call]
) -> ChannelGroup | None:
    """Makes a group of plain data; None if its channels do not form blocks of one size."""
    if not members.is_complete or not members.producers:
        return None
    order = [name for name, _ in model.named_modules() if name in members.producers]
    tensors = Tensors(model)
    heads = _heads(members, model)
    for path, count in heads.items():
        for name in [producer for producer in order if producer.rpartition(".")[0] == path]:
            layer = model.get_submodule(name)
            wide = int(getattr(layer, "out_features", 0)) // count
            for head in range(count):
                channels = range(head * wide, (head + 1) * wide)
                unions.join(at for channel in channels for at in coordinates(layer, tensors, channel, out=True) or ())
    blocks: defaultdict[Coordinate, defaultdict[tuple[str, int], set[int]]] = defaultdict(lambda: defaultdict(set))
    for tensor, axis, index in members.coordinates:
        blocks[unions.root((tensor, axis, index))][tensor, axis].add(index)
    first = model.get_submodule(order[0])
    by_channel: defaultdict[Coordinate, list[int]] = defaultdict(list)
    for channel in sorted(members.producers[order[0]]):
        by_channel[unions.root((coordinates(first, tensors, channel, out=True) or [])[0])].append(channel)
    place_of = {channel: number for number, channel in enumerate(sorted(members.producers[order[0]]))}
    roots = list(by_channel)
    sizes = {(len(parts), *(len(v) for _, v in sorted(parts.items()))) for parts in blocks.values()}
    if len(blocks) != len(roots) or len(sizes) != 1 or len({len(channels) for channels in by_channel.values()}) != 1:
        return None
    keys = sorted(blocks[roots[0]])
    if any(sorted(blocks[root]) != keys for root in roots):
        return None
    slices = tuple(
        TensorSlice(tensor, axis, tuple(tuple(sorted(blocks[root][tensor, axis])) for root in roots))
        for tensor, axis in keys
    )
    producers = tuple(
        Producer(name, operator_of(model.get_submodule(name), call_of.get(name)), _channels(name, model, roots, blocks))
        for name in order
    )
    mixing = {
        tensors.name_of(weight)
        for module in model.modules()
        if isinstance(module, OVER_CHANNELS)
        for weight in module.parameters()
    }
    changed = [name for name in sorted(members.modules) if isinstance(model.get_submodule(name), LAYERS)]
    return ChannelGroup(
        name="",
        channels=len(place_of),
        blocks=tuple(tuple(place_of[channel] for channel in by_channel[root]) for root in roots),
        producers=producers,
        slices=slices,
        operators=tuple(dict.fromkeys(operator_of(model.get_submodule(n), call_of.get(n)) for n in changed)),
        heads=tuple(heads),
        exact=not mixing & {tensor for tensor, _, _ in members.coordinates},
    )


def _channels(
    name: str,
    model: nn.Module,
    roots: Sequence[Coordinate],
    blocks: Mapping[Coordinate, Mapping[tuple[str, int], set[int]]],
) -> tuple[tuple[int, ...], ...]:
    layer = model.get_submodule(name)
    tensor = Tensors(model).name_of(getattr(layer, "weight", None)) or ""
    axis = 1 if isinstance(layer, TRANSPOSED) else 0
    return tuple(tuple(sorted(blocks[root][tensor, axis])) for root in roots)


def _heads(members: _Members, model: nn.Module) -> dict[str, int]:
    """Finds attention modules: several of their linear layers (query, key, value) are producers. Returns the number of
    heads by module."""
    inside: defaultdict[str, list[nn.Module]] = defaultdict(list)
    for name in members.producers:
        if name:
            inside[name.rpartition(".")[0]].append(model.get_submodule(name))
    counts = {}
    for path, layers in inside.items():
        attention = model.get_submodule(path)
        attribute = first_of(HEAD_COUNTS, attention)
        count = getattr(attention, attribute) if attribute else 0
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        if count and len(linear) == len(layers) >= 2 and all(layer.out_features % count == 0 for layer in linear):
            counts[path] = count
    return counts


def operator_of(layer: nn.Module, call: Call | None) -> str:
    """Returns the probed operator that is most similar to a layer, whose latency steps apply to it."""
    if isinstance(layer, nn.Linear):
        rows = call is not None and isinstance(call.first, torch.Tensor) and call.first.ndim > 2
        return "matmul" if rows else "gemm"
    if isinstance(layer, CONVOLUTIONS) and layer.groups == layer.in_channels > 1:
        return "depthwise"
    return "conv1x1" if all(size == 1 for size in getattr(layer, "kernel_size", ())) else "conv3x3"


def _is_prunable(group: ChannelGroup, model: nn.Module, example: Inputs) -> bool:
    """Returns whether the model works without every other block of the group, and without its first half.

    If the model has a hidden structure, such as a hard-coded number of heads, one of the two makes its parts unequally
    wide.
    """
    kept = (group.blocks[1::2], group.blocks[len(group.blocks) // 2 :])
    selections: list[ChannelsToKeep] = [{group: [channel for block in blocks for channel in block]} for blocks in kept]
    return all(_works(group, selection, model, example) for selection in selections)


def _works(group: ChannelGroup, kept: ChannelsToKeep, model: nn.Module, example: Inputs) -> bool:
    expected = outputs_of(zero_channels(model, kept), example)
    try:
        outputs = outputs_of(prune(model, kept), example)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return False
    if [output.shape for output in outputs] != [output.shape for output in expected]:
        return False
    return not group.exact or all(
        torch.allclose(output, zeros, rtol=0, atol=TOLERANCE * max(1e-6, float(zeros.abs().max())))
        for output, zeros in zip(outputs, expected, strict=True)
    )
