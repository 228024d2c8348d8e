"""Trials and their measurements."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime

import pytest

from hwprofiles.errors import NotFound, StorageError
from search.outcome import TrialOutcome
from search.space.candidate import Candidate
from search.states import TrialState
from search.store import Lease, Store, TrialRow, this_process

NewJob = Callable[..., str]


class TestTrials:
    def test_a_block_is_added_pending(
        self, store: Store, lease: Lease, candidates: list[Candidate], trials: list[TrialRow]
    ) -> None:
        assert trials == store.trials.of_job(lease.job_id)
        for number, (trial, candidate) in enumerate(zip(trials, candidates, strict=False)):
            digest = hashlib.sha256((lease.job_id + candidate.digest).encode()).hexdigest()
            assert (trial.candidate_id, trial.job_id) == (digest[:12], lease.job_id)
            assert (trial.number, trial.block, trial.digest) == (number, 0, candidate.digest)
            assert list(trial.decisions.items()) == list(candidate.values)
            assert (trial.strategy, trial.simulated, trial.state) == ("random", True, TrialState.PENDING)
            assert (trial.reason, trial.metrics, trial.artifact_sha256, trial.wall_s) == (None, {}, None, 0.0)

    def test_every_device_s_measurement_is_kept(self, store: Store, lease: Lease, trials: list[TrialRow]) -> None:
        first, second = trials[0].candidate_id, trials[1].candidate_id
        store.trials.finish(
            lease,
            first,
            TrialOutcome(TrialState.DONE, measurement={"of": "a"}, further_measurements=({"of": "b"}, {"of": "c"})),
        )
        store.trials.finish(lease, second, TrialOutcome(TrialState.INFEASIBLE, further_measurements=({"of": "b"},)))
        assert [one["record"]["of"] for one in store.trials.measurements(first)] == ["a", "b", "c"]
        assert [(one["phase"], one["record"]["of"]) for one in store.trials.measurements(second)] == [("search", "b")]

    def test_the_stored_decisions_make_the_candidate_again(
        self, store: Store, candidates: list[Candidate], trials: list[TrialRow]
    ) -> None:
        stored = store.trials.get(trials[2].candidate_id)
        assert Candidate(tuple(stored.decisions.items()), "context").digest == candidates[2].digest

    def test_listing_is_by_number(self, store: Store, lease: Lease, candidates: list[Candidate]) -> None:
        store.trials.add(lease, 1, "random", False, [(9, candidates[0]), (3, candidates[1])])
        store.trials.add(lease, 0, "random", False, [(5, candidates[2])])
        assert [(trial.number, trial.block) for trial in store.trials.of_job(lease.job_id)] == [(3, 1), (5, 0), (9, 1)]

    def test_an_empty_block_is_nothing(self, store: Store, lease: Lease) -> None:
        assert store.trials.add(lease, 0, "random", False, []) == []
        assert store.trials.of_job(lease.job_id) == []

    @pytest.mark.parametrize(("number", "which"), [(0, 7), (7, 0)], ids=["number", "candidate"])
    def test_a_repeat_is_refused_with_its_block(
        self, store: Store, lease: Lease, candidates: list[Candidate], trials: list[TrialRow], number: int, which: int
    ) -> None:
        with pytest.raises(StorageError):
            store.trials.add(lease, 1, "random", True, [(20, candidates[6]), (number, candidates[which])])
        assert store.trials.of_job(lease.job_id) == trials

    def test_two_jobs_may_try_the_same(
        self, store: Store, new_job: NewJob, candidates: list[Candidate], trials: list[TrialRow]
    ) -> None:
        other = store.jobs.lease(new_job("other"), this_process())
        (again,) = store.trials.add(other, 0, "random", True, [(0, candidates[0])])
        assert again.digest == trials[0].digest
        assert again.candidate_id != trials[0].candidate_id

    def test_an_id_that_another_candidate_has(
        self, store: Store, lease: Lease, new_job: NewJob, candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Twelve digits are few for a database of millions."""
        other = store.jobs.lease(new_job("other"), this_process())
        ids = {0: "aaaaaaaaaaaa", 1: "bbbbbbbbbbbb"}
        monkeypatch.setattr("search.store.trials.candidate_id_of", lambda job_id, digest, attempt=0: ids[attempt])
        for own in (lease, other):
            store.trials.add(own, 0, "random", True, [(0, candidates[0])])
        assert [store.trials.of_job(own.job_id)[0].candidate_id for own in (lease, other)] == list(ids.values())
        with pytest.raises(StorageError):
            store.trials.add(lease, 1, "random", True, [(1, candidates[0])])

    def test_states_on_the_way(self, store: Store, lease: Lease, trials: list[TrialRow]) -> None:
        store.trials.set_state(lease, trials[1].candidate_id, TrialState.BUILDING)
        states = [trial.state for trial in store.trials.of_job(lease.job_id)]
        assert states == [TrialState.PENDING, TrialState.BUILDING, TrialState.PENDING, TrialState.PENDING]

    def test_a_finished_trial_has_its_results(self, store: Store, lease: Lease, trials: list[TrialRow]) -> None:
        candidate_id = trials[0].candidate_id
        record = {"samples_ms": [1.0, 2.0, 0.1 + 0.2], "median_ms": 1.0}
        store.trials.finish(
            lease,
            candidate_id,
            TrialOutcome(
                TrialState.DONE,
                metrics={"cosine": 0.998, "accuracy": 1 / 3},
                artifact_sha256="f" * 64,
                measurement=record,
                wall_s=2.5,
            ),
        )
        trial = store.trials.get(candidate_id)
        assert trial.state is TrialState.DONE
        assert list(trial.metrics.items()) == [("cosine", 0.998), ("accuracy", 1 / 3)]
        assert (trial.reason, trial.artifact_sha256, trial.wall_s) == (None, "f" * 64, 2.5)
        (measurement,) = store.trials.measurements(candidate_id)
        assert (measurement["phase"], measurement["record"]) == ("search", record)
        assert datetime.fromisoformat(measurement["created_at"]).utcoffset() is not None

    def test_a_failed_trial_has_its_reason(self, store: Store, lease: Lease, trials: list[TrialRow]) -> None:
        store.trials.finish(
            lease, trials[0].candidate_id, TrialOutcome(TrialState.TIMEOUT, reason="training took 601 s")
        )
        trial = store.trials.get(trials[0].candidate_id)
        assert (trial.state, trial.reason, trial.metrics) == (TrialState.TIMEOUT, "training took 601 s", {})
        assert store.trials.measurements(trial.candidate_id) == []

    def test_a_measurement_that_cannot_be_stored_leaves_the_trial_unfinished(
        self, store: Store, lease: Lease, trials: list[TrialRow]
    ) -> None:
        with pytest.raises(StorageError):
            store.trials.finish(
                lease, trials[0].candidate_id, TrialOutcome(TrialState.DONE, measurement={"samples_ms": [float("nan")]})
            )
        assert store.trials.get(trials[0].candidate_id) == trials[0]

    def test_a_final_measurement_decides(self, store: Store, lease: Lease, trials: list[TrialRow]) -> None:
        candidate_id = trials[0].candidate_id
        store.trials.finish(
            lease,
            candidate_id,
            TrialOutcome(TrialState.DONE, metrics={"speedup": 4.0}, artifact_sha256="a", measurement={"n": 1}),
        )
        for n, phase in ((2, "final"), (3, "contender")):
            store.trials.replace_measurement(
                lease,
                candidate_id,
                state=TrialState.INFEASIBLE,
                metrics={"speedup": 3.0},
                measurement={"n": n},
                phase=phase,
                reason="speedup >= 3.5",
            )
        trial = store.trials.get(candidate_id)
        assert (trial.state, trial.metrics, trial.reason) == (
            TrialState.INFEASIBLE,
            {"speedup": 3.0},
            "speedup >= 3.5",
        )
        assert trial.artifact_sha256 == "a"
        found = [
            (measurement["phase"], measurement["record"]["n"])
            for measurement in store.trials.measurements(candidate_id)
        ]
        assert found == [("search", 1), ("final", 2), ("contender", 3)]

    def test_resuming_starts_the_unfinished_over(self, store: Store, lease: Lease, trials: list[TrialRow]) -> None:
        store.trials.finish(lease, trials[1].candidate_id, TrialOutcome(TrialState.DONE, metrics={"speedup": 2.0}))
        store.trials.set_state(lease, trials[2].candidate_id, TrialState.BUILDING)
        reset = store.trials.reset_open(lease)
        assert [trial.number for trial in reset] == [0, 2, 3]
        assert {trial.state for trial in reset} == {TrialState.PENDING}
        assert store.trials.get(trials[1].candidate_id).state is TrialState.DONE
        assert [trial for trial in store.trials.of_job(lease.job_id) if trial.number != 1] == reset

    def test_resuming_leaves_other_jobs_alone(
        self, store: Store, new_job: NewJob, lease: Lease, trials: list[TrialRow]
    ) -> None:
        store.trials.set_state(lease, trials[0].candidate_id, TrialState.BUILDING)
        other = store.jobs.lease(new_job("other"), this_process())
        assert store.trials.reset_open(other) == []
        assert store.trials.get(trials[0].candidate_id).state is TrialState.BUILDING

    def test_the_strategy_is_kept_by_block(self, store: Store, lease: Lease) -> None:
        state = {"rng": [1, 2**63], "weights": [0.1, -0.0]}
        store.jobs.set_strategy_state(lease, {"rng": []})
        store.jobs.set_strategy_state(lease, state)
        assert store.jobs.get(lease.job_id).strategy_state == state

    def test_prefixes(self, store: Store, trials: list[TrialRow]) -> None:
        wanted = trials[3].candidate_id
        assert store.trials.get(wanted[:9].upper()).candidate_id == wanted
        with pytest.raises(NotFound, match="no candidate 'xyz'"):
            store.trials.get("xyz")
        with pytest.raises(NotFound, match="no candidate ''"):
            store.trials.get("")

    def test_ambiguous_prefixes(self, store: Store, lease: Lease, candidates: list[Candidate]) -> None:
        # Eight ids of sixteen first digits need not clash; twenty do.
        many = [Candidate((("n", str(n)),), "") for n in range(20)]
        ids = sorted(row.candidate_id for row in store.trials.add(lease, 0, "random", True, list(enumerate(many))))
        digit = next(digit for digit in "0123456789abcdef" if sum(name.startswith(digit) for name in ids) > 1)
        matches = [name for name in ids if name.startswith(digit)]
        with pytest.raises(NotFound, match=f"candidate '{digit}' is ambiguous: {', '.join(matches[:5])}"):
            store.trials.get(digit)

    def test_what_is_not_there_is_not_found(
        self, store: Store, new_job: NewJob, lease: Lease, trials: list[TrialRow]
    ) -> None:
        other = store.jobs.lease(new_job("other"), this_process())
        for call in (
            lambda: store.trials.of_job("00000000"),
            lambda: store.trials.measurements("0" * 12),
            lambda: store.trials.set_state(lease, "0" * 12, TrialState.BUILDING),
            lambda: store.trials.set_state(other, trials[0].candidate_id, TrialState.BUILDING),
            lambda: store.trials.finish(
                other, trials[0].candidate_id, TrialOutcome(TrialState.DONE, measurement={"n": 1})
            ),
        ):
            with pytest.raises(NotFound):
                call()
        assert store.trials.of_job(lease.job_id) == trials
        assert store.trials.measurements(trials[0].candidate_id) == []
