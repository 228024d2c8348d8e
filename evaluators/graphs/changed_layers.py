"""Finds the decision that each layer of a changed model takes from the model before."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import onnx

from evaluators.graphs.cleanup import with_node_names
from evaluators.graphs.graph import Graph, is_op
from evaluators.graphs.layer_groups import LayerGroup, number_names, weight_names

_SCOPES = "pkg.torch.onnx.name_scopes"
"""Key under which the exporter through ``torch.export`` keeps a node's modules; the older one uses the node's name."""

_UNNAMED = re.compile(r".*::.*|val_\d+")
"""Names that exporters number: the same name may mean another tensor in another model."""


def under_first_names(
    model: onnx.ModelProto, groups: Iterable[LayerGroup], first_model: onnx.ModelProto, first: Iterable[LayerGroup]
) -> tuple[LayerGroup, ...]:
    """Renames the groups of a changed model after the groups that their layers had in the first one.

    A layer is an old one if it has the old weight's name, or else the old node's name in the same module. If layers
    were added to a module with several groups, the nodes' numbers say nothing: the next layer there whose weight has
    the old shape is the old one. A new layer takes the decision of an old one in its module or, if there is none, in
    the nearest module around it:

    1. of the only one there;
    2. of the one that is gone, since the new layers replace it;
    3. of several, the one whose outputs meet the new layer's after the fewest nodes (an adapter's in the sum behind
       its layer), the first of equals. Only layers count whose precisions the new layer allows too.

    A new layer for which nothing is left keeps a name of its own (:func:`decision_gaps`). Groups that were one group in
    the first model are joined again, even if nothing ties their layers together now.
    """
    groups, first = tuple(groups), tuple(first)
    old = _Places(with_node_names(first_model), first)
    kept = _kept_groups(_Places(with_node_names(model), groups), old)
    chooser = _Chooser(Graph(with_node_names(model).graph), old, kept)
    renamed: dict[str, LayerGroup] = {}
    for group in groups:
        name = next((kept[node] for node in group.nodes if node in kept), None) or chooser.choose(group)
        name = name or number_names([*old.groups, group.name])[-1]
        part = renamed.get(name)
        if part is not None:
            group = replace(
                part, nodes=part.nodes + group.nodes, macs=part.macs + group.macs,
                precisions=tuple(p for p in part.precisions if p in group.precisions),
                weights=part.weights + group.weights, values=part.values + group.values,
                written=part.written + group.written,
            )  # fmt: skip
        renamed[name] = replace(group, name=name)
    return tuple(renamed.values())


def decision_gaps(
    model: onnx.ModelProto, groups: Iterable[LayerGroup], first_model: onnx.ModelProto, first: Iterable[LayerGroup]
) -> dict[str, str]:
    """Lists the groups of a changed model that cannot be computed as decided, each with the reason in one line.

    ``groups`` are those under first names. Groups whose layers are gone are not listed.
    """
    groups, first = tuple(groups), tuple(first)
    old = _Places(with_node_names(first_model), first)
    kept = _kept_groups(_Places(with_node_names(model), groups), old)
    gaps = {}
    for group in groups:
        if group.name not in old.groups:
            gaps[group.name] = "new, and no layer around it decides for it: stays fp32"
        elif not set(old.groups[group.name].precisions) <= set(group.precisions):
            gaps[group.name] = f"its layers now allow only {', '.join(group.precisions)}"
        tied = {kept[node] for node in group.nodes if node in kept} - {group.name}
        gaps |= dict.fromkeys(sorted(tied), f"tied to {group.name} by the change: follows its decision")
    return gaps


class _Places:
    """Where the layers of a model stand."""

    def __init__(self, model: onnx.ModelProto, groups: Sequence[LayerGroup]) -> None:
        self.groups = {group.name: group for group in groups}
        members = {node: group.name for group in groups for node in group.nodes}
        self.nodes = {node.name: node for node in model.graph.node if node.name in members}
        self.group_of = {name: members[name] for name in self.nodes}
        self.scopes = {name: _scope(node) for name, node in self.nodes.items()}
        self.members: defaultdict[str, list[str]] = defaultdict(list)
        """The layers that stand directly in a module, in graph order."""
        for name, scope in self.scopes.items():
            self.members[scope].append(name)
        tensors = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
        self.shapes = {name: tensors[weight_names(node)[0]] for name, node in self.nodes.items()}
        self.weights: dict[tuple[str, bool] | None, str] = {
            weight: name for name, node in self.nodes.items() if (weight := _weight(node))
        }


def _kept_groups(new: _Places, old: _Places) -> dict[str, str]:
    """Returns the first model's group of each layer that was there before, by the name of its node."""
    kept = {name: old.weights[weight] for name, node in new.nodes.items() if (weight := _weight(node)) in old.weights}
    same = set(kept.values())
    for scope, members in old.members.items():
        before = [name for name in members if name not in same]
        now = [name for name in new.members[scope] if name not in kept]
        numbered = len(new.members[scope]) != len(members) and len({old.group_of[name] for name in members}) > 1
        for name in before:
            if numbered:  # the exporter's numbers may have moved to other layers: the next one of the same shape
                match = next((other for other in now if new.shapes[other] == old.shapes[name]), None)
                now = now[now.index(match) + 1 :] if match else now
            else:
                match = name if name in now else None
            if match:
                kept[match] = name
    return {name: old.group_of[source] for name, source in kept.items()}


