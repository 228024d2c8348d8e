"""The controller: runs one job, from preparing to the final front."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from typing import Any

from evaluators.devices.deadline import Clock, Deadline
from hwprofiles.errors import ClusterLost, ParetuneError, StorageError
from search.artefacts.job_folders import folder_of
from search.budget.allowance import Allowance
from search.budget.time_budget import TimeBudget
from search.controller.confirmation import Confirmation
from search.controller.failures import check_some_work
from search.controller.lease import LeaseKeeper
from search.controller.prepared_job import PreparedJob
from search.controller.preparing import prepare_job
from search.controller.progress import Watcher
from search.controller.results import Results
from search.controller.status import StatusReporter
from search.controller.time_account import TimeAccount
from search.controller.trial_search import TrialSearch
from search.devices.capabilities import capabilities_of
from search.devices.link import StoreLink
from search.devices.lookup import DeviceRegistry
from search.folders import job_folder
from search.interrupts import interrupt, interruptible
from search.job.devices import JobDevice
from search.job.facts import JobFacts
from search.job.profiles import profiles_of
from search.job.spec import Job
from search.space.candidate import Space
from search.states import JobRequest, JobState
from search.store import JobRow, Lease, StaleLease, Store, TrialRow, digests_of
from search.trials.context import JobContext
from search.trials.preparation import PreparationResult

_RESUME = "go on with: paretune resume JOB, with --debug to see more"


def _taken_over() -> StaleLease:
    return StaleLease("another controller took the job over", "watch it with: paretune jobs")


class Controller:
    """Runs one job in this process, with a Ray cluster of its own for the trials, or in one that it joins.

    The only writer of the job while it holds the lease; a controller that lost it writes nothing more and raises
    :class:`StaleLease`. May be killed at any moment: another controller resumes from what is in the store.
    """

    def __init__(
        self,
        store: Store,
        job_id: str,
        watcher: Watcher | None = None,
        clock: Clock = time.monotonic,
        lease: Lease | None = None,
        ray_address: str | None = None,
    ) -> None:
        """With a ``lease``, as a worker took it for the job, the controller adopts it when it runs. With a
        ``ray_address`` (``HOST:PORT``) it joins that Ray cluster, of which this machine is a node."""
        self._store, self._clock, self._given_lease = store, clock, lease
        self._ray_address = ray_address
        self._row: JobRow = store.jobs.get(job_id)
        self._job = Job.model_validate(self._row.spec)
        self._folder = job_folder(self._row.job_id)
        self._digests = digests_of(self._row)
        self._context = JobContext(
            self._job,
            folder_of(self._row.files, self._row.spec_folder),
            tuple(JobDevice(label, store.devices.profile(digest)) for label, digest in self._digests.items()),
            StoreLink(store.url, f"{self._row.job_id} search", self._job.limits.device_s, ray_address),
            capabilities_of(store, self._digests.values()),
            files=self._row.files,
        )
        self._budget = TimeBudget(self._job.budget.total_s, self._row.wall_s, clock)
        self._time = TimeAccount(self._row.wall_s, clock)
        self._reporter = StatusReporter(
            watcher or Watcher(), self._folder, self._budget, self._job.budget.trials,
            simulated=self._context.profile.simulated,
        )  # fmt: skip
        self._ending: dict[str, Any] | None = None
        self._keeper: LeaseKeeper
        self._lease: Lease

    def run(self) -> JobState:
        """Runs the job to its end (minutes to hours), and returns its state.

        A job that is paused, cancelled or handed back ends within seconds, with what is finished stored. Ctrl-C leaves
        the job ``interrupted``, to be resumed; any other error leaves it ``failed`` with its message. Both are raised
        again. A detached job whose database cannot be reached stays as it is: the queue gives it to another controller.
        """
        keeper = LeaseKeeper(self._store, self._row.job_id, self._given_lease, interrupt)
        with interruptible(), keeper as self._keeper:
            self._lease = self._keeper.lease
            try:
                self._store.jobs.set_state(self._lease, JobState.RUNNING)
                self._check_profile()
                with self._cluster():
                    self._run_phases()
                self._end(JobState.DONE)
            except KeyboardInterrupt:
                if self._keeper.is_lost:
                    raise _taken_over() from None
                if self._keeper.requested is not None:
                    state: JobState = self._keeper.requested.state
                    self._end(state)
                    return state
                self._end(JobState.INTERRUPTED)
                raise
            except StaleLease:
                raise
            except ParetuneError as error:
                if isinstance(error, StorageError | ClusterLost) and self._row.detached:
                    raise
                self._end(JobState.FAILED, error)
                raise
            except Exception as error:
                self._end(JobState.FAILED, ParetuneError(f"unexpected {type(error).__name__}: {error}", _RESUME))
                raise
        return JobState.DONE

    def ask(self, request: JobRequest) -> None:
        """Asks the running controller to end its work; from any thread."""
        self._keeper.ask(request)

    def _cluster(self) -> AbstractContextManager[None]:
        """Joins the Ray cluster, if the job is to run on one."""
        if self._ray_address is None:
            return nullcontext()
        from search.devices.cluster.connection import join

        return join(self._ray_address)

    def _run_phases(self) -> None:
        """Prepares the job, searches unless the final measurements have begun, and takes the final measurements."""
        with self._time.timing("preparing"):
            prepared = self._prepare()
        self._time.recall(prepared.facts.time_s)
        self._ending = prepared.facts.ending
        self._store_preparation(prepared)
        self._budget.learn_durations(prepared.facts.measuring_s)
        self._reporter.trials = min(self._job.budget.trials, prepared.space.size)
        context = self._context.with_preparation(prepared.facts, prepared.space)
        job = PreparedJob(self._store, self._lease, context, prepared, self._folder, self._digests)
        results = Results(job)
        try:
            if not self._confirmation(job).is_begun:
                with self._time.timing("searching"):
                    self._search(job, results)
            with self._time.timing("confirming"):
                self._finalise(job, results)
        finally:
            with suppress(StaleLease):
                self._store_preparation(prepared)

    def _end(self, state: JobState, error: ParetuneError | None = None) -> None:
        self._store_time()
        self._store.jobs.set_state(
            self._lease, state, error=error.message if error else None, hint=error.hint if error else None
        )
        self._store.jobs.release(self._lease)

    def _store_time(self) -> None:
        """Adds the time since the last call to the job's wall time."""
        self._store.jobs.add_wall_time(self._lease, self._time.take_s())

    def _check_profile(self) -> None:
        """Raises :class:`ParetuneError` if a device is no longer the one that the job began on."""
        for device in profiles_of(self._job, DeviceRegistry(self._store)):
            if device.profile.digest != self._digests.get(device.label):
                raise ParetuneError(
                    f"device {device.label!r} is no longer what this job measured on",
                    "results of two profiles are never mixed; run the job again with: paretune run FILE",
                )

    def _prepare(self) -> PreparationResult:
        """Returns the job's preparation: from the store, else made now (minutes)."""
        if self._row.space is not None and self._row.baseline is not None:
            baseline, facts = self._row.baseline, JobFacts.from_dict(self._row.baseline["facts"])
            return PreparationResult(Space.from_dict(self._row.space), baseline["metrics"], facts)
        return prepare_job(self._context, self._budget, self._folder, self._reporter)

    def _store_preparation(self, prepared: PreparationResult) -> None:
        """Stores the preparation, with the seconds of each phase so far and why the search ended early."""
        facts = replace(prepared.facts, time_s=self._time.seconds, ending=self._ending)
        stored = replace(prepared, facts=facts)
        self._store.jobs.set_preparation(self._lease, space=stored.space.to_dict(), baseline=stored.baseline)

    def _search(self, job: PreparedJob, results: Results) -> None:
        """Tries candidates; raises :class:`search.controller.failures.AllFailed` if none of them works."""
        confirmation = self._confirmation(job)

        def report(rows: Sequence[TrialRow]) -> None:
            fronts = job.fronts(rows)
            if not job.simulated:
                self._budget.expect_s(confirmation.estimate_s(rows, fronts))
            results.store(rows, fronts)
            self._reporter.tell_rows("searching", rows, fronts)
            self._store_time()

        search = TrialSearch(
            job, results.predictor, self._reporter.trials, self._budget, self._reporter,
            must_stop=lambda: self._keeper.is_lost, report=report,
            joined=self._ray_address is not None,
        )  # fmt: skip
        search.run()
        if self._keeper.is_lost:
            raise _taken_over()
        self._ending = search.ending
        self._store.trials.drop_open(self._lease)
        rows = job.trials()
        results.store_front(job.fronts(rows))
        check_some_work(rows, job.prepared.space.baseline().digest)

    def _finalise(self, job: PreparedJob, results: Results) -> None:
        """Measures members and contenders again, so that the front has unbiased figures; reports it as done."""
        if job.simulated:
            results.store_front(job.fronts(job.trials(), final=True))
            return
        self._reporter.start_confirming()
        rows, fronts = self._confirmation(job).run()
        results.store(rows, fronts)
        self._reporter.tell_rows("done", rows, fronts)

    def _confirmation(self, job: PreparedJob) -> Confirmation:
        # A job that is done was resumed to measure what it had no time for.
        ends = Deadline(clock=self._clock) if self._row.state is JobState.DONE else self._budget.end
        return Confirmation(
            job, Allowance.within(self._job, ends),
            report=lambda rows, fronts, message: self._reporter.tell_rows("confirming", rows, fronts, message),
        )  # fmt: skip
