"""Hands out the trials of a search to its workers, and takes their answers back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from evaluators.devices.deadline import NEVER, Deadline
from hwprofiles.errors import TransientError, WorkerLost
from search.controller.scheduler import Scheduler
from search.devices.link import DeviceLost
from search.outcome import TrialOutcome
from search.store import TrialRow
from search.trials.earlier import Earlier

LOST_HINT = "see that this machine has memory left"

LOSSES_UNTIL_PUT_OFF = 5
"""Times that the process of one trial may be lost before the trial is put off."""


@dataclass(frozen=True)
class Order:
    """A trial as a worker gets it."""

    digest: str
    decisions: Mapping[str, str]
    earlier: Earlier
    ends_at: float
    """Deadline on the controller's clock."""


@dataclass(frozen=True)
class Answer:
    """A worker's answer to an order."""

    kind: Literal["done", "device lost", "late", "trouble"]
    """``late``: there was no time left to begin; ``trouble``: it failed for a reason that will pass."""
    outcome: TrialOutcome | None = None
    """Of a trial that is done."""
    reason: tuple[str, str] = ("", "")
    """Message and hint of an error."""


class TrialFeed:
    """Hands out what the scheduler has next, and tells it what became of it. Used from one thread.

    ``after_trial`` is called with each finished row and its outcome, ``stopping`` returns whether to hand out no more,
    ``most`` how many may be in work, ``until`` the deadline of a candidate that is handed out now. Errors of the
    scheduler, such as those of a database that is away, end the search.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        after_trial: Callable[[TrialRow, TrialOutcome], None],
        stopping: Callable[[], bool],
        most: Callable[[], int],
        until: Callable[[], Deadline] = lambda: NEVER,
    ) -> None:
        self._scheduler, self._after_trial, self._stopping = scheduler, after_trial, stopping
        self._most, self._until = most, until
        self._open: dict[str, TrialRow] = {}
        self._losses: Counter[str] = Counter()
        self.lost: DeviceLost | None = None
        """The lost device that stopped the search, if any."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to hand out, and nothing in work."""
        return self._scheduler.is_over

    def next(self) -> Order | None:
        """Returns the next trial; None while as many are in work as may be, while a block waits for its last trials,
        and at the end."""
        if self._stopping():
            self._scheduler.stop()
        row = self._scheduler.next() if len(self._open) < self._most() else None
        if row is None:
            return None
        self._open[row.digest] = row
        return Order(row.digest, row.decisions, self._scheduler.earlier, self._until().ends_at)

    def lose(self, order: Order) -> None:
        """Takes back a trial whose worker or node was lost, which is not the fault of the candidate, whose code runs in
        a sandbox: it is handed out again."""
        row = self._open.pop(order.digest)
        self._losses[row.digest] += 1
        if self._losses[row.digest] < LOSSES_UNTIL_PUT_OFF:
            self._scheduler.return_trial(row)
        else:
            self._scheduler.put_off(row, WorkerLost("the worker process was lost", LOST_HINT))

    def take(self, order: Order, answer: Answer) -> None:
        """Records a worker's answer."""
        row = self._open.pop(order.digest)
        if answer.kind == "device lost":
            self.lost = DeviceLost(*answer.reason)
            self._scheduler.abandon(row)
        elif answer.kind == "late":
            self._scheduler.abandon(row)
        elif answer.kind == "trouble" or answer.outcome is None:
            self._scheduler.put_off(row, TransientError(*answer.reason))
        else:
            self._after_trial(self._scheduler.finish(row, answer.outcome), answer.outcome)
