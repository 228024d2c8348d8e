"""Options of a search for number formats within one training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from search.bounds import LARGEST, MOST_AT_ONCE, MOST_ITEMS

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=LARGEST, allow_inf_nan=False)]


class OneShotOptions(BaseModel):
    """Options of a one-shot search; points in time are shares of the training. Does not import torch."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    targets: tuple[Positive, ...] = Field((16.0, 28.0, 45.0), min_length=1, max_length=MOST_ITEMS)
    """How many times cheaper than fp32 the candidates shall be."""
    cost: Literal["bit_operations", "size", "latency"] = "bit_operations"
    """Bit-operations, bytes of stored weights, or latency by the device's layer table."""
    delay: Share = 0.05
    """End of the warm-up, in which formats are drawn around the target and nothing is learnt."""
    inputs_from: Share = 0.05
    """When the rounding of inputs starts."""
    settle: float = Field(0.15, gt=0, le=1)
    """When formats are fixed."""
    samples: int = Field(16, ge=1, le=MOST_AT_ONCE)
    """Draws per step whose quality is computed."""
    beta: Positive = 0.5
    """Weight of the distance from the target against the quality (the mean probability of the right class)."""
    entropy: float = Field(0.5, ge=0, le=LARGEST, allow_inf_nan=False)
    """Final weight of the policy's entropy."""
    learning_rate: Positive = 5e-3
    """Smallest step of the policy."""
    reach: Positive = 20.0
    """Smallest sum of the policy's steps: makes them longer in short trainings."""
    momentum: Share = 0.95
    """Momentum of the moving average of rewards, the baseline of a single sample."""

    @field_validator("targets")
    @classmethod
    def _distinct(cls, targets: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(dict.fromkeys(targets))
