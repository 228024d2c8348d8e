"""A modelled device of a job: quality is evaluated here, speed is what its peaks allow at best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from search.prediction.layer_groups import groups_of
from search.prediction.modelled import bounds
from search.space.layer_widths import scales_of
from search.trials.device_evaluation import DeviceEvaluator, DeviceResult, Known


class ModelledDeviceEvaluator(DeviceEvaluator):
    """See :class:`DeviceEvaluator`; nothing is timed, and nothing is measured again."""

    def evaluate(self, path: Path, decisions: Mapping[str, str], known: Known, *, timed: bool = True) -> DeviceResult:
        """The file's real quality, taken on this machine, and the bounds on its speed."""
        quality = super().evaluate(path, decisions, known, timed=False)
        speed = bounds(self.profile, groups_of(self._facts), decisions, scales_of(self._facts))
        return replace(quality, metrics={**quality.metrics, **speed})
