"""Costs of layers for one sample, and factors by which a change of the model multiplies them."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

from evaluators.graphs.layer_groups import LayerGroup

FLOAT_BYTES = 4


@dataclass(frozen=True)
class LayerCost:
    """Cost of a layer group for one sample.

    >>> LayerCost(macs=6400, weights=100, read=640, written=640, tokens=64, stored_bytes=400).values
    1280
    """

    macs: int
    """Multiply-accumulates."""
    weights: int
    """Number of trained values."""
    read: int
    """Number of other values that the layers read."""
    written: int
    """Number of values that the layers write."""
    tokens: int
    """Positions at which each weight is used: tokens, steps or pixels of the output."""
    stored_bytes: int
    """Bytes of the weights in the file, in fp32; other precisions take the share of their bits."""

    @classmethod
    def of_group(cls, group: LayerGroup) -> LayerCost:
        """Returns the cost of an unchanged group."""
        tokens = round(group.macs / group.weights) if group.weights else 0
        read = group.values - group.written
        return cls(group.macs, group.weights, read, group.written, tokens, FLOAT_BYTES * group.weights)

    @property
    def values(self) -> int:
        """Number of values that the layers read and write."""
        return max(0, self.read + self.written)

    def scale(self, factors: CostFactors) -> LayerCost:
        """Returns the cost after a change, in whole numbers."""
        return LayerCost(
            macs=round(self.macs * factors.work),
            weights=round(self.weights * factors.weights),
            read=round(self.read * factors.read * factors.tokens),
            written=round(self.written * factors.written * factors.tokens),
            tokens=round(self.tokens * factors.tokens),
            stored_bytes=round(self.stored_bytes * factors.weights * factors.stored_bytes),
        )


@dataclass(frozen=True)
class CostFactors:
    """Factors on the cost of a layer group; 1 leaves it as it is.

    Half the tokens also halve the multiply-accumulates and the values read and written, half the weights also halve the
    stored bytes: the other factors say what changes besides. Raises ``ValueError`` for a negative or infinite factor.

    >>> low_rank = CostFactors(macs=0.25, weights=0.25)
    >>> low_rank * CostFactors(tokens=0.5)
    CostFactors(macs=0.25, weights=0.25, read=1.0, written=1.0, tokens=0.5, stored_bytes=1.0)
    """

    macs: float = 1.0
    """Multiply-accumulates of each token."""
    weights: float = 1.0
    read: float = 1.0
    """Values read for each token."""
    written: float = 1.0
    """Values written for each token."""
    tokens: float = 1.0
    stored_bytes: float = 1.0
    """Stored bytes of each weight."""

    def __post_init__(self) -> None:
        for name, factor in asdict(self).items():
            if not 0 <= factor < math.inf:
                raise ValueError(f"{name}: {factor} is no factor of a cost")

    def __mul__(self, second: CostFactors) -> CostFactors:
        """Returns the factors of both changes together."""
        names = [field.name for field in fields(self)]
        return CostFactors(**{name: getattr(self, name) * getattr(second, name) for name in names})

    @property
    def work(self) -> float:
        """The factor on the multiply-accumulates of all tokens."""
        return self.macs * self.tokens

    @property
    def least(self) -> float:
        """The factor on the cost that falls most; 1 if none falls."""
        values = min(self.read, self.written) * self.tokens
        return min(1.0, self.work, self.weights, self.weights * self.stored_bytes, values)
