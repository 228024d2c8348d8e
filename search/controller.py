"""The controller: takes one job from the store to its front."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.sandbox import Sandbox
from hwprofiles.errors import CandidateError, ParetuneError, StorageError
from search import verbs
from search.assessment import Assessments
from search.candidate import Space
from search.capabilities import known_capabilities
from search.confirmation import Confirmation
from search.coverage import COVERAGE, in_words
from search.device_lookup import agents_of
from search.devices import JobDevice
from search.errand_link import ErrandLink
from search.folders import job_folder
from search.job import Job
from search.joint_fronts import Fronts, fronts_of
from search.notices import forget_notices, notices
from search.options import validate_options
from search.preparing import Prepared
from search.progress import Status, Watcher
from search.scheduler import Scheduler
from search.states import JobState, TrialState
from search.store import JobRow, Lease, StaleLease, Store, TrialRow, digests_of, this_process
from search.strategies import STRATEGIES, Strategy
from search.tasks import check_files
from search.views import views_of
from search.work_order import WorkOrder

LEASE_S = 30.0
RENEW_S = LEASE_S / 3
RENEW_AGAIN_S = 1.0
"""Between attempts to renew while the database cannot be reached."""

FRONT_EVERY_S = 0.5
LISTEN_S = 1.0

_RESUME = "go on with: paretune resume JOB, with --debug to see more"


class Controller:
    """Runs one job in this process, with a Ray of its own for the trials. The only writer of the job while it holds the
    lease; a controller that lost it writes nothing more and raises :class:`StaleLease`.

    May be killed at any moment: what is finished is in the store, and another controller goes on from there.
    """

    def __init__(self, store: Store, job_id: str, watcher: Watcher | None = None) -> None:
        self._store = store
        self._row: JobRow = store.job(job_id)
        self._job = Job.model_validate(self._row.spec)
        self._watcher = watcher or Watcher()
        self._planned = self._job.budget.trials
        self._status, self._telling = Status("queued"), threading.RLock()
        self._folder = job_folder(self._row.job_id)
        self._digests = digests_of(self._row)
        devices = [JobDevice(label, store.profile(digest)) for label, digest in self._digests.items()]
        self._order = WorkOrder(
            json.dumps(self._row.spec), self._row.spec_folder, devices[0].profile, others=tuple(devices[1:]),
            link=ErrandLink(store.url, f"{self._row.job_id} search", self._job.limits.device_s),
            capabilities=known_capabilities(store, [device.profile.digest for device in devices]),
        )  # fmt: skip
        self._objectives, self._constraints = self._job.parsed_objectives, self._job.parsed_constraints
        self._views = views_of(self._job)
        self._started = time.monotonic()
        self._stored_until = self._started
        self._searching_since = self._started
        self._lost_lease = threading.Event()
        self._front_at = 0.0
        self._front_document: dict[str, Any] = {}
        self._assessed: dict[str, Any] = {}
        self._assessments = Assessments({}, ())
        self._lease: Lease

    def run(self) -> JobState:
        """Runs the job to its end, and returns its state.

        Ctrl-C leaves the job ``interrupted``, to be resumed, and is raised on. Any other error leaves it ``failed``
        with its message, and is raised on.
        """
        self._lease = self._store.lease_job(self._row.job_id, this_process(), LEASE_S)
        stop = threading.Event()
        renewing = threading.Thread(target=self._renew, args=(stop,), daemon=True)
        renewing.start()
        try:
            self._store.set_job_state(self._lease, JobState.RUNNING)
            self._check_profile()
            prepared = self._prepared()
            self._planned = min(self._planned, prepared.space.size)
            self._assessments = Assessments(prepared.facts, tuple(self._digests))
            if not self._confirmation(prepared).is_begun:
                self._search(prepared)
                self._store.drop_unfinished(self._lease)
            self._finalise(prepared)
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
        finally:
            stop.set()
            renewing.join()
        return JobState.DONE

    def _end(self, state: JobState, error: ParetuneError | None = None) -> None:
        self._store_time()
        self._store.set_job_state(
            self._lease, state, error=error.message if error else None, hint=error.hint if error else None
        )
        self._store.release(self._lease)

    def _store_time(self) -> None:
        """Adds what has passed since the last call to the job's wall time."""
        now = time.monotonic()
        self._store.add_wall_time(self._lease, now - self._stored_until)
        self._stored_until = now

    def _renew(self, stop: threading.Event) -> None:
        """Keeps the lease. A database that cannot be reached is asked again until it can: a lease that has expired, but
        that nobody took, lives on, and one that was taken says so."""
        wait_s = RENEW_S
        while not stop.wait(wait_s):
            try:
                self._store.renew(self._lease, LEASE_S)
                wait_s = RENEW_S
            except StaleLease:
                self._lost_lease.set()
                return
            except StorageError:
                wait_s = RENEW_AGAIN_S

    def _check_profile(self) -> None:
        """A job goes on only on the devices that it began on."""
        with agents_of(self._store):
            profiles = self._job.profiles
        for now in profiles:
            if now.profile.digest != self._digests.get(now.label):
                raise ParetuneError(
                    f"device {now.label!r} is no longer what this job measured on",
                    "results of two profiles are never mixed: start the job anew with paretune run",
                )

    # Preparing

    def _prepared(self) -> Prepared:
        if self._row.space is not None and self._row.baseline is not None:
            baseline = self._row.baseline
            self._order = self._order.prepared(baseline["facts"])
            return Prepared(Space.from_dict(self._row.space), baseline["metrics"], baseline["facts"])
        self._tell("preparing", "opening the task")
        limits = self._job.limits
        sandbox = Sandbox(
            memory_bytes=limits.memory_bytes,
            log=self._folder / "prepare.log",
            progress=lambda text: self._tell("preparing", text),
        )
        try:
            found = sandbox.call(
                verbs.prepare, self._order, stage="training", limit_s=limits.training_s + limits.exporting_s
            )
        except CandidateError as error:
            raise ParetuneError(
                f"the job cannot be prepared: {error.message}", error.hint or f"see {self._folder / 'prepare.log'}"
            ) from None
        finally:
            sandbox.close()
        self._order = self._order.prepared(found.facts)
        self._store.set_prepared(self._lease, space=found.space.to_dict(), baseline=found.baseline)
        for line in in_words(found.facts[COVERAGE]) if COVERAGE in found.facts else ():
            self._watcher.note(line)
        return found

    # Searching

    def _search(self, prepared: Prepared) -> None:
        from search.cluster import local_cluster, run_trials
        from search.workers import BlockSearcher, CandidateTrainable

        scheduler = self._scheduler(prepared)
        self._store.reset_unfinished(self._lease)
        self._searching_since = time.monotonic()
        self._tell("searching", "starting workers")
        parameters = {"order": self._order, "facts": prepared.facts, "folder": str(self._folder)}
        parallel = self._job.budget.parallel

        def finished(row: TrialRow) -> None:
            self._after_trial(scheduler, prepared)

        forget_notices(self._folder)
        with local_cluster(parallel) as folder, self._listening():
            searcher = BlockSearcher(scheduler, finished, self._out_of_time)
            run_trials(CandidateTrainable, parameters, searcher, parallel, folder)
        if searcher.lost is not None:
            raise searcher.lost
        if scheduler.trouble is not None:
            raise scheduler.trouble
        if self._lost_lease.is_set():
            raise StaleLease("another controller took the job over", "watch it with: paretune jobs")

    def _scheduler(self, prepared: Prepared) -> Scheduler:
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
            simulated=self._order.profile.simulated,
        )

    def _strategy(self, prepared: Prepared) -> Strategy:
        kind = STRATEGIES[self._job.strategy.name]
        options = validate_options(kind.Options, self._job.strategy.options, "strategy.options")
        strategy = kind(prepared.space, len(self._objectives), len(self._constraints), self._job.seed, options)
        strategy.predictor = next(iter(self._assessments.predictors.values()))
        strategy.metrics = tuple(objective.metric for objective in self._objectives)
        return strategy

    def _out_of_time(self) -> bool:
        minutes = self._job.budget.minutes
        spent = self._row.wall_s + time.monotonic() - self._started
        return self._lost_lease.is_set() or (minutes is not None and spent > minutes * 60)

    def _after_trial(self, scheduler: Scheduler, prepared: Prepared) -> None:
        """Brings the stored front up to date, at most so often: thousands of modelled trials pass in seconds."""
        if time.monotonic() - self._front_at < FRONT_EVERY_S and not scheduler.exhausted:
            return
        rows = scheduler.finished
        fronts = self._fronts(rows, prepared)
        document = fronts.document
        if document != self._front_document:
            self._store.add_front(self._lease, document)
            self._front_document = document
        self._keep_files(rows, fronts)
        self._tell_rows("searching", rows, fronts)
        self._assess(rows)
        self._front_at = time.monotonic()
        self._store_time()

    def _assess(self, rows: list[TrialRow]) -> None:
        """Stores how well latencies are predicted, where there is something new to say."""
        document = self._assessments.document(rows)
        if document is not None and document != self._assessed:
            self._store.set_prediction(self._lease, document)
            self._assessed = document

    def _keep_files(self, rows: list[TrialRow], fronts: Fronts) -> None:
        """Files of clearly dominated candidates go; they can be built again, byte for byte."""
        kept = fronts.kept
        for row in rows:
            if row.candidate_id not in kept:
                (self._folder / f"{row.digest}.onnx").unlink(missing_ok=True)

    # The final measurements

    def _finalise(self, prepared: Prepared) -> None:
        """Measures members and contenders again, so that the front rests on figures that nobody selected for luck."""
        if self._order.profile.simulated:
            rows = self._store.trials(self._row.job_id)
            self._store.add_front(self._lease, self._fronts(rows, prepared, final=True).document)
            return
        rows, fronts = self._confirmation(prepared).run()
        self._store.add_front(self._lease, fronts.document)
        self._assess(rows)
        self._keep_files(rows, fronts)
        self._tell_rows("done", rows, fronts)

    def _confirmation(self, prepared: Prepared) -> Confirmation:
        return Confirmation(
            self._store, self._lease, self._order, prepared, self._folder, self._digests,
            telling=lambda rows, fronts, message: self._tell_rows("confirming", rows, fronts, message),
        )  # fmt: skip

    # Telling

    def _fronts(self, rows: Sequence[TrialRow], prepared: Prepared, *, final: bool = False) -> Fronts:
        return fronts_of(rows, self._views, prepared.metrics, final=final)

    def _tell(self, phase: str, message: str) -> None:
        self._pass_on(Status(phase, message, trials=self._planned))

    def _pass_on(self, status: Status) -> None:
        with self._telling:
            self._status = status
            self._watcher.update(status)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Passes on what workers say of their candidates meanwhile."""
        stop = threading.Event()

        def listen() -> None:
            while not stop.wait(LISTEN_S):
                said = tuple(notices(self._folder).values())
                with self._telling:  # or what the search tells meanwhile would be taken back
                    if said != self._status.at_work:
                        self._pass_on(replace(self._status, at_work=said))

        listening = threading.Thread(target=listen, daemon=True)
        listening.start()
        try:
            yield
        finally:
            stop.set()
            listening.join()

    def _tell_rows(self, phase: str, rows: Sequence[TrialRow], fronts: Fronts, message: str = "") -> None:
        front = fronts.first
        states = Counter(row.state.value for row in rows if row.state.finished)
        finished = sum(states.values())
        self._pass_on(
            Status(
                phase,
                message,
                trials=self._planned,
                finished=finished,
                failed=sum(n for state, n in states.items() if not TrialState(state).measured),
                front=len(front.members),
                best_speedup=front.best_speedup,
                seconds_left=self._seconds_left(finished) if phase == "searching" else None,
                states=dict(states),
                at_work=self._status.at_work if phase == "searching" else (),
            )
        )

    def _seconds_left(self, finished: int) -> float | None:
        elapsed = time.monotonic() - self._searching_since
        left = None
        if finished:
            left = elapsed / finished * (self._planned - finished)
        if self._job.budget.minutes is not None:
            limit = self._job.budget.minutes * 60 - (self._row.wall_s + time.monotonic() - self._started)
            left = limit if left is None else min(left, limit)
        return None if left is None else max(0.0, left)


def submit(store: Store, job: Job, folder: Path) -> str:
    """Queues a job and returns its id; raises :class:`InvalidInput` where the task's files cannot be used."""
    check_files(job.task.name, job.task.options, folder)
    with agents_of(store):
        devices = job.profiles
    return store.create_job(
        name=job.name,
        spec=job.model_dump(mode="json"),
        spec_folder=str(folder.resolve()),
        profile=devices[0].profile,
        devices=devices,
    )
