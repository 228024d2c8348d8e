"""Evaluation on a modelled device: quality is measured on this machine, speed is bounded by the device's peaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.prediction.modelled import ModelledJob, bounds
from search.trials.device_evaluation import DeviceEvaluator, DeviceResult, Qualities


class ModelledDeviceEvaluator(DeviceEvaluator):
    """See :class:`DeviceEvaluator`; nothing is timed or measured again."""

    def __init__(self, job: ModelledJob, *arguments: Any) -> None:
        """``job`` holds the layers; the further ``arguments`` are those of :class:`DeviceEvaluator`."""
        super().__init__(*arguments)
        self._layers = job

    def evaluate(
        self, path: Path, decisions: Mapping[str, str], qualities: Qualities, *, timed: bool = True
    ) -> DeviceResult:
        """Measures the file's quality on this machine, and adds the bounds on its speed."""
        quality = super().evaluate(path, decisions, qualities, timed=False)
        speed = bounds(self.profile, self._layers, decisions)
        return replace(quality, metrics={**quality.metrics, **speed})
