"""The search of a job: trials on Ray workers until nothing is left to try, or no time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from search.budget.allowance import Allowance
from search.budget.time_budget import TimeBudget
from search.controller.ending import ending_of
from search.controller.failures import Failures
from search.controller.place import Place
from search.controller.prepared_job import PreparedJob
from search.controller.scheduler import Scheduler
from search.controller.status import StatusReporter
from search.controller.trial_feed import TrialFeed
from search.devices.link import StoreLink
from search.options import validate_options
from search.outcome import TrialOutcome
from search.policy_store import PolicyStore
from search.prediction.predictor import Predictor
from search.space.promising import gains_without_trial
from search.store import TrialRow
from search.strategies import STRATEGIES, Strategy, StrategyContext
from search.trials.activity import forget_notices

REPORT_EVERY_S = 0.5
"""Between two reports, at least: thousands of modelled trials pass in seconds."""

REPORT_SHARE = 0.05
"""Of the time, at most for reports: the front of 100,000 candidates takes seconds."""


class TrialSearch:
    """Runs the trials of a prepared job; resumes from the store what an earlier search left.

    ``trials`` is the number of candidates to try, ``joined`` whether this process has joined a Ray cluster, where they
    run then. ``must_stop`` returns whether to hand out no more of them, ``report``
    is called with those that are finished, after the last one and at most every :data:`REPORT_EVERY_S` before, for no
    more than :data:`REPORT_SHARE` of the time.
    """

    def __init__(
        self,
        job: PreparedJob,
        predictor: Predictor,
        trials: int,
        budget: TimeBudget,
        reporter: StatusReporter,
        *,
        must_stop: Callable[[], bool],
        report: Callable[[Sequence[TrialRow]], None],
        joined: bool = False,
    ) -> None:
        self._job, self._budget, self._reporter = job, budget, reporter
        self._must_stop, self._report, self._joined = must_stop, report, joined
        self._failures = Failures(job.prepared.space.baseline().digest)
        self._scheduler = self._new_scheduler(self._new_strategy(predictor), trials)
        self._late = False
        self._report_at = 0.0

    def run(self) -> None:
        """Searches (minutes to hours). Raises the error that ended the search before its time, if one did."""
        self._job.store.trials.reset_open(self._job.lease)
        self._reporter.start_searching()
        forget_notices(self._job.folder)
        self._scheduler.begin()
        if not self._is_over():
            self._reporter.tell("searching", "starting workers")
            parameters = {
                "order": self._job.context, "facts": self._job.prepared.facts, "folder": str(self._job.folder),
                "allowance": Allowance.within(self._job.spec, self._budget.end),
            }  # fmt: skip
            with self._open_place() as place, self._reporter.listening():
                # Only now: Ray reads its settings when it is imported.
                from search.controller.trial_worker import TrialWorker
                from search.controller.worker_pool import run_trials

                feed = TrialFeed(
                    self._scheduler, self._finish, self._is_over, place.most, lambda: self._budget.giving_up
                )
                run_trials(TrialWorker, parameters, feed, place)
            if feed.lost is not None:
                raise feed.lost
            if self._scheduler.trouble is not None:
                raise self._scheduler.trouble
        forget_notices(self._job.folder)

    @property
    def ending(self) -> dict[str, Any] | None:
        """Why the search ended early, as JSON-able data; None if it did not."""
        space, spec = self._job.prepared.space, self._job.spec
        answers = self._job.prepared.facts.device_answers
        first = [answer for answer in answers if answer.get("device") in (None, spec.labels[0])]
        tried = {row.digest for row in self._scheduler.history}
        untried = gains_without_trial(first, space, self._job.context.profile.runtime, tried)
        ending = ending_of(
            spec.budget, finished=len(tried), size=space.size, repeats=self._scheduler.repeats, late=self._late,
            untried=untried,
        )  # fmt: skip
        return None if ending is None else ending.to_dict()

    def _open_place(self) -> AbstractContextManager[Place]:
        """Opens the place for the trials: the cluster that this process has joined, or one of its own."""
        link = self._job.context.link
        if self._joined and isinstance(link, StoreLink):
            from search.controller.cluster_place import on_cluster

            return on_cluster(self._job, link, self._budget.clock)
        from search.controller.ray_cluster import local_cluster

        return local_cluster(self._job.spec.budget.parallel)

    def _is_over(self) -> bool:
        if self._failures.hopeless or self._must_stop():
            return True
        self._late = self._late or self._budget.over_for_trials
        return self._late

    def _finish(self, row: TrialRow, outcome: TrialOutcome) -> None:
        self._failures.add(row)
        self._reporter.candidate(row)
        self._budget.add_trial(outcome.wall_s)
        began = time.monotonic()
        if began >= self._report_at or self._scheduler.is_over:
            self._report(self._scheduler.history)
            ended = time.monotonic()
            self._report_at = ended + max(REPORT_EVERY_S, (ended - began) / REPORT_SHARE)

    def _new_scheduler(self, strategy: Strategy, trials: int) -> Scheduler:
        job, spec = self._job, self._job.spec
        return Scheduler(
            job.store,
            job.lease,
            strategy,
            strategy_name=spec.strategy.name,
            batch=spec.budget.batch,
            trials=trials,
            objectives=spec.joint_objectives,
            constraints=spec.joint_constraints,
            baseline=job.prepared.metrics,
            simulated=job.simulated,
            premeasured=job.premeasured,
            premeasured_sha256=job.prepared.facts.model_sha256,
        )

    def _new_strategy(self, predictor: Predictor) -> Strategy:
        spec, prepared = self._job.spec, self._job.prepared
        kind, job_id = STRATEGIES[spec.strategy.name], self._job.lease.job_id
        context = StrategyContext(
            space=prepared.space,
            objectives=tuple(spec.joint_objectives),
            constraints=tuple(spec.joint_constraints),
            seed=spec.seed,
            predictor=predictor,
            units={group.name: group for group in prepared.facts.groups},
            encodings=prepared.facts.encodings,
            policies=PolicyStore({"job": job_id, "teacher": spec.task.name, "devices": spec.labels}),
            note=self._reporter.note,
        )
        return kind(context, validate_options(kind.Options, spec.strategy.options, "strategy.options"))
