"""Works on the trials of a search, one after another, in a process of its own."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from evaluators.devices.deadline import Deadline
from hwprofiles.errors import NotAsked, ParetuneError, WorkerLost, first_line
from search.budget.allowance import Allowance
from search.controller.trial_feed import LOST_HINT, Answer, Order
from search.devices.link import DeviceLost
from search.job.facts import JobFacts
from search.outcome import TrialOutcome
from search.trials.context import JobContext
from search.trials.earlier import Earlier
from search.trials.trial import TrialRunner


class Runner(Protocol):
    """Runs trials: :class:`TrialRunner`, or on a cluster :class:`search.controller.node_setup.NodeRunner`."""

    def run(self, decisions: Mapping[str, str], digest: str, earlier: Earlier, ends: Deadline) -> TrialOutcome:
        """See :meth:`TrialRunner.run`."""

    def close(self) -> None:
        """See :meth:`TrialRunner.close`."""


class Setup(Protocol):
    """Makes the runner of a process on a node of a cluster."""

    def runner(self, context: JobContext, facts: JobFacts, allowance: Allowance) -> Runner:
        """Makes the runner."""


class TrialWorker:
    """Works on one trial after another, and keeps its sandboxes; on a cluster with a ``node`` setup."""

    def __init__(
        self, order: JobContext, facts: JobFacts, folder: str, allowance: Allowance = Allowance(),  # noqa: B008 - frozen
        node: Setup | None = None,
    ) -> None:  # fmt: skip
        self._clock = allowance.ends.clock
        self._runner: Runner | None = None
        self._trouble: ParetuneError | None = None
        try:
            self._runner = (
                TrialRunner(order, facts, Path(folder), allowance=allowance)
                if node is None
                else node.runner(order, facts, allowance)
            )
        except ParetuneError as error:
            self._trouble = error

    def begin(self) -> None:
        """Does nothing: an answer says that the process is there."""

    def run(self, order: Order) -> Answer:
        """Works on a trial (seconds to hours)."""
        try:
            if self._runner is None:
                raise self._trouble or WorkerLost("the worker process could not begin", LOST_HINT)
            ends = Deadline(order.ends_at, self._clock)
            outcome = self._runner.run(order.decisions, order.digest, order.earlier, ends)
        except DeviceLost as error:
            return Answer("device lost", reason=(error.message, error.hint))
        except NotAsked:
            return Answer("late")
        except ParetuneError as error:  # transient
            return Answer("trouble", reason=(error.message, error.hint))
        except Exception as error:  # noqa: BLE001 - a mistake of ours: no code of the candidate runs here
            traceback.print_exc()
            return Answer("trouble", reason=(f"unexpected {type(error).__name__}: {first_line(error)}", ""))
        return Answer("done", outcome)

    def close(self) -> None:
        """Ends the sandboxes."""
        if self._runner is not None:
            self._runner.close()
