"""Encodings of a module's units: what a strategy may know of a layer or block that decisions are about."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

UnitKind = Literal["conv", "depthwise", "transposed", "linear", "attention", "block"]
"""``block``: several layers and a plain shortcut around them; ``attention``: the heads of query, key and value."""

REMOVAL = "#keep"
"""Ends the targets of decisions about whether a unit stays."""


@dataclass(frozen=True)
class UnitEncoding:
    """A unit of the unchanged module, as N2N encodes layers (x_t in Ashok et al., ICLR 2018).

    >>> UnitEncoding("conv", 3, 1, 1, 64).numbers
    (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.25, 0.25, 1.51, 0.0, 0.0)
    """

    kind: UnitKind
    kernel: int
    """Along its longest axis; 1 for a linear layer. Like stride and padding that of the unit's first layer, or of a
    block's layer with the largest kernel."""
    stride: int
    padding: int
    outputs: int
    """Channels that the unit gives."""
    starts_skip: bool = False
    """Whether a shortcut leaves from the unit's input."""
    ends_skip: bool = False
    """Whether the unit's output is added to a shortcut."""

    @property
    def numbers(self) -> tuple[float, ...]:
        """The encoding as numbers of similar size, 12 for each unit of any module: the kind as one-hot, then kernel,
        stride, padding and outputs on a logarithmic scale, then the two flags."""
        kinds = (float(self.kind == kind) for kind in get_args(UnitKind))
        sizes = (round(math.log2(1 + size) / 4, 2) for size in (self.kernel, self.stride, self.padding, self.outputs))
        return (*kinds, *sizes, float(self.starts_skip), float(self.ends_skip))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UnitEncoding:
        """Returns the inverse of :meth:`to_dict`."""
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return asdict(self)


ENCODING_SIZE = len(UnitEncoding("conv", 1, 1, 0, 1).numbers)
"""Numbers of an encoding."""


def family_of(encodings: Mapping[str, UnitEncoding]) -> str:
    """Returns the kinds of a module's units with their numbers, from the encodings by the decisions' targets.

    >>> conv = UnitEncoding("conv", 3, 1, 1, 64)
    >>> family_of({"stem": conv, "stem#keep": conv, "head": UnitEncoding("linear", 1, 1, 0, 10)})
    'conv 1, linear 1'
    """
    units = {target.removesuffix(REMOVAL): encoding.kind for target, encoding in encodings.items()}
    counts = Counter(units.values())
    return ", ".join(f"{kind} {counts[kind]}" for kind in get_args(UnitKind) if kind in counts)
