"""A model's layers one by one: how long each takes in each precision, and what a mixture of them adds up to.

A layer timed alone also pays for what stands at its ends: static int8 quantises its input and dequantises its output, a
float convolution brings its tensors into the runtime's own layout and back. Between two layers of one format nobody
pays that. So every tensor between layers is priced too: two layers in a row, less twice one of them, is what joining
them saves. A mixture's time is then that of its layers without their ends, and of a conversion wherever the format
changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hwprofiles import Precision

FLOAT, INTEGER = "float", "integer"
"""The formats of a tensor: static int8 reads and writes integers, everything else floats."""


def format_of(precision: Precision) -> str:
    """The format of the tensors that a layer of a precision reads and writes."""
    return INTEGER if precision is Precision.INT8 else FLOAT


@dataclass(frozen=True)
class UnitTime:
    """One layer alone in one precision: its time in yardsticks (:mod:`evaluators.probing.yardstick`) and in
    milliseconds, for the yardstick's speed when the table was made, and its speed-up over fp32 with the interval; or
    the ``reason`` that there are none."""

    precision: Precision
    yardsticks: float | None
    ms: float | None
    ratio: float | None
    ci95: tuple[float, float] | None
    reason: str = ""


@dataclass(frozen=True)
class Unit:
    """Nodes of a layer group that are timed together: one, or matrix products of one input.

    ``times`` holds a time for each value of the group's decision; ``ends`` what reading and writing cost in each
    format, in yardsticks.
    """

    group: str
    nodes: tuple[str, ...]
    key: str
    times: Mapping[str, UnitTime]
    ends: Mapping[str, float]


@dataclass(frozen=True)
class Tensor:
    """A tensor between layers: ``writers`` and ``readers`` are places in the table's units.

    Its format is the writers' where they agree, else float; ``outside`` says that something else writes it too, which
    makes it a plain float. ``escapes`` says that something else reads it. ``ends`` is what entering or leaving a format
    costs there, in yardsticks.
    """

    elements: int
    writers: tuple[int, ...]
    readers: tuple[int, ...]
    outside: bool
    escapes: bool
    ends: Mapping[str, float]


@dataclass(frozen=True)
class Estimate:
    """What a table says of a mixture: its time in yardsticks, and how many values are quantised and dequantised
    between layers."""

    yardsticks: float
    entering: int
    leaving: int


@dataclass(frozen=True)
class LayerTable:
    """All units and tensors of a model on a device.

    ``whole`` is the fp32 model's time, ``overhead`` that of a call that computes nothing, both in yardsticks;
    ``yardstick_ms`` what one yardstick took.
    """

    units: tuple[Unit, ...]
    tensors: tuple[Tensor, ...]
    whole: float
    overhead: float
    yardstick_ms: float

    def estimate(self, values: Mapping[str, str]) -> Estimate | None:
        """The time of the model with these values of its groups (by name; fp32 where one is missing).

        What is no layer counts as in the fp32 model, so that this itself is estimated exactly. None where a layer could
        not be timed in its precision.
        """
        found, fp32 = self.layers(values), self.layers({})
        if found is None or fp32 is None:
            return None
        return Estimate(found.yardsticks - fp32.yardsticks + self.whole, found.entering, found.leaving)

    def layers(self, values: Mapping[str, str]) -> Estimate | None:
        """What the layers alone add up to; None where one could not be timed."""
        total, formats = self.overhead, []
        for unit in self.units:
            time = unit.times.get(values.get(unit.group, Precision.FP32.value))
            if time is None or time.yardsticks is None:
                return None
            formats.append(format_of(time.precision))
            total += time.yardsticks - self.overhead - unit.ends[formats[-1]]
        entering = leaving = 0
        for tensor in self.tensors:
            written = {formats[place] for place in tensor.writers}
            here = written.pop() if len(written) == 1 and not tensor.outside else FLOAT
            other = {formats[place] for place in tensor.readers} - (set() if tensor.outside else {here})
            total += sum(tensor.ends[kind] for kind in other)
            if (other or tensor.escapes) and not tensor.outside:
                total += tensor.ends[here]
            entering += tensor.elements if here == FLOAT and INTEGER in other else 0
            leaving += tensor.elements if here == INTEGER and (other or tensor.escapes) else 0
        return Estimate(total, entering, leaving)

    @property
    def elements(self) -> int:
        """Values between layers, all tensors together."""
        return sum(tensor.elements for tensor in self.tensors)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LayerTable:
        """The inverse of :meth:`to_dict`, also after a trip through JSON."""
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
