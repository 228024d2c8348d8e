"""What a device's runtime can do: which precisions it executes, what each gains, and in which steps latency grows."""

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
"""Part of every record; raised when what is probed changes."""

UNASKED = "not asked yet"
"""The reason of a point that there was no time for."""


@dataclass(frozen=True)
class Point:
    """An operator at one width: its speed-up over fp32 with its interval (None for fp32 itself), and its time as a
    multiple of the yardstick's (:mod:`evaluators.probing.yardstick`); or the ``reason`` that there are none.
    ``provisional`` where it was asked at a bad moment (a busy machine, a time-out), and is to be asked again."""

    width: int
    ratio: float | None
    ci95: tuple[float, float] | None
    yardsticks: float | None
    reason: str = ""
    provisional: bool = False

    @property
    def open(self) -> bool:
        """Whether it is still to be asked, or to be asked again: nothing may be concluded from it."""
        return self.provisional or self.reason == UNASKED

    @property
    def slower(self) -> bool:
        """Whether it is clearly slower than fp32, or does not run at all."""
        return not self.open and (self.ci95 is None or self.ci95[1] < 1.0)


@dataclass(frozen=True)
class Sweep:
    """An operator in one precision, over all widths.

    ``activations`` is the number format of static int8's activations, "" for other precisions. ``executes`` names the
    operators that the runtime made of it, the slowest first, none where it does not say; ``integers`` whether the one
    that multiplies works on integers, None where that is not known.
    """

    operator: str
    precision: Precision
    activations: str
    points: tuple[Point, ...]
    granularity: Granularity | None
    executes: tuple[str, ...]
    integers: bool | None

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
    """What a profile's first runtime answered, operator by operator.

    ``complete`` is false where something is still to be asked: time ran out, or the moment was bad. ``yardstick_ms`` is
    how long the yardstick took when the device was probed.
    """

    profile_digest: str
    runtime: str
    runtime_version: str
    complete: bool
    yardstick_ms: float | None
    sweeps: tuple[Sweep, ...]
    version: int = VERSION

    def of(self, operator: str, precision: Precision) -> list[Sweep]:
        """The sweeps of an operator in a precision: one for each number format of activations."""
        return [sweep for sweep in self.sweeps if sweep.operator == operator and sweep.precision == precision]

    def hopeless(self, kind: str, precision: Precision, *, small: bool = False) -> bool:
        """Whether layers of a ``kind`` (an ONNX operator) never gain by a precision, whatever their shape; where
        ``small`` is wanted, whether they never run in it. False where that was not probed, or not to the end."""
        operators = [family.name for family in FAMILIES if family.kind == kind]
        found = [sweep for operator in operators for sweep in self.of(operator, precision)]
        asked = not any(point.open for sweep in found for point in sweep.points)
        return bool(found) and asked and all(not sweep.runs if small else sweep.never_pays for sweep in found)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Capability:
        """The inverse of :meth:`to_dict`, also after a trip through JSON."""
        return cls(**{**data, "sweeps": tuple(map(_sweep, data["sweeps"]))})


def round_width_up(capability: Capability, operator: str, precision: Precision, width: int) -> int:
    """The least width of at least ``width`` that uses whole steps of an operator's latency: what lies between costs as
    much. The width itself where latency grows smoothly, or the precision was not probed.

    Raises :class:`InvalidInput` for an operator that is not probed.
    """
    known = [family.name for family in FAMILIES]
    if operator not in known:
        raise InvalidInput(f"the operator {operator!r} is not probed", f"known: {', '.join(known)}")
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
    """Precisions that none of these layers can gain by, whatever its shape: not worth asking about.

    Where ``small`` is wanted, only those that do not run. A layer of a kind that was not probed rules nothing out.
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
    points = (Point(**{**point, "ci95": point["ci95"] and tuple(point["ci95"])}) for point in data["points"])
    found = data["granularity"]
    return Sweep(
        **{
            **data,
            "precision": Precision(data["precision"]),
            "points": tuple(points),
            "granularity": found and Granularity(**found),
            "executes": tuple(data["executes"]),
        }
    )
