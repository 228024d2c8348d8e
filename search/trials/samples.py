"""Samples of a task as the feeds of a file: one inference's input on a device, and batches for calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluators.runtimes import Array
from hwprofiles import Profile
from hwprofiles.errors import InvalidInput
from search.tasks import Task
from search.tasks.drawing import draw_samples
from search.trials.local_runtime import local_runtime

CALIBRATION_BATCH = 8


class Samples:
    """The feeds of one job's fp32 model. Used from one thread."""

    def __init__(self, task: Task, profile: Profile, baseline_path: Callable[[], Path]) -> None:
        """``profile`` is that of the job's first device; ``baseline_path`` returns the model's file."""
        self._task, self._profile, self._baseline_path = task, profile, baseline_path
        self._feeds: dict[int, dict[str, Array]] = {}
        """Input of one inference, by its batch."""
        self._sizes: dict[int, int] = {}
        """Number of samples in such an inference."""

    def of_inference(self, profile: Profile) -> dict[str, Array]:
        """Returns the input of one inference: the first validation samples, as many as the device's batch.

        Samples are repeated if the split has fewer: an inference of another batch would be another measurement. Raises
        :class:`InvalidInput` for a batch that the model cannot take.
        """
        if profile.batch not in self._feeds:
            rows = self._validation_rows(profile.batch)
            session = local_runtime(self._profile).open(self._baseline_path())
            try:
                size = session.samples_at_once(rows, profile.batch)
                if size != profile.batch != 1:
                    raise InvalidInput(
                        f"the model takes {size} samples in one inference, but the device's batch is {profile.batch}",
                        f"write batch: {size} at the device"
                        + ("; scalar inputs must be equal in all samples of a batch" if size == 1 else ""),
                    )
                self._feeds[profile.batch] = session.batches(rows, profile.batch)[0]
                self._sizes[profile.batch] = size
            finally:
                session.close()
        return self._feeds[profile.batch]

    def inference_size(self, batch: int) -> int:
        """Returns the number of samples in one inference on a device with this batch."""
        self.of_inference(replace(self._profile, batch=batch))
        return self._sizes[batch]

    def calibration_batches(self, samples: int) -> list[dict[str, Array]]:
        """Feeds of up to so many calibration samples."""
        inputs = self._task.inputs("calibration")
        chosen = draw_samples(min(map(len, inputs.values())), samples)
        session = local_runtime(self._profile).open(self._baseline_path())
        try:
            rows = {name: values[chosen] for name, values in inputs.items()}
            return session.batches(rows, max(self._profile.batch, CALIBRATION_BATCH))
        finally:
            session.close()

    def _validation_rows(self, count: int) -> dict[str, Array]:
        """Returns the first validation samples, repeated from the first on if there are fewer."""
        inputs = self._task.inputs("validation")
        rows = np.arange(count) % min(map(len, inputs.values()))
        return {name: values[rows] for name, values in inputs.items()}