class _Chooser:
    """Chooses the group of the first model whose decision a new layer takes."""

    def __init__(self, graph: Graph, old: _Places, kept: Mapping[str, str]) -> None:
        self._graph, self._old = graph, old
        self._nodes = {node.name: node for node in graph.proto.node}
        self._members: defaultdict[str, list[str]] = defaultdict(list)
        """The nodes that are left of each group."""
        for node, name in kept.items():
            self._members[name].append(node)
        self._steps: dict[tuple[str, ...], dict[str, int]] = {}

    def choose(self, group: LayerGroup) -> str | None:
        """Returns the name of the group, by the rule in :func:`under_first_names`; None if there is none."""
        for scope in _scopes_around(_scope(self._nodes[group.nodes[0]])):
            places = {node: place for node, place in self._old.scopes.items() if place.startswith(scope)}
            if not places:
                continue
            gone = {self._old.group_of[node] for node, place in places.items() if place == scope}
            gone -= self._members.keys()
            if gone:
                return gone.pop() if len(gone) == 1 else None
            names = dict.fromkeys(self._old.group_of[node] for node in places)
            return self._nearest(group, [name for name in names if name in self._members])
        return None

    def _nearest(self, group: LayerGroup, names: Sequence[str]) -> str | None:
        able = [name for name in names if set(self._old.groups[name].precisions) <= set(group.precisions)]
        if len(able) < 2:
            return able[0] if able else None
        own = self._count_steps(group.nodes)
        meetings = {}
        for name in able:
            steps = self._count_steps(tuple(self._members[name]))
            common = [count + steps[node] for node, count in own.items() if count and steps.get(node)]
            if common:
                meetings[name] = min(common)
        return min(meetings, key=lambda name: meetings[name], default=None)

    def _count_steps(self, starts: tuple[str, ...]) -> dict[str, int]:
        """Counts the nodes on the shortest way from these nodes to each node and output that they reach."""
        if starts not in self._steps:
            steps, front = dict.fromkeys(starts, 0), list(starts)
            for name in front:
                for target in self._targets(name):
                    if target not in steps:
                        steps[target] = steps[name] + 1
                        front.append(target)
            self._steps[starts] = steps
        return self._steps[starts]

    def _targets(self, name: str) -> Iterator[str]:
        node = self._nodes.get(name)
        for tensor in () if node is None else node.output:
            yield from (reader.name for reader in self._graph.readers(tensor))
            if tensor in self._graph.outputs:
                yield f"output {tensor}"


def _scope(node: onnx.NodeProto) -> str:
    """Returns the module that a node stands in, as ``layers/0/fc/``; empty for the whole model."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), None)
    path = node.name.rpartition("/")[0] if scopes is None else "".join([*ast.literal_eval(scopes)][-2:-1])
    return "".join(f"{part}/" for part in re.split(r"[/.]", path) if part)


def _scopes_around(scope: str) -> Iterator[str]:
    """Yields a module and those around it: ``a/b/``, ``a/``, and empty for the whole model."""
    while scope:
        yield scope
        scope = scope[: scope.rindex("/", 0, -1) + 1] if "/" in scope[:-1] else ""
    yield ""


def _weight(node: onnx.NodeProto) -> tuple[str, bool] | None:
    """Returns what tells a layer by its first weight: its name, and whether it is a table; None if it is numbered."""
    name = weight_names(node)[0]
    return None if _UNNAMED.fullmatch(name) else (name, is_op(node, "Gather"))
