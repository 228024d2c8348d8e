"""Layer tables: the time of each layer of a model in each precision, from which mixtures are estimated.

A layer measured alone includes conversions at its ends: static int8 quantises its input and dequantises its output, a
float convolution converts its tensors to the runtime's own layout and back. Between two layers of one format these
conversions do not happen. So the conversions of each tensor between layers are measured too: twice the time of one
layer, minus the time of two layers in a row. The estimate of a mixture is the sum of its layers without their ends,
plus a conversion wherever the format changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwprofiles import Precision

FLOAT, INTEGER = "float", "integer"
"""Formats of a tensor: static int8 reads and writes integers, other precisions floats."""


def format_of(precision: Precision) -> str:
    """Returns the format of the tensors that a layer in a precision reads and writes."""
    return INTEGER if precision is Precision.INT8 else FLOAT


@dataclass(frozen=True)
class UnitTime:
    """Time of one layer alone in one precision."""

    precision: Precision
    yardsticks: float | None
    """Multiple of the yardstick's time (:mod:`evaluators.probing.yardstick`)."""
    ms: float | None
    """Milliseconds, at the yardstick's speed when the table was made."""
    ratio: float | None
    """Speed-up over fp32."""
    ci95: tuple[float, float] | None
    """Interval of ``ratio``."""
    reason: str = ""
    """Why there are no figures."""


@dataclass(frozen=True)
class Unit:
    """Nodes of a layer group that are timed together: one node, or matrix products of one input."""

    group: str
    nodes: tuple[str, ...]
    key: str
    """See :func:`evaluators.probing.single_layer.layer_key`."""
    times: Mapping[str, UnitTime]
    """By value of the group's decision."""
    ends: Mapping[str, float]
    """By format, the cost of converting inputs and outputs, in yardsticks."""


@dataclass(frozen=True)
class Tensor:
    """A tensor between layers. Its format is that of its writers if they agree, else float."""

    elements: int
    writers: tuple[int, ...]
    """Indices in the table's units."""
    readers: tuple[int, ...]
    """Indices in the table's units."""
    outside: bool
    """Whether other nodes write it too; it is then a plain float."""
    escapes: bool
    """Whether other nodes read it."""
    ends: Mapping[str, float]
    """By format, the cost of converting to or from it here, in yardsticks."""


@dataclass(frozen=True)
class Estimate:
    """A table's estimate of a mixture."""

    yardsticks: float
    entering: int
    """Number of values that are quantised between layers."""
    leaving: int
    """Number of values that are dequantised between layers."""


@dataclass(frozen=True)
class LayerTable:
    """Measured times of a model's layers on a device."""

    units: tuple[Unit, ...]
    tensors: tuple[Tensor, ...]
    whole: float
    """Time of the fp32 model, in yardsticks."""
    overhead: float
    """Time of a call that computes nothing, in yardsticks."""
    yardstick_ms: float
    """Time of one yardstick."""

    def estimate(self, values: Mapping[str, str]) -> Estimate | None:
        """Estimates the model's time for values of its decisions, by group name; missing groups are fp32.

        Nodes that are no layers take as long as in the fp32 model, whose own estimate is therefore exact. Returns None
        if a layer could not be timed in its precision.
        """
        layers, fp32 = self.layers(values), self.layers({})
        if layers is None or fp32 is None:
            return None
        return Estimate(layers.yardsticks - fp32.yardsticks + self.whole, layers.entering, layers.leaving)

    def layers(self, values: Mapping[str, str]) -> Estimate | None:
        """Estimates the time of the layers alone; None if one could not be timed."""
        total, formats = self.overhead, []
        for unit in self.units:
            time = unit.times.get(values.get(unit.group, Precision.FP32.value))
            if time is None or time.yardsticks is None:
                return None
            formats.append(format_of(time.precision))
            total += time.yardsticks - self.overhead - unit.ends[formats[-1]]
        entering = leaving = 0
        for tensor in self.tensors:
            written = {formats[index] for index in tensor.writers}
            source = written.pop() if len(written) == 1 and not tensor.outside else FLOAT
            targets = {formats[index] for index in tensor.readers} - (set() if tensor.outside else {source})
            total += sum(tensor.ends[target] for target in targets)
            if (targets or tensor.escapes) and not tensor.outside:
                total += tensor.ends[source]
            entering += tensor.elements if source == FLOAT and INTEGER in targets else 0
            leaving += tensor.elements if source == INTEGER and (targets or tensor.escapes) else 0
        return Estimate(total, entering, leaving)

    @property
    def elements(self) -> int:
        """Number of values in all tensors between layers."""
        return sum(tensor.elements for tensor in self.tensors)

    def to_dict(self) -> dict[str, Any]:
        """Returns the table as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerTable:
        """Creates a table from the result of :meth:`to_dict`, also after a round trip through JSON."""
        tensors = (
            Tensor(**{**tensor, "writers": tuple(tensor["writers"]), "readers": tuple(tensor["readers"])})
            for tensor in data["tensors"]
        )
        return cls(**{**data, "units": tuple(map(_unit, data["units"])), "tensors": tuple(tensors)})


def _unit(data: Mapping[str, Any]) -> Unit:
    times = {
        value: UnitTime(
            **{**time, "precision": Precision(time["precision"]), "ci95": time["ci95"] and tuple(time["ci95"])}
        )
        for value, time in data["times"].items()
    }
    return Unit(**{**data, "nodes": tuple(data["nodes"]), "times": times})
