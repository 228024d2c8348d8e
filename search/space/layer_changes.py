"""Changes of layers' costs by decisions, as techniques describe them for modelled devices and latency prediction.

Descriptions are JSON-able, because predictions and dry runs work without the model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from typing import Any

from evaluators.graphs.layer_cost import FLOAT_BYTES, CostFactors, LayerCost
from evaluators.graphs.layer_groups import LayerGroup

KEPT, LEFT_OUT = "1", "0"
"""Values of a decision about whether a part of the module stays: shares of it, as those of its channels."""

_TABLE, _SHARES = "table", "shares"

_MOST_LEVELS = 4

Reach = tuple[tuple[str, float], ...]
"""Decisions by name, each with the share of a layer's inputs or outputs that it affects."""


@dataclass(frozen=True)
class Source:
    """The inputs of a layer if the one before it is left out: those that this one would have read."""

    without: str
    """Decision that leaves the layer before it out when its value is 0."""
    inputs: float
    """Their number, as a multiple of the layer's own inputs."""
    reach: Reach = ()
    """Decisions that narrow them."""


@dataclass(frozen=True)
class LayerWidth:
    """One layer and the decisions that narrow it. Counts are those of the unpruned layer, for one sample.

    The value of a decision is the share of channels that stays.
    """

    group: str
    """The layer group that it belongs to."""
    node: str
    """The node's name in the fp32 model."""
    macs: int
    weights: int
    read: int
    """Values that the layer reads."""
    written: int
    """Values that the layer writes."""
    inputs: Reach = ()
    """Decisions that narrow its inputs."""
    outputs: Reach = ()
    """Decisions that narrow its outputs."""
    blocks: tuple[str, ...] = ()
    """Decisions that remove the layer when their value is 0."""
    sources: tuple[Source, ...] = ()
    """Instead of its inputs, from the nearest: the second one if the layers of both are left out, and so on."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerWidth:
        """Returns the inverse of :meth:`to_dict`."""
        reach = {side: _read_reach(data[side]) for side in ("inputs", "outputs")}
        sources = (Source(**{**row, "reach": _read_reach(row["reach"])}) for row in data.get("sources", ()))
        return cls(**{**data, **reach, "blocks": tuple(data["blocks"]), "sources": tuple(sources)})

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return {name: value for name, value in asdict(self).items() if value or name != "sources"}

    def shares_left(self, decisions: Mapping[str, str]) -> tuple[float, float]:
        """Returns the shares of its inputs and of its outputs that these decisions leave."""
        present = prod(float(decisions.get(name, 1)) for name in self.blocks)
        inputs = _share_left(self.inputs, decisions)
        for source in self.sources:
            if float(decisions.get(source.without, 1)):
                break
            inputs = source.inputs * _share_left(source.reach, decisions)
        return present * inputs, present * _share_left(self.outputs, decisions)

    @property
    def decisions(self) -> set[str]:
        """All decisions that narrow it."""
        return {name for name, _ in (*self.inputs, *self.outputs)} | set(self.blocks)


@dataclass(frozen=True)
class CostTable:
    """One decision, and the factors by which each of its values changes the costs of layer groups.

    >>> table = CostTable("rank:fc", {"half": {"fc": CostFactors(macs=0.5, weights=0.5)}})
    >>> table.factors_of("half")["fc"].work
    0.5
    """

    decision: str
    """Name of the decision."""
    factors: Mapping[str, Mapping[str, CostFactors]]
    """By the decision's value, then by the name of the layer group; what is left out changes nothing."""

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CostTable:
        """Returns the inverse of :meth:`to_dict`."""
        rows: Mapping[str, Mapping[str, Mapping[str, float]]] = data["factors"]
        return cls(
            data["decision"],
            {value: {name: CostFactors(**row) for name, row in groups.items()} for value, groups in rows.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return {"kind": _TABLE, **asdict(self)}

    def factors_of(self, value: str | None) -> Mapping[str, CostFactors]:
        """Returns the factors of one value by layer group; None stands for a decision that was not made."""
        return {} if value is None else self.factors.get(value, {})

    def share_left(self, value: str) -> float:
        """Returns the share that a value leaves of the cost that falls most."""
        return min((factors.least for factors in self.factors_of(value).values()), default=1.0)


@dataclass(frozen=True)
class ValueShares:
    """One decision that narrows layers, and the share of channels that each of its values leaves, where that is not the
    value itself."""

    decision: str
    """Name of the decision."""
    shares: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return {"kind": _SHARES, **asdict(self)}


LayerChange = LayerWidth | CostTable | ValueShares
"""A description of how decisions change the costs of layers."""


def read_change(data: Mapping[str, Any]) -> LayerChange:
    """Returns a change from JSON-able data, as its ``to_dict`` gives it."""
    if data.get("kind") == _SHARES:
        return ValueShares(data["decision"], data["shares"])
    return CostTable.from_dict(data) if data.get("kind") == _TABLE else LayerWidth.from_dict(data)


def costs_left(
    groups: Sequence[LayerGroup], changes: Sequence[LayerChange], decisions: Mapping[str, str]
) -> dict[str, LayerCost]:
    """By layer group, the cost that these decisions leave; a removed group has no work at all."""
    by_group: defaultdict[str, list[LayerWidth]] = defaultdict(list)
    for layer in _widths(changes):
        by_group[layer.group].append(layer)
    factors = cost_factors(changes, decisions)
    shares = _as_shares(changes, decisions)
    costs = {group.name: _narrow(LayerCost.of_group(group), by_group[group.name], shares) for group in groups}
    return {name: cost.scale(factors.get(name, CostFactors())) for name, cost in costs.items()}


def shares_left(changes: Sequence[LayerChange], decisions: Mapping[str, str]) -> dict[str, float]:
    """By decision that changes costs, the share that it leaves: of channels, or of the cost that falls most."""
    narrowing = {name for layer in _widths(changes) for name in layer.decisions}
    tables = {table.decision: table for table in _tables(changes)}
    return {
        name: tables[name].share_left(value) if name in tables else float(value)
        for name, value in _as_shares(changes, decisions).items()
        if name in tables or name in narrowing
    }


def cost_factors(changes: Sequence[LayerChange], decisions: Mapping[str, str]) -> dict[str, CostFactors]:
    """By layer group, the factors of all tables for these decisions; groups without any are left out."""
    factors: dict[str, CostFactors] = {}
    for table in _tables(changes):
        for name, change in table.factors_of(decisions.get(table.decision)).items():
            factors[name] = factors.get(name, CostFactors()) * change
    return factors


def tabulated_decisions(changes: Sequence[LayerChange]) -> set[str]:
    """Returns the decisions whose changes are told by a table."""
    return {table.decision for table in _tables(changes)}


def work_left(changes: Sequence[LayerChange], decisions: Mapping[str, str]) -> dict[str, float]:
    """By node, the share of its multiply-accumulates that narrowing leaves; tables are not applied."""
    shares = _as_shares(changes, decisions)
    return {layer.node: prod(layer.shares_left(shares)) for layer in _widths(changes)}


def uniform_levels(changes: Sequence[LayerChange], choices: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Assignments that narrow all layers about equally: every width decision at its second choice, third choice, …

    A decision with fewer choices stays at its last one. Of more than four such places, takes some evenly, and the last.
    ``choices`` are those of all decisions.
    """
    widths = {name for layer in _widths(changes) for name, _ in (*layer.inputs, *layer.outputs)} & set(choices)
    last = max((len(choices[name]) for name in widths), default=0) - 1
    places = reversed(range(last, 0, -max(1, -(-last // _MOST_LEVELS))))
    return [{name: choices[name][min(place, len(choices[name]) - 1)] for name in sorted(widths)} for place in places]


def _widths(changes: Sequence[LayerChange]) -> list[LayerWidth]:
    return [change for change in changes if isinstance(change, LayerWidth)]


def _tables(changes: Sequence[LayerChange]) -> list[CostTable]:
    return [change for change in changes if isinstance(change, CostTable)]


def _narrow(cost: LayerCost, layers: Sequence[LayerWidth], decisions: Mapping[str, str]) -> LayerCost:
    macs, weights, read, written = cost.macs, cost.weights, cost.read, cost.written
    for layer in layers:
        inputs, outputs = layer.shares_left(decisions)
        macs -= round(layer.macs * (1 - inputs * outputs))
        weights -= round(layer.weights * (1 - inputs * outputs))
        read -= round(layer.read * (1 - inputs))
        written -= round(layer.written * (1 - outputs))
    weights = max(0, weights)  # weights that layers share count once in the group
    return replace(
        cost, macs=max(0, macs), weights=weights, read=read, written=written, stored_bytes=FLOAT_BYTES * weights
    )


def _as_shares(changes: Sequence[LayerChange], decisions: Mapping[str, str]) -> dict[str, str]:
    """Returns the decisions with the shares of channels that they leave in place of values that name these."""
    tables = {change.decision: change.shares for change in changes if isinstance(change, ValueShares)}
    return {name: str(tables[name].get(value, value)) if name in tables else value for name, value in decisions.items()}


def _read_reach(data: Sequence[Any]) -> Reach:
    return tuple((name, share) for name, share in data)


def _share_left(reach: Reach, decisions: Mapping[str, str]) -> float:
    return 1 - sum(share * (1 - float(decisions.get(name, 1))) for name, share in reach)
