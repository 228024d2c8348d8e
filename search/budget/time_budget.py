"""What a job's minutes are spent on: preparing, searching, and measuring the front again."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any

from evaluators.devices.deadline import Clock, Deadline
from search.budget.allowance import BRIEF_S

PREPARING_SHARE = 0.4
"""Of the budget, by the end of which the devices are asked no more questions."""

ASKING_SHARE = 0.15
"""Of what is left once the model is ready, which questions have in any case."""

TABLES_SHARE = 0.1
"""Of the budget that layer tables may take which only tell, and that nobody searches by."""

SETTLING_S = 4.0
"""To end the workers of a search, and to begin to measure its front again."""

FINAL_TIMES = 2
"""Measurements of a member after the search: one to choose by, one to report."""

FINAL_MARGIN = 1.1
"""On the estimate of the final measurements."""

TOLERANCE_S, TOLERANCE_SHARE = 15.0, 0.1
"""What a budget may be passed by, the larger of the two: whatever cannot be interrupted."""


class TimeBudget:
    """Says for how long each phase of a job may last, so that all of them end within ``total_s`` seconds (infinity: no
    limit). ``spent_s`` is what earlier runs of the job took. Owned by the controller, read from any thread; a copy
    travels to the process that prepares the job."""

    def __init__(self, total_s: float, spent_s: float = 0.0, clock: Clock = time.monotonic) -> None:
        self.total_s, self.clock = total_s, clock
        self._began = clock() - spent_s
        self._latency_s = self._beside_s = 0.0
        self._expected_s = 0.0
        self._trials: list[float] = []

    @property
    def end(self) -> Deadline:
        """When everything is to be over."""
        return Deadline(self._began + self.total_s, self.clock)

    @property
    def preparing(self) -> Deadline:
        """When the devices are asked no more questions; later where the model, without which there is nothing to ask
        about, is ready only now."""
        ends_at = self._began + PREPARING_SHARE * self.total_s
        return Deadline(max(ends_at, self.clock() + ASKING_SHARE * self.end.left_s), self.clock)

    @property
    def tables_s(self) -> float:
        """What layer tables may take that only tell; there are none where every second counts."""
        return 0.0 if self.total_s < BRIEF_S else TABLES_SHARE * self.total_s

    @property
    def final_s(self) -> float:
        """How long the final measurements are expected to take, with the candidate that is worked on among them."""
        one_more_s = FINAL_TIMES * (self._latency_s + self._beside_s)
        return FINAL_MARGIN * (self._expected_s + one_more_s) + SETTLING_S

    @property
    def searching(self) -> Deadline:
        """When no candidate is begun any more, so that the final measurements fit."""
        return Deadline(self.end.ends_at - self.final_s, self.clock)

    @property
    def giving_up(self) -> Deadline:
        """When candidates that are still worked on are given up. While there is nothing to measure again, a candidate
        that was measured once is worth more than time to measure it twice."""
        return self.searching if self._expected_s else Deadline(self.end.ends_at - SETTLING_S, self.clock)

    @property
    def over_for_trials(self) -> bool:
        """Whether the next candidate would not be finished in time."""
        typical_s = statistics.median(self._trials[-9:]) if self._trials else 0.0
        return self.searching.left_s <= typical_s

    def left_s(self, pace_s: float | None = None) -> dict[str, float]:
        """Seconds that are left of the search and of the final measurements; ``pace_s`` is what the candidates that are
        left will take, where that is known."""
        searching = self.searching.left_s if pace_s is None else min(pace_s, self.searching.left_s)
        return {"searching": searching, "confirming": self.final_s}

    def measured(self, facts: Mapping[str, Any]) -> None:
        """Learns from preparing how long it takes to measure a candidate, and what is beside its latency."""
        taken = facts.get("measuring_s", {})
        self._latency_s, self._beside_s = float(taken.get("latency", 0.0)), float(taken.get("beside", 0.0))

    def tried(self, wall_s: float) -> None:
        """Learns from a finished candidate."""
        self._trials.append(wall_s)

    def expect(self, measurements: int) -> None:
        """So many measurements are to be made of the front as it now is, each as long as that of the fp32 model."""
        self.expect_s(measurements * (self._latency_s + self._beside_s))

    def expect_s(self, seconds: float) -> None:
        """To measure the front as it now is will take so long."""
        self._expected_s = seconds
