"""The Ray side of a search: an actor that runs trials, and a searcher that hands them out."""

from __future__ import annotations

import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from evaluators.devices.deadline import NEVER, Deadline
from hwprofiles.errors import NotAsked, ParetuneError, TransientError, WorkerLost, first_line
from search.budget.allowance import Allowance
from search.controller.scheduler import Scheduler
from search.devices.cluster import settings  # noqa: F401 - before Ray
from search.devices.link import DeviceLost
from search.job.facts import JobFacts
from search.outcome import TrialOutcome
from search.store import TrialRow
from search.trials.context import JobContext
from search.trials.earlier import Earlier
from search.trials.trial import TrialRunner

# isort: split
from ray import tune
from ray.tune.search import Searcher

_LOST_HINT = "see that this machine has memory left"

LOSSES_UNTIL_PUT_OFF = 5
"""Times that the process of one trial may be lost before the trial is put off."""


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


class CandidateTrainable(tune.Trainable):  # type: ignore[misc]
    """An actor that runs one candidate after another, and keeps its sandboxes."""

    def setup(
        self, config: dict[str, Any], order: JobContext, facts: JobFacts, folder: str,
        allowance: Allowance = Allowance(), node: Setup | None = None,  # noqa: B008 - frozen
    ) -> None:  # fmt: skip
        """Called once per actor; on a cluster with a ``node`` setup."""
        self._clock = allowance.ends.clock
        self._candidate = config
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

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Sets the next candidate of the actor."""
        self._candidate = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Runs the candidate; the outcome is returned as text, since Tune flattens mappings key by key."""
        try:
            if self._runner is None:
                raise self._trouble or WorkerLost("the worker process could not begin", _LOST_HINT)
            outcome = self._runner.run(
                json.loads(self._candidate["decisions"]),
                self._candidate["digest"],
                Earlier.from_text(self._candidate["earlier"]),
                Deadline(self._candidate["ends_at"], self._clock),
            )
        except DeviceLost as error:
            return {"outcome": json.dumps({"lost": [error.message, error.hint]}), "done": True}
        except NotAsked:
            return {"outcome": json.dumps({"late": True}), "done": True}
        except ParetuneError as error:  # transient
            return {"outcome": json.dumps({"trouble": [error.message, error.hint]}), "done": True}
        except Exception as error:  # noqa: BLE001 - a mistake of ours: no code of the candidate runs here
            traceback.print_exc()
            reason = f"unexpected {type(error).__name__}: {first_line(error)}"
            return {"outcome": json.dumps({"trouble": [reason, ""]}), "done": True}
        return {"outcome": json.dumps(outcome.to_dict()), "done": True}

    def cleanup(self) -> None:
        """Called when the actor ends."""
        if self._runner is not None:
            self._runner.close()


class SearchEnded(BaseException):
    """Raised through Tune, which takes any other exception of its callbacks for that of a trial, and calls them again.

    ``error`` ended the search, such as a database that cannot be reached.
    """

    def __init__(self, error: ParetuneError) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def _through_tune() -> Iterator[None]:
    try:
        yield
    except ParetuneError as error:
        raise SearchEnded(error) from error


class BlockSearcher(Searcher):  # type: ignore[misc]
    """Adapts our scheduler to Tune; errors of the scheduler end the search as :class:`SearchEnded`.

    ``after_trial`` is called with each finished row and its outcome, ``stopping`` returns whether to hand out no more,
    ``most`` how many may be in work, ``until`` the deadline of a candidate that is handed out now.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        after_trial: Callable[[TrialRow, TrialOutcome], None],
        stopping: Callable[[], bool],
        most: Callable[[], int],
        until: Callable[[], Deadline] = lambda: NEVER,
    ) -> None:
        super().__init__(metric="outcome", mode="max")
        self._scheduler, self._after_trial, self._stopping = scheduler, after_trial, stopping
        self._most, self._until = most, until
        self._running: dict[str, TrialRow] = {}
        self._losses: Counter[str] = Counter()
        self.lost: DeviceLost | None = None
        """The lost device that stopped the search, if any."""

    def __reduce__(self) -> tuple[type[Searcher], tuple[()]]:
        """Tune pickles its configuration for its own restore, which we never use: we resume from the store."""
        return (Searcher, ())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Returns the next candidate, None while a block is open, or the end marker."""
        with _through_tune():
            if self._stopping():
                self._scheduler.stop()
            row = self._scheduler.next() if len(self._running) < self._most() else None
        if row is None:
            return Searcher.FINISHED if self._scheduler.is_over else None
        self._running[trial_id] = row
        return {
            "decisions": json.dumps(row.decisions), "digest": row.digest, "number": row.number,
            "earlier": self._scheduler.earlier.text, "ends_at": self._until().ends_at,
        }  # fmt: skip

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Records the outcome. A lost actor or node is not the fault of its candidate, whose code runs in a sandbox: it
        is handed out again."""
        row = self._running.pop(trial_id)
        with _through_tune():
            self._take_back(row, result, error=error)

    def _take_back(self, row: TrialRow, result: dict[str, Any] | None, *, error: bool) -> None:
        if error or result is None or "outcome" not in result:
            self._losses[row.digest] += 1
            if self._losses[row.digest] < LOSSES_UNTIL_PUT_OFF:
                self._scheduler.return_trial(row)
            else:
                self._scheduler.put_off(row, WorkerLost("the worker process was lost", _LOST_HINT))
            return
        answer = json.loads(result["outcome"])
        if "lost" in answer:
            self.lost = DeviceLost(*answer["lost"])
            self._scheduler.abandon(row)
            return
        if "late" in answer:
            self._scheduler.abandon(row)
            return
        if "trouble" in answer:
            self._scheduler.put_off(row, TransientError(*answer["trouble"]))
            return
        outcome = TrialOutcome.from_dict(answer)
        self._after_trial(self._scheduler.finish(row, outcome), outcome)

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: we resume from the store."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing: we resume from the store."""
