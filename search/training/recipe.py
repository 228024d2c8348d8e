"""Recipe of a training, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from search.bounds import LARGEST, MOST, MOST_AT_ONCE, MOST_THREADS, Seed


class Recipe(BaseModel):
    """Everything that a training depends on besides module, teacher and data. Rejects unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epochs: int = Field(10, ge=1, le=MOST)
    steps: int | None = Field(None, ge=1, le=1000 * MOST, description="batches in all, in the place of epochs")
    batch: int = Field(64, ge=1, le=MOST_AT_ONCE)
    learning_rate: float = Field(1e-3, gt=0, le=LARGEST, allow_inf_nan=False)
    warm_up: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(1e-2, ge=0, le=LARGEST, allow_inf_nan=False)
    gradient_clip: float | None = Field(None, gt=0, le=LARGEST, description="largest norm of all gradients together")
    losses: dict[str, dict[str, Any]] = Field({"task": {}, "kl": {}}, min_length=1)
    """Options by name in :data:`search.training.losses.LOSSES`; a number is short for ``{weight: number}``."""
    patience: int | None = Field(
        3, ge=1, le=MOST, description="evaluations without a better figure before training stops"
    )
    evaluate_every: int | None = Field(None, ge=1, le=1000 * MOST, description="steps; null: an epoch")
    halving: int | None = Field(
        None, ge=2, le=MOST, description="keeps the best 1 / halving of all trainings at each rung"
    )
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    threads: int | None = Field(None, ge=1, le=MOST_THREADS, description="null: one a usable core")
    seed: Seed = 0

    @field_validator("losses", mode="before")
    @classmethod
    def _weights(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        weights = {name: v for name, v in value.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        return {**value, **{name: {"weight": weight} for name, weight in weights.items()}}
