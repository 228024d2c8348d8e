"""What a job's trials add up to: its front, the accuracy of its predictions, and the files worth keeping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.controller.prepared_job import PreparedJob
from search.fronts.joint import Fronts
from search.prediction.accuracy import Assessments
from search.prediction.predictor import Predictor
from search.store import TrialRow


class Results:
    """Stores a job's results, each version once. Call from one thread."""

    def __init__(self, job: PreparedJob) -> None:
        self._job = job
        self._front: dict[str, Any] = {}
        self._accuracy: dict[str, Any] = {}
        self._assessments = Assessments(job.prepared.facts, job.prepared.space, tuple(job.digests))

    @property
    def predictor(self) -> Predictor:
        """Predicts latency on the first device."""
        return next(iter(self._assessments.predictors.values()))

    def store_front(self, fronts: Fronts) -> None:
        """Stores a new version of the front, if it has changed."""
        document = fronts.document
        if document != self._front:
            self._job.store.fronts.add(self._job.lease, document)
            self._front = document

    def store(self, rows: Sequence[TrialRow], fronts: Fronts) -> None:
        """Stores the front and the accuracy of the predictions, and removes files of clearly dominated candidates.

        Removed files can be built again, byte for byte.
        """
        self.store_front(fronts)
        accuracy = self._assessments.document(rows)
        if accuracy is not None and accuracy != self._accuracy:
            self._job.store.jobs.set_prediction(self._job.lease, accuracy)
            self._accuracy = accuracy
        needed = fronts.members_and_contenders
        for row in rows:
            if row.candidate_id not in needed:
                (self._job.folder / f"{row.digest}.onnx").unlink(missing_ok=True)
