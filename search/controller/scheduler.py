"""Blocks of candidates: asked at once, told together in the order asked, replayed from the store on resume."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hwprofiles.errors import ParetuneError
from search.fronts.feasibility import judge
from search.fronts.objectives import Constraint, Objective, gains, violations
from search.space.candidate import Candidate
from search.states import TrialState
from search.store import Lease, Store, TrialRow
from search.strategies import Result, Strategy
from search.training.asha import TRAINING, Figures

REPEATS_UNTIL_EXHAUSTED = 100
"""After so many known candidates in a row the space is called exhausted."""

TROUBLES_IN_A_ROW = 3
"""After so many trials in a row that the moment kept from a result it is no use to go on."""

MISSING = "_missing"
"""The key beside a strategy's stored state: digests of the candidates that it was told nothing of."""


class Scheduler:
    """Hands out trials and learns from them, a block of ``batch`` new candidates at a time.

    A known candidate is answered from what is recorded and costs no trial. The next block opens when the last trial of
    this one is finished, so that results are told in the order asked, whoever finished first. After a restart the same
    asks give the same trials: those that the store has finished are answered from it, the others are handed out again.
    Candidates whose metrics are ``known`` by their digests cost a trial, but are handed out to nobody; ``known_sha256``
    names the file that they were measured on.

    A trial that the moment kept from a result (:meth:`put_off`) stays pending. When its block closes it is told as
    missing, and is so for ever, since what was asked afterwards depends on that; a restarted job hands it out again
    all the same, for the front. Called from one thread; the only writer of the job's trials.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        strategy: Strategy,
        *,
        strategy_name: str,
        batch: int,
        trials: int,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        baseline: Mapping[str, Any],
        simulated: bool,
        known: Mapping[str, Mapping[str, Any]] | None = None,
        known_sha256: str | None = None,
    ) -> None:
        self._known, self._known_sha256 = known or {}, known_sha256
        self._store, self._lease, self._strategy = store, lease, strategy
        self._strategy_name, self._batch, self._budget = strategy_name, batch, trials
        self._objectives, self._constraints, self._baseline = objectives, constraints, baseline
        self._simulated = simulated
        self._recorded = {row.number: row for row in store.trials(lease.job_id)}
        self._missing = set((store.job(lease.job_id).strategy_state or {}).get(MISSING, ()))
        self._in_a_row = 0
        self._finished: dict[str, TrialRow] = {}
        self._asked: list[Candidate] = []
        self._open: dict[str, TrialRow] = {}
        self._queue: deque[TrialRow] = deque()
        self._numbers: dict[str, int] = {}
        self._block = 0
        self._stopped = self._cut_short = False
        self.trouble: ParetuneError | None = None
        """Why the search had to stop, if several trials in a row were put off."""
        self.repeats = False
        """Whether the strategy proposed nothing new before the trials were used up."""
        self.trainings: list[Figures] = []
        """The figures of trainings of all blocks that are closed."""

    @property
    def finished(self) -> list[TrialRow]:
        """All finished trials, by number."""
        return sorted(self._finished.values(), key=lambda row: row.number)

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing more to hand out, now or later."""
        return self._stopped and not self._queue and not self._open

    def stop(self) -> None:
        """Opens no more blocks and hands out no more trials; those that are out may still finish.

        A block that is cut short is never told: a resumed job goes on with it where it stopped.
        """
        self._stopped = True
        self._cut_short = self._cut_short or bool(self._queue)
        for row in self._queue:
            self._open.pop(row.digest)
        self._queue.clear()

    def abandon(self, row: TrialRow) -> None:
        """Takes back a trial of which nothing will be known now, and stops; a resumed job hands it out again."""
        del self._open[row.digest]
        self._cut_short = True
        self.stop()

    def put_off(self, row: TrialRow, why: ParetuneError) -> None:
        """Leaves a trial pending that the moment kept from a result; after several in a row, stops."""
        self._store.put_off(self._lease, row.candidate_id, why.message)
        del self._open[row.digest]
        self._in_a_row += 1
        if self._in_a_row >= TROUBLES_IN_A_ROW and self.trouble is None:
            self.trouble = ParetuneError(
                f"{self._in_a_row} candidates in a row could not be judged, the last since: {why.message}",
                f"{why.hint or 'mend that'}; they stay pending: go on with paretune resume {self._lease.job_id}",
            )
            self._cut_short = True
            self.stop()
        self._close_if_complete()

    def begin(self) -> None:
        """Opens the first block, so that what is known without working on it is a trial in any case."""
        if self._block == 0 and not self._asked and not self._stopped:
            self._open_block()

    def next(self) -> TrialRow | None:
        """A trial to work on; None when there is none until another finishes, or none at all (``exhausted``)."""
        while not self._queue and not self._open and not self._stopped:
            self._open_block()
        if not self._queue:
            return None
        row = self._queue.popleft()
        self._store.set_trial_state(self._lease, row.candidate_id, TrialState.BUILDING)
        return row

    def finish(
        self,
        row: TrialRow,
        state: TrialState,
        *,
        reason: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        artifact_sha256: str | None = None,
        measurement: dict[str, Any] | None = None,
        others: Sequence[dict[str, Any]] = (),
        wall_s: float = 0.0,
    ) -> TrialRow:
        """Records what became of a trial, and tells the strategy when it was the block's last.

        A measured trial that breaks a constraint becomes ``infeasible``, with the constraint as its reason.
        """
        done = self._record(
            row, state, reason=reason, metrics=metrics, artifact_sha256=artifact_sha256, measurement=measurement,
            others=others, wall_s=wall_s,
        )  # fmt: skip
        self._in_a_row = 0
        self._close_if_complete()
        return done

    def _record(
        self,
        row: TrialRow,
        state: TrialState,
        *,
        reason: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        artifact_sha256: str | None = None,
        measurement: dict[str, Any] | None = None,
        others: Sequence[dict[str, Any]] = (),
        wall_s: float = 0.0,
    ) -> TrialRow:
        metrics = dict(metrics or {})
        if state is TrialState.DONE:
            state, reason = judge(self._objectives, self._constraints, metrics, self._baseline)
        self._store.finish_trial(
            self._lease, row.candidate_id, state, reason=reason, metrics=metrics, artifact_sha256=artifact_sha256,
            measurement=measurement, others=others, wall_s=wall_s,
        )  # fmt: skip
        done = replace(row, state=state, reason=reason, metrics=metrics, artifact_sha256=artifact_sha256, wall_s=wall_s)
        self._finished[row.digest] = done
        del self._open[row.digest]
        return done

    def _open_block(self) -> None:
        new: list[tuple[int, Candidate]] = []
        repeats = 0
        while len(new) < self._batch and len(self._numbers) < self._budget and repeats < REPEATS_UNTIL_EXHAUSTED:
            candidate = self._strategy.ask()
            self._asked.append(candidate)
            if candidate.digest in self._numbers:
                repeats += 1
                continue
            repeats = 0
            self._numbers[candidate.digest] = len(self._numbers)
            new.append((self._numbers[candidate.digest], candidate))
        if not new:
            self._stopped = True
            self.repeats = len(self._numbers) < self._budget
            return
        for row in self._rows(new):
            if row.state.finished:
                self._finished[row.digest] = row
            else:
                self._open[row.digest] = row
        for row in [row for row in self._open.values() if row.digest in self._known]:
            metrics = self._known[row.digest]
            self._record(row, TrialState.DONE, metrics=metrics, artifact_sha256=self._known_sha256)
        self._queue.extend(self._open.values())
        if not self._open:
            self._close_block()

    def _rows(self, new: Sequence[tuple[int, Candidate]]) -> list[TrialRow]:
        known = [self._recorded[number] for number, _ in new if number in self._recorded]
        for row, (_, candidate) in zip(known, new, strict=False):
            if row.digest != candidate.digest:
                raise ParetuneError(
                    f"trial {row.number} is recorded as another candidate than the strategy proposes on resume",
                    "the job was started by another version; start it anew with: paretune run",
                )
        fresh = [(number, candidate) for number, candidate in new if number not in self._recorded]
        if fresh:
            added = self._store.add_trials(self._lease, self._block, self._strategy_name, self._simulated, fresh)
            known.extend(added)
        return known

    def _close_if_complete(self) -> None:
        if not self._open and not self._queue and not self._cut_short:
            self._close_block()

    def _close_block(self) -> None:
        self._missing |= {candidate.digest for candidate in self._asked} - self._finished.keys()
        self._strategy.tell([self._result(candidate) for candidate in self._asked])
        trained = (row.metrics.get(TRAINING) for row in self.finished if row.digest not in self._missing)
        self.trainings = [training["figures"] for training in trained if training]
        self._asked.clear()
        self._block += 1
        missing = {MISSING: sorted(self._missing)} if self._missing else {}
        self._store.finish_block(self._lease, {**self._strategy.state_dict(), **missing})
        if len(self._numbers) >= self._budget:
            self._stopped = True

    def _result(self, candidate: Candidate) -> Result:
        if candidate.digest in self._missing:
            return Result(candidate, None, tuple(1.0 for _ in self._constraints), missing=True)
        row = self._finished[candidate.digest]
        if not row.state.measured:
            return Result(candidate, None, tuple(1.0 for _ in self._constraints))
        amounts = violations(self._constraints, row.metrics, self._baseline)
        return Result(candidate, gains(self._objectives, row.metrics), amounts)
