"""Which channels of a model must go together: torch-pruning's dependency graph, put into plain data and tried out."""

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
from search.pruning.surgery import Kept, prune, zeroed
from search.pruning.tensors import (
    CONVOLUTIONS,
    HEAD_COUNTS,
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
"""How far the pruned model may be from the one with zeros, relative to the largest output."""

_PRODUCERS = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
T = TypeVar("T", bound=Hashable)


class _Unions(Generic[T]):
    """Disjoint sets."""

    def __init__(self) -> None:
        self._parent: dict[T, T] = {}

    def root(self, one: T) -> T:
        self._parent.setdefault(one, one)
        while self._parent[one] != one:
            self._parent[one] = self._parent[self._parent[one]]
            one = self._parent[one]
        return one

    def join(self, members: Iterable[T]) -> None:
        roots = [self.root(member) for member in members]
        for other in roots[1:]:
            self._parent[self.root(other)] = self.root(roots[0])


def channel_groups(model: nn.Module, example: Inputs) -> tuple[ChannelGroup, ...]:
    """The groups of channels that can be pruned, in the order of the model's modules; the model is left alone.

    ``example`` are the model's arguments for one batch. Covers residual sums, concatenations, grouped and depthwise
    convolutions, heads of attention (:class:`torch.nn.MultiheadAttention`, and modules with linear layers for query,
    key and value and an attribute such as ``heads``) and the widths of linear layers between others. Each group is
    tried: without half of its blocks the model must run, its outputs must have their shapes, and their values must be
    those of the model with zeros in its place, unless a normalisation over these channels says otherwise. A group that
    fails is left out, so that the model's own inputs and outputs never change.

    Raises :class:`InvalidInput` where the model cannot be traced.
    """
    plain = with_plain_attention(model).eval().requires_grad_(True)
    called = calls(plain, example)
    found = [_group(members, unions, plain, called) for members, unions in _components(plain, example)]
    groups = [group for group in found if group is not None and len(group.blocks) > 1]
    tried = [group for group in (_tried(group, plain, example) for group in groups) if group is not None]
    order = {name: number for number, (name, _) in enumerate(plain.named_modules())}
    tried.sort(key=lambda group: order[group.layers[0]])
    names = unique_names(plain, [group.layers for group in tried])
    return tuple(replace(group, name=name) for group, name in zip(tried, names, strict=True))


def _graph(model: nn.Module, example: Inputs) -> torch_pruning.DependencyGraph:
    try:
        with torch.enable_grad():
            return torch_pruning.DependencyGraph().build_dependency(model, example_inputs=example, verbose=False)
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError) as error:
        raise InvalidInput(
            f"the model's dependencies cannot be traced: {(str(error).splitlines() or [type(error).__name__])[0]}",
            "give example inputs that the model runs on, and a model whose outputs are tensors",
        ) from None


class _Members:
    """A connected set of traced layers: the modules whose outputs hold the channels, and all coordinates."""

    def __init__(self) -> None:
        self.producers: dict[str, set[int]] = {}
        self.modules: set[str] = set()
        self.coordinates: set[Coordinate] = set()
        self.known = True


def _components(model: nn.Module, example: Inputs) -> list[tuple[_Members, _Unions[Coordinate]]]:
    """Coordinates that belong to one channel, joined, and the sets of layers that share some."""
    graph = _graph(model, example)
    tensors = Tensors(model)
    names = {module: name for name, module in model.named_modules()}
    unions: _Unions[Coordinate] = _Unions()
    traced = []
    for root in graph.get_all_groups(root_module_types=_PRODUCERS):
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
                    members.known = False
                    break
                rows[channel] += at
                if out and isinstance(target, _PRODUCERS):
                    members.producers.setdefault(names[target], set()).add(index)
        for row in rows.values():
            unions.join(row)
            members.coordinates.update(row)
        traced.append(members)
    for name in sorted({name for members in traced for name in members.modules}):
        for parts in equal_parts(model.get_submodule(name), tensors):
            unions.join(one for part in parts for one in part)
    return [(members, unions) for members in _merged(traced, unions)]


def _merged(traced: Sequence[_Members], unions: _Unions[Coordinate]) -> list[_Members]:
    """One for all that share a channel."""
    numbers: _Unions[int] = _Unions()
    first: dict[Coordinate, int] = {}
    for number, members in enumerate(traced):
        for one in members.coordinates:
            numbers.join((first.setdefault(unions.root(one), number), number))
    merged: dict[int, _Members] = {}
    for number, members in enumerate(traced):
        into = merged.setdefault(numbers.root(number), _Members())
        into.modules |= members.modules
        into.coordinates |= members.coordinates
        into.known &= members.known
        for name, channels in members.producers.items():
            into.producers.setdefault(name, set()).update(channels)
    return list(merged.values())


