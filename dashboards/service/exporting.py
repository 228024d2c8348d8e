"""The options of an export that a worker is asked for, checked."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ExportOptions(BaseModel):
    """How a candidate is exported; as the options of ``paretune export``."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device: str | None = Field(None, min_length=1, max_length=255)
    target: Literal["onnx"] = "onnx"
    wait_quiet_s: float = Field(0.0, ge=0, le=3600)
    """Measures again for up to so many seconds until the machine is quiet."""
