"""Reports the status of a running search to its watcher."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from search.budget.time_budget import TimeBudget
from search.controller.progress import Status, Watcher
from search.fronts.joint import Fronts
from search.states import TrialState
from search.store import TrialRow
from search.trials.activity import notices

LISTEN_S = 1.0
"""Between two readings of what workers say about their candidates."""


class StatusReporter:
    """Reports to ``watcher`` from the controller's threads, one call at a time.

    ``folder`` is the job's, ``simulated`` says that nothing is measured again at the end.
    """

    def __init__(self, watcher: Watcher, folder: Path, budget: TimeBudget, trials: int, *, simulated: bool) -> None:
        self._watcher, self._folder, self._budget, self._simulated = watcher, folder, budget, simulated
        self.trials = trials
        """Candidates to try."""
        self._status, self._lock = Status("queued"), threading.RLock()
        self._searching_since = budget.clock()
        self._confirmed_at = 0.0

    def note(self, text: str) -> None:
        """Passes on a line that stays visible."""
        self._watcher.note(text)

    def candidate(self, row: TrialRow) -> None:
        """Passes on a finished candidate."""
        with self._lock:
            self._watcher.candidate(row)

    def tell(self, phase: str, message: str) -> None:
        """Reports a message in a phase without results."""
        has_limit = phase == "preparing" and self._budget.has_limit
        left = {phase: self._budget.preparing.left_s} if has_limit else {}
        self._pass_on(Status(phase, message, trials=self.trials, left_s=left))

    def tell_rows(self, phase: str, rows: Sequence[TrialRow], fronts: Fronts, message: str = "") -> None:
        """Reports candidates and fronts."""
        front = fronts.first
        states = Counter(row.state.value for row in rows if row.state.finished)
        finished = sum(states.values())
        left_s = self._left_s(phase, finished)
        self._pass_on(
            Status(
                phase,
                message,
                trials=self.trials,
                finished=finished,
                failed=sum(n for state, n in states.items() if not TrialState(state).measured),
                front=len(front.members),
                best_speedup=front.best_speedup,
                seconds_left=sum(left_s.values()) if left_s else None,
                left_s=left_s,
                states=dict(states),
                at_work=self._status.at_work if phase == "searching" else (),
            )
        )

    def start_searching(self) -> None:
        """Starts the clock by which the time left of the search is estimated."""
        self._searching_since = self._budget.clock()

    def start_confirming(self) -> None:
        """Starts the clock by which the time left of the final measurements is estimated."""
        self._confirmed_at = self._budget.clock() + self._budget.final_s

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Inside the block, passes on what workers say about their candidates."""
        stop = threading.Event()

        def listen() -> None:
            while not stop.wait(LISTEN_S):
                at_work = tuple(notices(self._folder).values())
                with self._lock:  # a report of another thread in between would be overwritten
                    if at_work != self._status.at_work:
                        self._pass_on(replace(self._status, at_work=at_work))

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _pass_on(self, status: Status) -> None:
        with self._lock:
            self._status = status
            self._watcher.update(status)

    def _left_s(self, phase: str, finished: int) -> dict[str, float]:
        """Returns the seconds left by phase, from the pace so far and the budget; empty before there is anything to
        judge by."""
        if phase == "confirming":
            return {"confirming": max(0.0, self._confirmed_at - self._budget.clock())}
        if phase != "searching":
            return {}
        elapsed = self._budget.clock() - self._searching_since
        pace_s = elapsed / finished * max(0, self.trials - finished) if finished else None
        if pace_s is None and not self._budget.has_limit:
            return {}
        left = self._budget.left_s(pace_s)
        return {"searching": left["searching"]} if self._simulated else left
