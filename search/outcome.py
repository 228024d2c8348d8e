"""The outcome of a trial: its state, and what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from search.states import TrialState


@dataclass(frozen=True)
class TrialOutcome:
    """What became of a candidate that was tried."""

    state: TrialState
    reason: str | None = None
    """Why it failed or is infeasible."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    artifact_sha256: str | None = None
    """Digest of the ONNX file."""
    measurement: dict[str, Any] | None = None
    """The measurement of the job's first device, with raw samples."""
    further_measurements: tuple[dict[str, Any], ...] = ()
    """The measurements of the job's other devices."""
    wall_s: float = 0.0
    """Seconds that it took."""

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrialOutcome:
        """Returns the inverse of :meth:`to_dict`."""
        further = tuple(data["further_measurements"])
        return cls(**{**data, "state": TrialState(data["state"]), "further_measurements": further})
