"""How well a job's latencies are predicted, as it is stored and shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from search.fronts.objectives import metric_value
from search.prediction.correction import Correction, accuracy, left_out
from search.prediction.predictor import Predictor, Sum
from search.space.candidate import runtime_decision
from search.space.layer_widths import layer_widths_of
from search.states import TrialState
from search.store import TrialRow

Json = dict[str, Any]

ENOUGH = 8
"""Measured candidates that a correction is learnt from, at least."""


class Assessment:
    """How well a job's latencies are predicted on one device, over the candidates measured so far."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._sums: dict[str, Sum | None] = {}

    def document(self, measured: Sequence[tuple[str, Mapping[str, str], float]]) -> Json | None:
        """From all measured candidates, as digest, decisions and speed-up; None without a table.

        ``plain`` is the sum; ``corrected`` predicts each candidate with a correction learnt from all the others, never
        from itself; None where there are fewer than :data:`ENOUGH` others. ``correction`` is what all of them give.
        """
        if not self._predictor.layers:
            return None
        known = []
        for digest, decisions, speedup in measured:
            if digest not in self._sums:
                self._sums[digest] = self._predictor.sum(decisions)
            found = self._sums[digest]
            if found is not None and speedup > 0:
                known.append((found, 1 / speedup))
        sums, times = [found for found, _ in known], [time for _, time in known]
        document: Json = {
            "layers": self._predictor.layers,
            "plain": accuracy([found.time for found in sums], times),
            "corrected": None,
            "correction": None,
        }
        if len(sums) > ENOUGH:
            document["corrected"] = accuracy(left_out(sums, times), times)
            document["correction"] = asdict(Correction.fitted(sums, times))
        return document


class Assessments:
    """All devices of a job."""

    def __init__(self, facts: Mapping[str, Any], labels: Sequence[str]) -> None:
        """``facts`` as the job was prepared with; ``labels`` of its devices, the first one first."""
        tables = facts.get("layer_tables", {})
        self.predictors = {
            label: Predictor(tables.get(label, ()), runtime_decision(label if number else None), layer_widths_of(facts))
            for number, label in enumerate(labels)
        }
        self._assessments = {label: Assessment(predictor) for label, predictor in self.predictors.items()}

    def document(self, rows: Sequence[TrialRow]) -> Json | None:
        """By device, from all candidates that were measured there; None where no device has a table."""
        found = {}
        for number, (label, assessment) in enumerate(self._assessments.items()):
            metric = f"speedup@{label}" if number else "speedup"
            speedups = [(row, metric_value(row.metrics, metric)) for row in rows if row.state in _MEASURED]
            document = assessment.document([(row.digest, row.decisions, value) for row, value in speedups if value])
            if document is not None:
                found[label] = document
        return found or None


_MEASURED = {state for state in TrialState if state.measured}
