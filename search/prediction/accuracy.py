"""The accuracy of a job's latency predictions, as it is stored and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from search.fronts.objectives import metric_value
from search.job.facts import JobFacts
from search.prediction.correction import Correction, accuracy, leave_one_out
from search.prediction.predictor import LayerSum, Predictor
from search.space.candidate import Space
from search.states import TrialState
from search.store import TrialRow

Json = dict[str, Any]

ENOUGH = 8
"""Least number of measured candidates for learning a correction."""


class Assessment:
    """The accuracy of latency predictions on one device, over the candidates measured so far."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._sums: dict[str, LayerSum | None] = {}

    def document(self, measured: Sequence[tuple[str, Mapping[str, str], float]]) -> Json | None:
        """Returns the accuracy over all measured candidates, given as digest, decisions and speed-up; None without a
        table.

        ``plain`` is that of the sums; ``corrected`` predicts each candidate with a correction learnt from all others
        (None with fewer than :data:`ENOUGH` others); ``correction`` is learnt from all of them.
        """
        if not self._predictor.layers:
            return None
        pairs = []
        for digest, decisions, speedup in measured:
            if digest not in self._sums:
                self._sums[digest] = self._predictor.sum(decisions)
            layer_sum = self._sums[digest]
            if layer_sum is not None and speedup > 0:
                pairs.append((layer_sum, 1 / speedup))
        sums, times = [layer_sum for layer_sum, _ in pairs], [time for _, time in pairs]
        document: Json = {
            "layers": self._predictor.layers,
            "plain": accuracy([layer_sum.time for layer_sum in sums], times),
            "corrected": None,
            "correction": None,
        }
        if len(sums) > ENOUGH:
            document["corrected"] = accuracy(leave_one_out(sums, times), times)
            document["correction"] = asdict(Correction.fit(sums, times))
        return document


class Assessments:
    """The accuracy of latency predictions on all devices of a job."""

    def __init__(self, facts: JobFacts, space: Space, labels: Sequence[str]) -> None:
        """``facts`` and ``space`` are the prepared job's, ``labels`` those of its devices, the first one first."""
        tables = facts.layer_tables
        self.predictors = {
            label: Predictor(tables.get(label, ()), space, label if number else None, facts.layer_changes)
            for number, label in enumerate(labels)
        }
        self._assessments = {label: Assessment(predictor) for label, predictor in self.predictors.items()}

    def document(self, rows: Sequence[TrialRow]) -> Json | None:
        """Returns the accuracy by device, over all candidates measured there; None if no device has a table."""
        documents = {}
        for number, (label, assessment) in enumerate(self._assessments.items()):
            metric = f"speedup@{label}" if number else "speedup"
            speedups = [(row, metric_value(row.metrics, metric)) for row in rows if row.state in _MEASURED]
            document = assessment.document([(row.digest, row.decisions, value) for row, value in speedups if value])
            if document is not None:
                documents[label] = document
        return documents or None


_MEASURED = {state for state in TrialState if state.measured}
