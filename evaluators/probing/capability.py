"""Capability of a device's runtime: precisions that it executes, their speed-ups, and steps of latency over width."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from evaluators.graphs.layer_groups import LayerGroup
from evaluators.probing.granularity import Granularity
from evaluators.probing.operators import FAMILIES
from hwprofiles import Precision
from hwprofiles.errors import InvalidInput

VERSION = 2
"""Version of what is probed; part of every record."""

UNASKED = "not asked yet"
"""The reason of a point for which there was no time."""


@dataclass(frozen=True)
class SweepPoint:
    """Result of an operator at one width."""

    width: int
    ratio: float | None
    """Speed-up over fp32; None for fp32 itself."""
    ci95: tuple[float, float] | None
    """Interval of ``ratio``."""
    yardsticks: float | None
    """Time as a multiple of the yardstick's (:mod:`evaluators.probing.yardstick`)."""
    reason: str = ""
    """Why there are no figures."""
    provisional: bool = False
    """Whether the measurement was disturbed (a busy machine, a time-out) and is to be repeated."""

    @property
    def open(self) -> bool:
        """Whether it must be measured, or measured again: nothing may be concluded from it."""
        return self.provisional or self.reason == UNASKED

    @property
    def slower(self) -> bool:
        """Whether it is clearly slower than fp32, or does not run."""
        return not self.open and (self.ci95 is None or self.ci95[1] < 1.0)


@dataclass(frozen=True)
class Sweep:
    """Results of an operator in one precision, over all widths."""

    operator: str
    precision: Precision
    activations: str
    """Number type of static int8's activations; "" for other precisions."""
    points: tuple[SweepPoint, ...]
    granularity: Granularity | None
    executes: tuple[str, ...]
    """Operators that the runtime executed for it, the slowest first; empty if it does not report them."""
    integers: bool | None
    """Whether the executed operator that multiplies works on integers; None if unknown."""

    @property
    def runs(self) -> bool:
        """Whether the device executes it at any width."""
        return any(point.ratio is not None or point.yardsticks is not None for point in self.points)

    @property
    def never_pays(self) -> bool:
        """Whether it is clearly slower than fp32, or does not run, at every width."""
        return all(point.slower for point in self.points)


@dataclass(frozen=True)
class Capability:
    """Results of a profile's first runtime, operator by operator."""

    profile_digest: str
    runtime: str
    runtime_version: str
    complete: bool
    """False if a point is open: time ran out, or the machine was busy."""
    yardstick_ms: float | None
    """Median time of the yardstick during probing."""
    sweeps: tuple[Sweep, ...]
    version: int = VERSION

    def of(self, operator: str, precision: Precision) -> list[Sweep]:
        """Returns the sweeps of an operator in a precision, one per number type of activations."""
        return [sweep for sweep in self.sweeps if sweep.operator == operator and sweep.precision == precision]

    def hopeless(self, kind: str, precision: Precision, *, small: bool = False) -> bool:
        """Returns whether a precision is never faster for layers of a ``kind`` (an ONNX operator), whatever their
        shape.

        If ``small`` models are wanted: whether such layers never run in it. False if a point is open or not probed.
        """
        operators = [family.name for family in FAMILIES if family.kind == kind]
        sweeps = [sweep for operator in operators for sweep in self.of(operator, precision)]
        complete = not any(point.open for sweep in sweeps for point in sweep.points)
        return bool(sweeps) and complete and all(not sweep.runs if small else sweep.never_pays for sweep in sweeps)

    def to_dict(self) -> dict[str, Any]:
        """Returns the capability as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Capability:
        """Creates a capability from the result of :meth:`to_dict`, also after a round trip through JSON."""
        return cls(**{**data, "sweeps": tuple(map(_sweep, data["sweeps"]))})


def round_width_up(capability: Capability, operator: str, precision: Precision, width: int) -> int:
    """Rounds ``width`` up to whole steps of an operator's latency, since widths in between take as long.

    Returns the width itself if latency grows smoothly, or if the precision was not probed.

    Raises :class:`InvalidInput` for an operator that is not probed.
    """
    operators = [family.name for family in FAMILIES]
    if operator not in operators:
        raise InvalidInput(f"the operator {operator!r} is not probed", f"known: {', '.join(operators)}")
    steps = [
        sweep.granularity.step
        for sweep in capability.of(operator, precision)
        if sweep.granularity is not None and sweep.granularity.step is not None
    ]
    step = max(steps, default=1)
    return -(-width // step) * step


def hopeless_precisions(
    capability: Capability | None, groups: Iterable[LayerGroup], *, small: bool
) -> frozenset[Precision]:
    """Returns precisions in which none of these layers is faster, whatever its shape; they need no benchmark.

    If ``small`` models are wanted, only precisions that do not run. A kind of layer that was not probed excludes none.
    """
    if capability is None:
        return frozenset()
    hopeless = set()
    for precision in set(Precision) - {Precision.FP32}:
        kinds = {group.kind for group in groups if precision in group.precisions}
        if kinds and all(capability.hopeless(kind, precision, small=small) for kind in kinds):
            hopeless.add(precision)
    return frozenset(hopeless)


def _sweep(data: Mapping[str, Any]) -> Sweep:
    points = (SweepPoint(**{**point, "ci95": point["ci95"] and tuple(point["ci95"])}) for point in data["points"])
    step = data["granularity"]
    return Sweep(
        **{
            **data,
            "precision": Precision(data["precision"]),
            "points": tuple(points),
            "granularity": step and Granularity(**step),
            "executes": tuple(data["executes"]),
        }
    )
