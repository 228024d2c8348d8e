"""Ray's side of a search: a reused actor that works on trials, and a searcher that hands them out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from evaluators.devices.deadline import NEVER, Deadline
from hwprofiles.errors import NotAsked, ParetuneError, PassingTrouble, WorkerLost
from search.budget.allowance import Allowance
from search.controller.scheduler import Scheduler
from search.devices.link import DeviceLost
from search.store import TrialRow
from search.trials.context import JobContext
from search.trials.trial import Outcome, TrialRunner

_LOST_HINT = "see that this machine has memory left"


class CandidateTrainable(tune.Trainable):  # type: ignore[misc]
    """One actor that works on one candidate after another, keeping its sandboxes between them."""

    def setup(
        self, config: dict[str, Any], order: JobContext, facts: dict[str, Any], folder: str,
        allowance: Allowance = Allowance(),  # noqa: B008 - frozen
    ) -> None:  # fmt: skip
        """Called once an actor."""
        self._runner = TrialRunner(order, facts, Path(folder), allowance=allowance)
        self._clock = allowance.ends.clock
        self._candidate = config

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The same actor takes the next candidate."""
        self._candidate = new_config
        return True

    def step(self) -> dict[str, Any]:
        """Works on the candidate; the outcome travels as text, since Tune flattens mappings key by key."""
        try:
            outcome = self._runner.run(
                json.loads(self._candidate["decisions"]),
                self._candidate["digest"],
                json.loads(self._candidate["earlier"]),
                Deadline(self._candidate["ends_at"], self._clock),
            )
        except DeviceLost as error:
            return {"outcome": json.dumps({"lost": [error.message, error.hint]}), "done": True}
        except NotAsked:
            return {"outcome": json.dumps({"late": True}), "done": True}
        except ParetuneError as error:  # the moment's
            return {"outcome": json.dumps({"trouble": [error.message, error.hint]}), "done": True}
        return {"outcome": json.dumps(outcome.to_dict()), "done": True}

    def cleanup(self) -> None:
        """Called when the actor ends."""
        self._runner.close()


class BlockSearcher(Searcher):  # type: ignore[misc]
    """Tune's view of our scheduler. ``finished`` is told each row with its outcome, ``stopping`` says when to hand out
    no more, ``until`` when one that is handed out now is given up."""

    def __init__(
        self,
        scheduler: Scheduler,
        finished: Callable[[TrialRow, Outcome], None],
        stopping: Callable[[], bool],
        until: Callable[[], Deadline] = lambda: NEVER,
    ) -> None:
        super().__init__(metric="outcome", mode="max")
        self._scheduler, self._finished, self._stopping, self._until = scheduler, finished, stopping, until
        self._running: dict[str, TrialRow] = {}
        self.lost: DeviceLost | None = None
        """The device without which the search had to stop, if it had to."""

    def __reduce__(self) -> tuple[type[Searcher], tuple[()]]:
        """Tune pickles its configuration for its own restore, which we never use: the store is the truth."""
        return (Searcher, ())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next candidate, None while a block is open, or the end."""
        if self._stopping():
            self._scheduler.stop()
        row = self._scheduler.next()
        if row is None:
            return Searcher.FINISHED if self._scheduler.exhausted else None
        self._running[trial_id] = row
        earlier = json.dumps(self._scheduler.trainings)
        return {
            "decisions": json.dumps(row.decisions), "digest": row.digest, "number": row.number, "earlier": earlier,
            "ends_at": self._until().ends_at,
        }  # fmt: skip

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Records the outcome. An actor that Ray lost says nothing about its candidate, whose code runs elsewhere."""
        row = self._running.pop(trial_id)
        if error or result is None or "outcome" not in result:
            self._scheduler.put_off(row, WorkerLost("the worker process was lost", _LOST_HINT))
            return
        said = json.loads(result["outcome"])
        if "lost" in said:
            self.lost = DeviceLost(*said["lost"])
            self._scheduler.abandon(row)
            return
        if "late" in said:
            self._scheduler.abandon(row)
            return
        if "trouble" in said:
            self._scheduler.put_off(row, PassingTrouble(*said["trouble"]))
            return
        outcome = Outcome.from_dict(said)
        done = self._scheduler.finish(
            row, outcome.state, reason=outcome.reason, metrics=outcome.metrics,
            artifact_sha256=outcome.artifact_sha256, measurement=outcome.measurement,
            others=outcome.further_measurements, wall_s=outcome.wall_s,
        )  # fmt: skip
        self._finished(done, outcome)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth."""
