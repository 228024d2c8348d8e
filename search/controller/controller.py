"""The controller: runs one job, from preparing to the final front."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from evaluators.devices.deadline import Clock, Deadline
from evaluators.processes.sandbox import Sandbox
from hwprofiles.errors import CandidateError, ParetuneError
from search.budget.allowance import Allowance
from search.budget.stopwatch import Stopwatch
from search.budget.time_budget import TimeBudget
from search.controller.confirmation import Confirmation
from search.controller.ending import ending_of
from search.controller.failures import Failures, check_some_work
from search.controller.lease import LeaseKeeper
from search.controller.progress import Watcher
from search.controller.scheduler import Scheduler
from search.controller.status import StatusReporter
from search.devices.capabilities import capability_texts
from search.devices.link import RequestLink
from search.devices.lookup import agents_of
from search.folders import job_folder
from search.fronts.joint import Fronts, fronts_of
from search.job.devices import JobDevice
from search.job.spec import Job
from search.job.views import views_of
from search.options import validate_options
from search.outcome import TrialOutcome
from search.prediction.accuracy import Assessments
from search.prediction.layer_groups import groups_of
from search.space.candidate import Space, runtime_decision
from search.space.coverage import COVERAGE, coverage_lines
from search.space.promising import gains_without_trial
from search.states import JobState
from search.store import JobRow, Lease, StaleLease, Store, TrialRow, digests_of
from search.strategies import STRATEGIES, Strategy, StrategyContext
from search.trials import sandboxed
from search.trials.activity import forget_notices
from search.trials.context import JobContext
from search.trials.preparation import PreparationResult

RATIOS = ("speedup", "throughput_speedup")
"""Metrics that compare a candidate with the fp32 model."""

FRONT_EVERY_S = 0.5
"""Between two stored versions of the front, at least: thousands of modelled trials pass in seconds."""

KILLED, LOST_S = "killed", 1.0
"""Name for the time of killed runs that belongs to no phase, and from how many seconds on it is shown."""

_RESUME = "go on with: paretune resume JOB, with --debug to see more"


class Controller:
    """Runs one job in this process, with a Ray cluster of its own for the trials.

    The only writer of the job while it holds the lease; a controller that lost it writes nothing more and raises
    :class:`StaleLease`. May be killed at any moment: another controller resumes from what is in the store.
    """

    def __init__(
        self, store: Store, job_id: str, watcher: Watcher | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._store, self._clock = store, clock
        self._row: JobRow = store.jobs.get(job_id)
        self._job = Job.model_validate(self._row.spec)
        self._planned = self._job.budget.trials
        self._folder = job_folder(self._row.job_id)
        self._digests = digests_of(self._row)
        devices = [JobDevice(label, store.devices.profile(digest)) for label, digest in self._digests.items()]
        self._context = JobContext(
            json.dumps(self._row.spec), self._row.spec_folder, devices[0].profile, further_devices=tuple(devices[1:]),
            link=RequestLink(store.url, f"{self._row.job_id} search", self._job.limits.device_s),
            capabilities=capability_texts(store, [device.profile.digest for device in devices]),
        )  # fmt: skip
        self._objectives, self._constraints = self._job.joint_objectives, self._job.joint_constraints
        self._views = views_of(self._job)
        self._budget = TimeBudget(self._job.budget.total_s, self._row.wall_s, clock)
        self._watch = Stopwatch(clock)
        self._reporter = StatusReporter(
            watcher or Watcher(), self._folder, self._budget, self._planned, simulated=self._context.profile.simulated
        )
        self._late = False
        self._stored_until = clock()
        self._earlier_s: dict[str, float] = {}
        self._front_at = 0.0
        self._front_document: dict[str, Any] = {}
        self._assessed: dict[str, Any] = {}
        self._assessments = Assessments({}, ())
        self._keeper: LeaseKeeper
        self._lease: Lease

    def run(self) -> JobState:
        """Runs the job to its end (minutes to hours), and returns its state.

        Ctrl-C leaves the job ``interrupted``, to be resumed; any other error leaves it ``failed`` with its message.
        Both are raised again.
        """
        with LeaseKeeper(self._store, self._row.job_id) as self._keeper:
            self._lease = self._keeper.lease
            try:
                self._store.jobs.set_state(self._lease, JobState.RUNNING)
                self._check_profile()
                self._run_phases()
                self._end(JobState.DONE)
            except KeyboardInterrupt:
                self._end(JobState.INTERRUPTED)
                raise
            except StaleLease:
                raise
            except ParetuneError as error:
                self._end(JobState.FAILED, error)
                raise
            except Exception as error:
                self._end(JobState.FAILED, ParetuneError(f"unexpected {type(error).__name__}: {error}", _RESUME))
                raise
        return JobState.DONE

    def _run_phases(self) -> None:
        """Prepares the job, searches unless the final measurements have begun, and takes the final measurements."""
        with self._watch.timing("preparing"):
            prepared = self._prepare()
        self._earlier_s = self._times_of_earlier_runs(prepared)
        self._store_times(prepared)
        self._budget.learn_durations(prepared.facts)
        self._planned = self._reporter.trials = min(self._planned, prepared.space.size)
        self._assessments = Assessments(prepared.facts, tuple(self._digests))
        try:
            if not self._confirmation(prepared).is_begun:
                with self._watch.timing("searching"):
                    self._search(prepared)
                self._store.trials.drop_open(self._lease)
                self._check_some_work(prepared)
            with self._watch.timing("confirming"):
                self._finalise(prepared)
        finally:
            self._store_times(prepared)

    def _end(self, state: JobState, error: ParetuneError | None = None) -> None:
        self._store_time()
        self._store.jobs.set_state(
            self._lease, state, error=error.message if error else None, hint=error.hint if error else None
        )
        self._store.jobs.release(self._lease)

    def _store_time(self) -> None:
        """Adds the time since the last call to the job's wall time."""
        now = self._clock()
        self._store.jobs.add_wall_time(self._lease, now - self._stored_until)
        self._stored_until = now

    def _times_of_earlier_runs(self, prepared: PreparationResult) -> dict[str, float]:
        """Seconds by phase of earlier runs; time of killed runs that belongs to no phase is under ``killed``."""
        earlier: dict[str, float] = dict(prepared.facts.get("time_s", {}))
        lost_s = self._row.wall_s - sum(earlier.values())
        if earlier and lost_s > LOST_S:
            earlier[KILLED] = round(earlier.get(KILLED, 0.0) + lost_s, 3)
        return earlier

    def _store_times(self, prepared: PreparationResult) -> None:
        """Stores the seconds of each phase, those of earlier runs included."""
        prepared.facts["time_s"] = self._earlier_s | {
            phase: round(self._earlier_s.get(phase, 0.0) + seconds, 3) for phase, seconds in self._watch.seconds.items()
        }
        with suppress(StaleLease):
            self._store.jobs.set_preparation(self._lease, space=prepared.space.to_dict(), baseline=prepared.baseline)

    def _check_profile(self) -> None:
        """Raises :class:`ParetuneError` if a device is no longer the one that the job began on."""
        with agents_of(self._store):
            profiles = self._job.profiles
        for device in profiles:
            if device.profile.digest != self._digests.get(device.label):
                raise ParetuneError(
                    f"device {device.label!r} is no longer what this job measured on",
                    "results of two profiles are never mixed; run the job again with: paretune run FILE",
                )

    # Preparing

    def _prepare(self) -> PreparationResult:
        """The job's preparation: from the store, else prepared in a sandbox (trains and measures, for minutes)."""
        if self._row.space is not None and self._row.baseline is not None:
            baseline = self._row.baseline
            self._context = self._context.with_facts(baseline["facts"])
            return PreparationResult(Space.from_dict(self._row.space), baseline["metrics"], baseline["facts"])
        self._reporter.tell("preparing", "opening the task")
        limits = self._job.limits
        sandbox = Sandbox(
            memory_bytes=limits.memory_bytes,
            log=self._folder / "prepare.log",
            progress=lambda text: self._reporter.tell("preparing", text),
        )
        try:
            prepared = sandbox.call(
                sandboxed.prepare, self._context, self._budget, stage="training",
                limit_s=limits.training_s + limits.exporting_s,
            )  # fmt: skip
        except CandidateError as error:
            raise ParetuneError(
                f"the job cannot be prepared: {error.message}", error.hint or f"see {self._folder / 'prepare.log'}"
            ) from None
        finally:
            sandbox.close()
        self._context = self._context.with_facts(prepared.facts)
        self._store.jobs.set_preparation(self._lease, space=prepared.space.to_dict(), baseline=prepared.baseline)
        coverage = coverage_lines(prepared.facts[COVERAGE]) if COVERAGE in prepared.facts else ()
        for line in (*prepared.facts.get("notes", ()), *coverage):
            self._reporter.note(line)
        return prepared

    # Searching

    def _search(self, prepared: PreparationResult) -> None:
        from search.controller.ray_cluster import local_cluster, run_trials
        from search.controller.ray_workers import BlockSearcher, CandidateTrainable

        scheduler, failures = self._scheduler(prepared), Failures(prepared.space.baseline().digest)
        self._store.trials.reset_open(self._lease)
        self._reporter.start_searching()
        parameters = {
            "order": self._context, "facts": prepared.facts, "folder": str(self._folder),
            "allowance": Allowance.within(self._job, self._budget.end),
        }  # fmt: skip
        parallel = self._job.budget.parallel

        def after_trial(row: TrialRow, outcome: TrialOutcome) -> None:
            failures.add(row)
            self._budget.add_trial(outcome.wall_s)
            self._after_trial(scheduler, prepared)

        def stopping() -> bool:
            return failures.hopeless or self._out_of_time()

        forget_notices(self._folder)
        scheduler.begin()
        if not stopping():
            self._reporter.tell("searching", "starting workers")
            searcher = BlockSearcher(scheduler, after_trial, stopping, lambda: self._budget.giving_up)
            with local_cluster(parallel) as folder, self._reporter.listening():
                run_trials(CandidateTrainable, parameters, searcher, parallel, folder)
            if searcher.lost is not None:
                raise searcher.lost
            if scheduler.trouble is not None:
                raise scheduler.trouble
        if self._keeper.is_lost:
            raise StaleLease("another controller took the job over", "watch it with: paretune jobs")
        forget_notices(self._folder)
        self._note_ending(scheduler, prepared)

    def _note_ending(self, scheduler: Scheduler, prepared: PreparationResult) -> None:
        """Adds to the facts why the search ended early, if it did."""
        answers = prepared.facts.get("device_answers", ())
        first = [answer for answer in answers if answer.get("device") in (None, self._job.labels[0])]
        tried = {row.digest for row in scheduler.history}
        ending = ending_of(
            self._job.budget, finished=len(tried), size=prepared.space.size, repeats=scheduler.repeats,
            late=self._late, untried=gains_without_trial(first, prepared.space, self._context.profile.runtime, tried),
        )  # fmt: skip
        prepared.facts["ending"] = ending and ending.to_dict()

    def _check_some_work(self, prepared: PreparationResult) -> None:
        """Raises :class:`search.controller.failures.AllFailed` if all candidates failed; stores the front first."""
        rows = self._store.trials.of_job(self._row.job_id)
        self._store.fronts.add(self._lease, self._fronts(rows, prepared).document)
        check_some_work(rows, prepared.space.baseline().digest)

    def _scheduler(self, prepared: PreparationResult) -> Scheduler:
        strategy = self._strategy(prepared)
        return Scheduler(
            self._store,
            self._lease,
            strategy,
            strategy_name=self._job.strategy.name,
            batch=self._job.budget.batch or strategy.batch,
            trials=self._planned,
            objectives=self._objectives,
            constraints=self._constraints,
            baseline=prepared.metrics,
            simulated=self._context.profile.simulated,
            premeasured=self._metrics_of_baseline(prepared),
            premeasured_sha256=prepared.facts.get("model_sha256"),
        )

    def _metrics_of_baseline(self, prepared: PreparationResult) -> dict[str, dict[str, Any]]:
        """With a time limit: the baseline's metrics by its digest, as measured by preparing; else empty."""
        baseline = prepared.space.baseline()
        labels = [None, *(device.label for device in self._context.further_devices)]
        by_decision = zip(map(runtime_decision, labels), self._context.devices, strict=True)
        runs_as_measured = all(
            baseline.decisions.get(name, device.profile.runtime) == device.profile.runtime
            for name, device in by_decision
        )
        if not runs_as_measured or self._job.budget.minutes is None:
            return {}
        itself = {"ratio": 1.0, "ci95": [1.0, 1.0]}  # by definition
        ratios = {name: itself for name in prepared.metrics if name.partition("@")[0] in RATIOS}
        return {baseline.digest: prepared.metrics | ratios}

    def _strategy(self, prepared: PreparationResult) -> Strategy:
        kind = STRATEGIES[self._job.strategy.name]
        options = validate_options(kind.Options, self._job.strategy.options, "strategy.options")
        context = StrategyContext(
            space=prepared.space,
            objectives=tuple(self._objectives),
            constraints=tuple(self._constraints),
            seed=self._job.seed,
            predictor=next(iter(self._assessments.predictors.values())),
            units={group.name: group for group in groups_of(prepared.facts)},
        )
        return kind(context, options)

    def _out_of_time(self) -> bool:
        self._late = self._late or self._budget.over_for_trials
        return self._keeper.is_lost or self._late

    def _after_trial(self, scheduler: Scheduler, prepared: PreparationResult) -> None:
        """Stores and reports the front after a trial, at most every :data:`FRONT_EVERY_S`."""
        if time.monotonic() - self._front_at < FRONT_EVERY_S and not scheduler.is_over:
            return
        rows = scheduler.history
        fronts = self._fronts(rows, prepared)
        if not self._context.profile.simulated:
            self._budget.expect_s(self._confirmation(prepared).estimate_s(rows, fronts))
        document = fronts.document
        if document != self._front_document:
            self._store.fronts.add(self._lease, document)
            self._front_document = document
        self._keep_files(rows, fronts)
        self._reporter.tell_rows("searching", rows, fronts)
        self._assess(rows)
        self._front_at = time.monotonic()
        self._store_time()

    def _assess(self, rows: list[TrialRow]) -> None:
        """Stores the accuracy of the latency predictions, if it has changed."""
        document = self._assessments.document(rows)
        if document is not None and document != self._assessed:
            self._store.jobs.set_prediction(self._lease, document)
            self._assessed = document

    def _keep_files(self, rows: list[TrialRow], fronts: Fronts) -> None:
        """Removes files of clearly dominated candidates; they can be built again, byte for byte."""
        needed = fronts.members_and_contenders
        for row in rows:
            if row.candidate_id not in needed:
                (self._folder / f"{row.digest}.onnx").unlink(missing_ok=True)

    # The final measurements

    def _finalise(self, prepared: PreparationResult) -> None:
        """Measures members and contenders again, so that the front has unbiased figures; reports it as done."""
        if self._context.profile.simulated:
            rows = self._store.trials.of_job(self._row.job_id)
            self._store.fronts.add(self._lease, self._fronts(rows, prepared, final=True).document)
            return
        self._reporter.start_confirming()
        rows, fronts = self._confirmation(prepared).run()
        self._store.fronts.add(self._lease, fronts.document)
        self._assess(rows)
        self._keep_files(rows, fronts)
        self._reporter.tell_rows("done", rows, fronts)

    def _confirmation(self, prepared: PreparationResult) -> Confirmation:
        # A job that is done was resumed to measure what it had no time for.
        ends = Deadline(clock=self._clock) if self._row.state is JobState.DONE else self._budget.end
        return Confirmation(
            self._store, self._lease, self._context, prepared, self._folder, self._digests,
            deadline=lambda: ends.is_over, allowance=Allowance.within(self._job, ends),
            confirmed=self._metrics_of_baseline(prepared),
            telling=lambda rows, fronts, message: self._reporter.tell_rows("confirming", rows, fronts, message),
        )  # fmt: skip

    def _fronts(self, rows: Sequence[TrialRow], prepared: PreparationResult, *, final: bool = False) -> Fronts:
        return fronts_of(rows, self._views, prepared.metrics, final=final)