def _group(
    members: _Members, unions: _Unions[Coordinate], model: nn.Module, called: Mapping[str, Call]
) -> ChannelGroup | None:
    """The group as plain data, None where its channels do not fall into blocks of one size."""
    if not members.known or not members.producers:
        return None
    order = [name for name, _ in model.named_modules() if name in members.producers]
    tensors = Tensors(model)
    heads = _heads(members, model)
    for path, count in heads.items():
        for name in [one for one in order if one.rpartition(".")[0] == path]:
            layer = model.get_submodule(name)
            wide = int(getattr(layer, "out_features", 0)) // count
            for head in range(count):
                channels = range(head * wide, (head + 1) * wide)
                unions.join(one for channel in channels for one in coordinates(layer, tensors, channel, out=True) or ())
    blocks: defaultdict[Coordinate, defaultdict[tuple[str, int], set[int]]] = defaultdict(lambda: defaultdict(set))
    for tensor, axis, index in members.coordinates:
        blocks[unions.root((tensor, axis, index))][tensor, axis].add(index)
    first = model.get_submodule(order[0])
    by_channel: defaultdict[Coordinate, list[int]] = defaultdict(list)
    for channel in sorted(members.producers[order[0]]):
        by_channel[unions.root((coordinates(first, tensors, channel, out=True) or [])[0])].append(channel)
    place = {channel: number for number, channel in enumerate(sorted(members.producers[order[0]]))}
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
        Producer(name, operator_of(model.get_submodule(name), called.get(name)), _channels(name, model, roots, blocks))
        for name in order
    )
    mixing = {
        tensors.name_of(weight)
        for module in model.modules()
        if isinstance(module, OVER_CHANNELS)
        for weight in module.parameters()
    }
    changed = [name for name in sorted(members.modules) if isinstance(model.get_submodule(name), _PRODUCERS)]
    return ChannelGroup(
        name="",
        channels=len(place),
        blocks=tuple(tuple(place[channel] for channel in by_channel[root]) for root in roots),
        producers=producers,
        slices=slices,
        operators=tuple(dict.fromkeys(operator_of(model.get_submodule(n), called.get(n)) for n in changed)),
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
    """Attention modules with several of their linear layers among the producers, as query, key and value are, and how
    many heads each has."""
    inside: defaultdict[str, list[nn.Module]] = defaultdict(list)
    for name in members.producers:
        if name:
            inside[name.rpartition(".")[0]].append(model.get_submodule(name))
    found = {}
    for path, layers in inside.items():
        attention = model.get_submodule(path)
        attribute = first_of(HEAD_COUNTS, attention)
        count = getattr(attention, attribute) if attribute else 0
        linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        if count and len(linear) == len(layers) >= 2 and all(layer.out_features % count == 0 for layer in linear):
            found[path] = count
    return found


def operator_of(layer: nn.Module, call: Call | None) -> str:
    """The probed operator that a layer is most like: its latency's steps are the layer's."""
    if isinstance(layer, nn.Linear):
        rows = call is not None and isinstance(call.first, torch.Tensor) and call.first.ndim > 2
        return "matmul" if rows else "gemm"
    if isinstance(layer, CONVOLUTIONS) and layer.groups == layer.in_channels > 1:
        return "depthwise"
    return "conv1x1" if all(size == 1 for size in getattr(layer, "kernel_size", ())) else "conv3x3"


def _tried(group: ChannelGroup, model: nn.Module, example: Inputs) -> ChannelGroup | None:
    """The group if the model can do without every other block of it, and without its first half; None otherwise.

    One of the two leaves the parts of a hidden structure (heads whose number stands in the code) unequally wide.
    """
    kept = (group.blocks[1::2], group.blocks[len(group.blocks) // 2 :])
    works = all(_works(group, {group: [one for block in blocks for one in block]}, model, example) for blocks in kept)
    return group if works else None


def _works(group: ChannelGroup, kept: Kept, model: nn.Module, example: Inputs) -> bool:
    expected = outputs_of(zeroed(model, kept), example)
    try:
        found = outputs_of(prune(model, kept), example)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return False
    if [one.shape for one in found] != [one.shape for one in expected]:
        return False
    return not group.exact or all(
        torch.allclose(ours, theirs, rtol=0, atol=TOLERANCE * max(1e-6, float(theirs.abs().max())))
        for ours, theirs in zip(found, expected, strict=True)
    )
