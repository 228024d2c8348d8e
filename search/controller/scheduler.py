"""Blocks of candidates: proposed at once, told together in the same order, replayed from the store on resume."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from hwprofiles.errors import ParetuneError
from search.fronts.feasibility import judge
from search.fronts.objectives import Constraint, Objective, gains, violations
from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import TrialState
from search.store import Lease, Store, TrialRow
from search.strategies import Result, Reward, Strategy
from search.trials.earlier import Earlier

REPEATS_UNTIL_EXHAUSTED = 100
"""After so many repeated proposals in a row the space counts as exhausted."""

TROUBLES_IN_A_ROW = 3
"""After so many trials in a row without result for transient reasons the search stops."""

MISSING, BLOCK = "_missing", "_block"
"""Key in a strategy's stored state: digests of candidates that were told to it as missing."""

REWARDS = "_rewards"
"""Key in a strategy's stored state: its learning curve, each reward with the candidate's trial number."""


class Scheduler:
    """Hands out trials and tells their results to the strategy, a block of ``batch`` new candidates at a time (None: as
    many as the strategy prefers).

    A repeated candidate is answered from its earlier trial and costs none. The next block opens when all trials of the
    block are finished, so that results are told in the order of the proposals, whichever finished first. After a
    restart the strategy makes the same proposals: finished trials are answered from the store, the others are handed
    out again. Candidates in ``premeasured`` (metrics by digest) cost a trial but are not handed out;
    ``premeasured_sha256`` is the digest of the file that they were measured on.

    A trial without result for a transient reason (:meth:`put_off`) stays pending. When its block closes it is told as
    missing, and stays so, since later proposals depend on that; a restarted job still hands it out again, for the
    front. Call from one thread. The only writer of the job's trials.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        strategy: Strategy,
        *,
        strategy_name: str,
        batch: int | None,
        trials: int,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        baseline: Mapping[str, Any],
        simulated: bool,
        premeasured: Mapping[str, Mapping[str, Any]] | None = None,
        premeasured_sha256: str | None = None,
    ) -> None:
        self._premeasured, self._premeasured_sha256 = premeasured or {}, premeasured_sha256
        self._store, self._lease, self._strategy = store, lease, strategy
        self._strategy_name, self._batch, self._budget = strategy_name, batch, trials
        self._objectives, self._constraints, self._baseline = objectives, constraints, baseline
        self._simulated = simulated
        self._recorded = {row.number: row for row in store.trials.of_job(lease.job_id)}
        saved = dict(store.jobs.get(lease.job_id).strategy_state or {})
        saved.pop(REWARDS, None)
        self._missing, self._saved_block = set(saved.pop(MISSING, ())), saved.pop(BLOCK, None)
        self._saved_state = saved
        self._in_a_row = 0
        self._finished: dict[str, TrialRow] = {}
        self._proposals: list[Candidate] = []
        self._open: dict[str, TrialRow] = {}
        self._queue: deque[TrialRow] = deque()
        self._numbers: dict[str, int] = {}
        self._block = 0
        self._stopped = self._cut_short = False
        self.trouble: ParetuneError | None = None
        """Why the search had to stop, if several trials in a row were put off."""
        self.repeats = False
        """Whether the search ended because the strategy proposed nothing new."""
        self.earlier = Earlier()
        """The results of all closed blocks that candidates are compared with."""

    @property
    def history(self) -> list[TrialRow]:
        """All finished trials, by number."""
        return sorted(self._finished.values(), key=lambda row: row.number)

    @property
    def is_over(self) -> bool:
        """Whether there is nothing more to hand out, and nothing in progress."""
        return self._stopped and not self._queue and not self._open

    def stop(self) -> None:
        """Opens no more blocks and hands out no more trials; those in progress may still finish.

        A block that is cut short is not told: a resumed job continues it.
        """
        self._stopped = True
        self._cut_short = self._cut_short or bool(self._queue)
        for row in self._queue:
            self._open.pop(row.digest)
        self._queue.clear()

    def abandon(self, row: TrialRow) -> None:
        """Takes back a trial that will have no result now, and stops; a resumed job hands it out again."""
        del self._open[row.digest]
        self._cut_short = True
        self.stop()

    def return_trial(self, row: TrialRow) -> None:
        """Takes back a trial whose process was lost; hands it out again, under the same number, unless it has to
        stop."""
        if self._stopped:
            self.abandon(row)
        else:
            self._queue.appendleft(row)

    def put_off(self, row: TrialRow, why: ParetuneError) -> None:
        """Leaves a trial pending that failed for a transient reason; stops after several in a row."""
        self._store.trials.put_off(self._lease, row.candidate_id, why.message)
        del self._open[row.digest]
        self._in_a_row += 1
        if self._in_a_row >= TROUBLES_IN_A_ROW and self.trouble is None:
            self.trouble = ParetuneError(
                f"{self._in_a_row} candidates in a row could not be judged, the last since: {why.message}",
                f"{why.hint or 'fix that'}; they stay pending: go on with paretune resume {self._lease.job_id}",
            )
            self._cut_short = True
            self.stop()
        self._close_if_complete()

    def begin(self) -> None:
        """Opens the first block, so that premeasured candidates become trials in any case."""
        if self._block == 0 and not self._proposals and not self._stopped:
            self._open_block()

    def next(self) -> TrialRow | None:
        """Returns the next trial to run; None until another finishes, or because :attr:`is_over`."""
        while not self._queue and not self._open and not self._stopped:
            self._open_block()
        if not self._queue:
            return None
        row = self._queue.popleft()
        self._store.trials.set_state(self._lease, row.candidate_id, TrialState.BUILDING)
        return row

    def finish(self, row: TrialRow, outcome: TrialOutcome) -> TrialRow:
        """Records the outcome of a trial, and tells the block to the strategy if it was the last of it.

        A measured trial that breaks a constraint becomes ``infeasible``, with the constraint as reason.
        """
        finished = self._record(row, outcome)
        self._in_a_row = 0
        self._close_if_complete()
        return finished

    def _record(self, row: TrialRow, outcome: TrialOutcome) -> TrialRow:
        if outcome.state is TrialState.DONE:
            state, reason = judge(self._objectives, self._constraints, outcome.metrics, self._baseline)
            outcome = replace(outcome, state=state, reason=reason)
        self._store.trials.finish(self._lease, row.candidate_id, outcome)
        finished = row.with_outcome(outcome)
        self._finished[row.digest] = finished
        del self._open[row.digest]
        return finished

    def _open_block(self) -> None:
        new: list[tuple[int, Candidate]] = []
        repeats = 0
        batch = self._batch or self._strategy.batch
        while len(new) < batch and len(self._numbers) < self._budget and repeats < REPEATS_UNTIL_EXHAUSTED:
            candidate = self._strategy.ask()
            self._proposals.append(candidate)
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
        for row in [row for row in self._open.values() if row.digest in self._premeasured]:
            metrics, sha256 = self._premeasured[row.digest], self._premeasured_sha256
            self._record(row, TrialOutcome(TrialState.DONE, metrics=metrics, artifact_sha256=sha256))
        self._queue.extend(self._open.values())
        if not self._open:
            self._close_block()

    def _rows(self, new: Sequence[tuple[int, Candidate]]) -> list[TrialRow]:
        rows = [self._recorded[number] for number, _ in new if number in self._recorded]
        for row, (_, candidate) in zip(rows, new, strict=False):
            if row.digest != candidate.digest:
                raise ParetuneError(
                    f"trial {row.number} is recorded as another candidate than the strategy proposes on resume",
                    "another version of Paretune started the job; run it again with: paretune run FILE",
                )
        fresh = [(number, candidate) for number, candidate in new if number not in self._recorded]
        if fresh:
            added = self._store.trials.add(self._lease, self._block, self._strategy_name, self._simulated, fresh)
            rows.extend(added)
        return rows

    def _close_if_complete(self) -> None:
        if not self._open and not self._queue and not self._cut_short:
            self._close_block()

    def _close_block(self) -> None:
        self._missing |= {candidate.digest for candidate in self._proposals} - self._finished.keys()
        self._strategy.tell([self._result(candidate) for candidate in self._proposals])
        self.earlier = Earlier.of(row.metrics for row in self.history if row.digest not in self._missing)
        self._proposals.clear()
        self._block += 1
        if self._block == self._saved_block and self._saved_state:
            self._strategy.load_state_dict(self._saved_state)
        missing = {MISSING: sorted(self._missing)} if self._missing else {}
        rewards = [self._reward(reward) for reward in self._strategy.rewards]
        state = {**self._strategy.state_dict(), BLOCK: self._block, **missing}
        self._store.jobs.set_strategy_state(self._lease, state | ({REWARDS: rewards} if rewards else {}))
        if len(self._numbers) >= self._budget:
            self._stopped = True

    def _reward(self, reward: Reward) -> dict[str, Any]:
        fields = {key: value for key, value in asdict(reward).items() if key != "digest"}
        return {"trial": self._numbers[reward.digest], **fields}

    def _result(self, candidate: Candidate) -> Result:
        if candidate.digest in self._missing:
            return Result(candidate, None, tuple(1.0 for _ in self._constraints), missing=True)
        row = self._finished[candidate.digest]
        if not row.state.measured:
            return Result(candidate, None, tuple(1.0 for _ in self._constraints))
        amounts = violations(self._constraints, row.metrics, self._baseline)
        return Result(candidate, gains(self._objectives, row.metrics), amounts)
