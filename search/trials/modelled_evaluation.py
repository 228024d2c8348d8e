"""Evaluation on a modelled device: quality is measured on this machine, speed is bounded by the device's peaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search.prediction.layer_groups import groups_of
from search.prediction.modelled import bounds
from search.space.layer_widths import layer_widths_of
from search.trials.device_evaluation import DeviceEvaluator, DeviceResult, Qualities


class ModelledDeviceEvaluator(DeviceEvaluator):
    """See :class:`DeviceEvaluator`; nothing is timed or measured again."""

    def evaluate(
        self, path: Path, decisions: Mapping[str, str], qualities: Qualities, *, timed: bool = True
    ) -> DeviceResult:
        """Measure the file's quality on this machine, and add the bounds on its speed."""
        quality = super().evaluate(path, decisions, qualities, timed=False)
        speed = bounds(self.profile, groups_of(self._facts), decisions, layer_widths_of(self._facts))
        return replace(quality, metrics={**quality.metrics, **speed})
