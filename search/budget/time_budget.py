"""Divides a job's time between preparing, searching, and re-measuring the front."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping

from evaluators.devices.deadline import Clock, Deadline
from search.budget.allowance import BRIEF_S

PREPARING_SHARE = 0.4
"""Share of the budget after which preparing measures nothing more on the devices."""

ASKING_SHARE = 0.15
"""Share of the time left once the model is ready that preparing's measurements may use in any case."""

TABLES_SHARE = 0.1
"""Share of the budget for layer tables that are only displayed, and that no strategy searches by."""

SETTLING_S = 4.0
"""Seconds to end the workers of a search and start re-measuring its front."""

FINAL_TIMES = 2
"""Measurements of a member after the search: one to choose by, one to report."""

FINAL_MARGIN = 1.1
"""Safety factor on the estimate of the final measurements."""

TOLERANCE_S, TOLERANCE_SHARE = 15.0, 0.1
"""By how much a budget may be exceeded (the larger of the two): some steps cannot be interrupted."""


class TimeBudget:
    """Deadlines for each phase of a job, so that all of them end within ``total_s`` seconds (infinity: no limit).

    ``spent_s`` is what earlier runs of the job took. Owned by the controller, read from any thread; the process that
    prepares the job gets a copy.
    """

    def __init__(self, total_s: float, spent_s: float = 0.0, clock: Clock = time.monotonic) -> None:
        self.total_s, self.clock = total_s, clock
        self._began = clock() - spent_s
        self._latency_s = self._secondary_s = 0.0
        self._expected_s = 0.0
        self._trials: list[float] = []

    @property
    def has_limit(self) -> bool:
        """Whether the job has a time limit."""
        return math.isfinite(self.total_s)

    @property
    def end(self) -> Deadline:
        """The deadline of the whole job."""
        return Deadline(self._began + self.total_s, self.clock)

    @property
    def preparing(self) -> Deadline:
        """The deadline for preparing's measurements; call it once the model is ready, which may extend it."""
        ends_at = self._began + PREPARING_SHARE * self.total_s
        return Deadline(max(ends_at, self.clock() + ASKING_SHARE * self.end.left_s), self.clock)

    @property
    def tables_s(self) -> float:
        """Seconds for layer tables that are only displayed; 0 for jobs with little time."""
        return 0.0 if self.total_s < BRIEF_S else TABLES_SHARE * self.total_s

    @property
    def final_s(self) -> float:
        """Expected seconds of the final measurements, including one more member."""
        one_more_s = FINAL_TIMES * (self._latency_s + self._secondary_s)
        return FINAL_MARGIN * (self._expected_s + one_more_s) + SETTLING_S

    @property
    def searching(self) -> Deadline:
        """The deadline for starting candidates, so that the final measurements fit."""
        return Deadline(self.end.ends_at - self.final_s, self.clock)

    @property
    def giving_up(self) -> Deadline:
        """The deadline for finishing candidates. Later while there is no front to re-measure: one measured candidate is
        then worth more than the time to measure it twice."""
        return self.searching if self._expected_s else Deadline(self.end.ends_at - SETTLING_S, self.clock)

    @property
    def over_for_trials(self) -> bool:
        """Whether the next candidate would probably not finish in time."""
        typical_s = statistics.median(self._trials[-9:]) if self._trials else 0.0
        return self.searching.left_s <= typical_s

    def left_s(self, pace_s: float | None = None) -> dict[str, float]:
        """Returns the seconds left for the search and the final measurements.

        ``pace_s`` is the expected time of the remaining candidates, if known.
        """
        searching = self.searching.left_s if pace_s is None else min(pace_s, self.searching.left_s)
        return {"searching": searching, "confirming": self.final_s}

    def learn_durations(self, measuring_s: Mapping[str, float]) -> None:
        """Learns from preparing how long a candidate's latency and its secondary metrics take to measure."""
        self._latency_s, self._secondary_s = measuring_s.get("latency", 0.0), measuring_s.get("beside", 0.0)

    def add_trial(self, wall_s: float) -> None:
        """Learns how long a finished candidate took."""
        self._trials.append(wall_s)

    def expect(self, measurements: int) -> None:
        """Expects so many final measurements, each as long as that of the fp32 model."""
        self.expect_s(measurements * (self._latency_s + self._secondary_s))

    def expect_s(self, seconds: float) -> None:
        """Expects the final measurements to take so many seconds."""
        self._expected_s = seconds
