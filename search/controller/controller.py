"""The controller: takes one job from the store to its front."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.devices.deadline import Clock, Deadline
from evaluators.processes.sandbox import Sandbox
from hwprofiles.errors import CandidateError, ParetuneError, StorageError
from search.budget.allowance import Allowance
from search.budget.stopwatch import Stopwatch
from search.budget.time_budget import TimeBudget
from search.controller.confirmation import Confirmation
from search.controller.ending import ending_of
from search.controller.failures import Failures, check_some_work
from search.controller.progress import Status, Watcher
from search.controller.scheduler import Scheduler
from search.devices.capabilities import known_capabilities
from search.devices.link import ErrandLink
from search.devices.lookup import agents_of
from search.folders import job_folder
from search.fronts.joint import Fronts, fronts_of
from search.job.devices import JobDevice
from search.job.spec import Job
from search.job.views import views_of
from search.options import validate_options
from search.prediction.accuracy import Assessments
from search.space.candidate import Space, runtime_decision
from search.space.coverage import COVERAGE, in_words
from search.space.promising import untried_gains
from search.states import JobState, TrialState
from search.store import JobRow, Lease, StaleLease, Store, TrialRow, digests_of, this_process
from search.strategies import STRATEGIES, Strategy
from search.tasks import check_files
from search.trials import sandboxed
from search.trials.activity import forget_notices, notices
from search.trials.context import JobContext
from search.trials.preparation import PreparationResult
from search.trials.trial import Outcome

RATIOS = ("speedup", "throughput_speedup")
"""Metrics that compare a candidate with the fp32 model."""

LEASE_S = 30.0
RENEW_S = LEASE_S / 3
RENEW_AGAIN_S = 1.0
"""Between attempts to renew while the database cannot be reached."""

FRONT_EVERY_S = 0.5
LISTEN_S = 1.0

KILLED, LOST_S = "killed", 1.0
"""Under which name, and from how many seconds on, the time of killed runs is shown that no phase accounts for."""

_RESUME = "go on with: paretune resume JOB, with --debug to see more"


class Controller:
    """Runs one job in this process, with a Ray of its own for the trials. The only writer of the job while it holds the
    lease; a controller that lost it writes nothing more and raises :class:`StaleLease`.

    May be killed at any moment: what is finished is in the store, and another controller goes on from there.
    """

    def __init__(
        self, store: Store, job_id: str, watcher: Watcher | None = None, clock: Clock = time.monotonic
    ) -> None:
        self._store, self._clock = store, clock
        self._row: JobRow = store.job(job_id)
        self._job = Job.model_validate(self._row.spec)
        self._watcher = watcher or Watcher()
        self._planned = self._job.budget.trials
        self._status, self._telling = Status("queued"), threading.RLock()
        self._folder = job_folder(self._row.job_id)
        self._digests = digests_of(self._row)
        devices = [JobDevice(label, store.profile(digest)) for label, digest in self._digests.items()]
        self._order = JobContext(
            json.dumps(self._row.spec), self._row.spec_folder, devices[0].profile, further_devices=tuple(devices[1:]),
            link=ErrandLink(store.url, f"{self._row.job_id} search", self._job.limits.device_s),
            capabilities=known_capabilities(store, [device.profile.digest for device in devices]),
        )  # fmt: skip
        self._objectives, self._constraints = self._job.parsed_objectives, self._job.parsed_constraints
        self._views = views_of(self._job)
        self._budget = TimeBudget(self._job.budget.total_s, self._row.wall_s, clock)
        self._watch = Stopwatch(clock)
        self._late = False
        self._confirmed_at = 0.0
        self._stored_until = self._searching_since = clock()
        self._lost_lease = threading.Event()
        self._earlier_s: dict[str, float] = {}
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
            with self._watch.timing("preparing"):
                prepared = self._prepared()
            self._earlier_s = self._times_of_earlier_runs(prepared)
            self._store_times(prepared)
            self._budget.measured(prepared.facts)
            self._planned = min(self._planned, prepared.space.size)
            self._assessments = Assessments(prepared.facts, tuple(self._digests))
            try:
                if not self._confirmation(prepared).is_begun:
                    with self._watch.timing("searching"):
                        self._search(prepared)
                    self._store.drop_unfinished(self._lease)
                    self._check_some_work(prepared)
                with self._watch.timing("confirming"):
                    self._finalise(prepared)
            finally:
                self._store_times(prepared)
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
        now = self._clock()
        self._store.add_wall_time(self._lease, now - self._stored_until)
        self._stored_until = now

    def _times_of_earlier_runs(self, prepared: PreparationResult) -> dict[str, float]:
        """Seconds by phase; what a run that was killed could not say stands under ``killed``."""
        earlier: dict[str, float] = dict(prepared.facts.get("time_s", {}))
        lost_s = self._row.wall_s - sum(earlier.values())
        if earlier and lost_s > LOST_S:
            earlier[KILLED] = round(earlier.get(KILLED, 0.0) + lost_s, 3)
        return earlier

    def _store_times(self, prepared: PreparationResult) -> None:
        """Adds what each phase of this run took so far to what those before it took."""
        prepared.facts["time_s"] = self._earlier_s | {
            phase: round(self._earlier_s.get(phase, 0.0) + seconds, 3) for phase, seconds in self._watch.seconds.items()
        }
        with suppress(StaleLease):
            self._store.set_prepared(self._lease, space=prepared.space.to_dict(), baseline=prepared.baseline)

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

    def _prepared(self) -> PreparationResult:
        if self._row.space is not None and self._row.baseline is not None:
            baseline = self._row.baseline
            self._order = self._order.with_facts(baseline["facts"])
            return PreparationResult(Space.from_dict(self._row.space), baseline["metrics"], baseline["facts"])
        self._tell("preparing", "opening the task")
        limits = self._job.limits
        sandbox = Sandbox(
            memory_bytes=limits.memory_bytes,
            log=self._folder / "prepare.log",
            progress=lambda text: self._tell("preparing", text),
        )
        try:
            found = sandbox.call(
                sandboxed.prepare, self._order, self._budget, stage="training",
                limit_s=limits.training_s + limits.exporting_s,
            )  # fmt: skip
        except CandidateError as error:
            raise ParetuneError(
                f"the job cannot be prepared: {error.message}", error.hint or f"see {self._folder / 'prepare.log'}"
            ) from None
        finally:
            sandbox.close()
        self._order = self._order.with_facts(found.facts)
        self._store.set_prepared(self._lease, space=found.space.to_dict(), baseline=found.baseline)
        coverage = in_words(found.facts[COVERAGE]) if COVERAGE in found.facts else ()
        for line in (*found.facts.get("notes", ()), *coverage):
            self._watcher.note(line)
        return found

    # Searching

    def _search(self, prepared: PreparationResult) -> None:
        from search.controller.ray_cluster import local_cluster, run_trials
        from search.controller.ray_workers import BlockSearcher, CandidateTrainable

        scheduler, failures = self._scheduler(prepared), Failures(prepared.space.baseline().digest)
        self._store.reset_unfinished(self._lease)
        self._searching_since = self._clock()
        parameters = {
            "order": self._order, "facts": prepared.facts, "folder": str(self._folder),
            "allowance": Allowance.within(self._job, self._budget.end),
        }  # fmt: skip
        parallel = self._job.budget.parallel

        def finished(row: TrialRow, outcome: Outcome) -> None:
            failures.add(row)
            self._budget.tried(outcome.wall_s)
            self._after_trial(scheduler, prepared)

        def stopping() -> bool:
            return failures.hopeless or self._out_of_time()

        forget_notices(self._folder)
        scheduler.begin()
        if not stopping():
            self._tell("searching", "starting workers")
            searcher = BlockSearcher(scheduler, finished, stopping, lambda: self._budget.giving_up)
            with local_cluster(parallel) as folder, self._listening():
                run_trials(CandidateTrainable, parameters, searcher, parallel, folder)
            if searcher.lost is not None:
                raise searcher.lost
            if scheduler.trouble is not None:
                raise scheduler.trouble
        if self._lost_lease.is_set():
            raise StaleLease("another controller took the job over", "watch it with: paretune jobs")
        forget_notices(self._folder)
        self._note_ending(scheduler, prepared)

    def _note_ending(self, scheduler: Scheduler, prepared: PreparationResult) -> None:
        """Keeps among the facts why there are no more candidates."""
        answers = prepared.facts.get("device_answers", ())
        first = [answer for answer in answers if answer.get("device") in (None, self._job.labels[0])]
        tried = {row.digest for row in scheduler.finished}
        ending = ending_of(
            self._job.budget, finished=len(tried), size=prepared.space.size, repeats=scheduler.repeats,
            late=self._late, untried=untried_gains(first, prepared.space, self._order.profile.runtime, tried),
        )  # fmt: skip
        prepared.facts["ending"] = ending and ending.to_dict()

    def _check_some_work(self, prepared: PreparationResult) -> None:
        """Raises :class:`search.controller.failures.AllFailed` where nothing came of the search; its front stays."""
        rows = self._store.trials(self._row.job_id)
        self._store.add_front(self._lease, self._fronts(rows, prepared).document)
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
            simulated=self._order.profile.simulated,
            known=self._known(prepared),
            known_sha256=prepared.facts.get("model_sha256"),
        )

    def _known(self, prepared: PreparationResult) -> dict[str, dict[str, Any]]:
        """What need not be measured where time counts: the candidate that changes nothing, which preparing measured."""
        baseline = prepared.space.baseline()
        names = [None, *(other.label for other in self._order.further_devices)]
        asked_of = zip(map(runtime_decision, names), self._order.devices, strict=True)
        same = all(baseline.decisions.get(name, one.profile.runtime) == one.profile.runtime for name, one in asked_of)
        if not same or self._job.budget.minutes is None:
            return {}
        itself = {"ratio": 1.0, "ci95": [1.0, 1.0]}  # by definition
        ratios = {name: itself for name in prepared.metrics if name.partition("@")[0] in RATIOS}
        return {baseline.digest: prepared.metrics | ratios}

    def _strategy(self, prepared: PreparationResult) -> Strategy:
        kind = STRATEGIES[self._job.strategy.name]
        options = validate_options(kind.Options, self._job.strategy.options, "strategy.options")
        strategy = kind(prepared.space, len(self._objectives), len(self._constraints), self._job.seed, options)
        strategy.predictor = next(iter(self._assessments.predictors.values()))
        strategy.metrics = tuple(objective.metric for objective in self._objectives)
        return strategy

    def _out_of_time(self) -> bool:
        self._late = self._late or self._budget.over_for_trials
        return self._lost_lease.is_set() or self._late

    def _after_trial(self, scheduler: Scheduler, prepared: PreparationResult) -> None:
        """Brings the stored front up to date, at most so often: thousands of modelled trials pass in seconds."""
        if time.monotonic() - self._front_at < FRONT_EVERY_S and not scheduler.exhausted:
            return
        rows = scheduler.finished
        fronts = self._fronts(rows, prepared)
        if not self._order.profile.simulated:
            self._budget.expect_s(self._confirmation(prepared).estimated_s(rows, fronts))
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

    def _finalise(self, prepared: PreparationResult) -> None:
        """Measures members and contenders again, so that the front rests on figures that nobody selected for luck."""
        if self._order.profile.simulated:
            rows = self._store.trials(self._row.job_id)
            self._store.add_front(self._lease, self._fronts(rows, prepared, final=True).document)
            return
        self._confirmed_at = self._clock() + self._budget.final_s
        rows, fronts = self._confirmation(prepared).run()
        self._store.add_front(self._lease, fronts.document)
        self._assess(rows)
        self._keep_files(rows, fronts)
        self._tell_rows("done", rows, fronts)

    def _confirmation(self, prepared: PreparationResult) -> Confirmation:
        # A job that is done is resumed to measure what it had no time for.
        ends = Deadline(clock=self._clock) if self._row.state is JobState.DONE else self._budget.end
        return Confirmation(
            self._store, self._lease, self._order, prepared, self._folder, self._digests,
            deadline=lambda: ends.passed, allowance=Allowance.within(self._job, ends), known=self._known(prepared),
            telling=lambda rows, fronts, message: self._tell_rows("confirming", rows, fronts, message),
        )  # fmt: skip

    # Telling

    def _fronts(self, rows: Sequence[TrialRow], prepared: PreparationResult, *, final: bool = False) -> Fronts:
        return fronts_of(rows, self._views, prepared.metrics, final=final)

    def _tell(self, phase: str, message: str) -> None:
        left = {phase: self._budget.preparing.left_s} if phase == "preparing" and self._job.budget.minutes else {}
        self._pass_on(Status(phase, message, trials=self._planned, left_s=left))

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
        left_s = self._left_s(phase, finished)
        self._pass_on(
            Status(
                phase,
                message,
                trials=self._planned,
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

    def _left_s(self, phase: str, finished: int) -> dict[str, float]:
        """What is left of the phases, by the pace so far and the budget; empty before there is anything to judge by."""
        if phase == "confirming":
            return {"confirming": max(0.0, self._confirmed_at - self._clock())}
        if phase != "searching":
            return {}
        elapsed = self._clock() - self._searching_since
        pace_s = elapsed / finished * max(0, self._planned - finished) if finished else None
        if pace_s is None and self._job.budget.minutes is None:
            return {}
        left = self._budget.left_s(pace_s)
        return left if not self._order.profile.simulated else {"searching": left["searching"]}


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
        devices={device.label: device.profile for device in devices},
    )
