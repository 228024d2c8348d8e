"""Exports that workers are asked for: one worker at a time, nothing lost, nothing made twice."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from hwprofiles.errors import InvalidInput, NotFound
from search.states import ExportState
from search.store import ExportLease, StaleLease, Store, TrialRow, this_process
from search.store.export_requests import LOSSES_UNTIL_FAILED

ME = this_process()
DEAD = {**ME, "pid": 2**22 - 1, "start_ticks": 1}


@pytest.fixture
def ask(store: Store, trials: list[TrialRow]) -> Any:
    """Asks for an export of a candidate; returns its id."""
    return lambda number=0, key=None, **options: store.export_requests.add(
        trials[number].candidate_id, options, "ada", key
    )


def take(store: Store, **more: Any) -> ExportLease:
    taken = store.export_requests.take(ME, **more)
    assert taken is not None
    return taken[1]


def test_from_the_queue_to_the_bundle(store: Store, ask: Any, trials: list[TrialRow]) -> None:
    assert not store.export_requests.is_open()
    export_id = ask(device="pi")
    row = store.export_requests.get(export_id)
    assert (row.state, row.candidate_id, row.job_id) == (ExportState.QUEUED, trials[0].candidate_id, trials[0].job_id)
    assert (row.options, row.submitted_by, row.losses) == ({"device": "pi"}, "ada", 0)
    lease = take(store)
    assert store.export_requests.take(ME) is None
    store.export_requests.renew(lease, ME, "building")
    row = store.export_requests.get(export_id)
    assert (row.state, row.doing) == (ExportState.RUNNING, "building")
    store.export_requests.finish(lease, "a" * 64, {"verdict": "confirmed"})
    row = store.export_requests.get(export_id)
    assert (row.state, row.bundle_sha256, row.receipt) == (ExportState.DONE, "a" * 64, {"verdict": "confirmed"})
    assert row.finished_at is not None
    assert not store.export_requests.is_open()
    assert [each.export_id for each in store.export_requests.of_job(trials[0].job_id)] == [export_id]


def test_a_failure_says_why(store: Store, ask: Any) -> None:
    export_id = ask()
    store.export_requests.fail(take(store), "the device is away", "plug it in")
    row = store.export_requests.get(export_id)
    assert (row.state, row.error, row.hint) == (ExportState.FAILED, "the device is away", "plug it in")


def test_a_key_asks_once(store: Store, ask: Any) -> None:
    assert ask(key="k") == ask(key="k") != ask(key="other")
    with pytest.raises(InvalidInput, match="'k' was used for another export"):
        ask(1, key="k")
    with pytest.raises(InvalidInput, match="'k' was used"):
        ask(key="k", device="pi")


def test_the_oldest_that_can_be_made_comes_first(store: Store, ask: Any) -> None:
    ids = [ask(number) for number in range(3)]
    lease = take(store, can_run=lambda row: row.export_id != ids[0])
    assert lease.export_id == ids[1]
    assert [take(store).export_id, take(store).export_id] == [ids[0], ids[2]]


def test_one_is_taken_by_one(store: Store, ask: Any) -> None:
    ids = {ask(number % 4) for number in range(8)}
    taken: list[str] = []

    def work() -> None:
        while (found := store.export_requests.take(ME)) is not None:
            taken.append(found[1].export_id)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(taken) == sorted(ids)


def test_a_lost_worker_s_is_taken_again_and_the_lost_one_writes_nothing(store: Store, ask: Any) -> None:
    export_id = ask()
    lost = take(store, lease_s=0.0)
    lease = take(store)
    assert (lease.export_id, lease.epoch) == (export_id, lost.epoch + 1)
    for write in (
        lambda: store.export_requests.renew(lost, ME, "still here"), lambda: store.export_requests.release(lost),
        lambda: store.export_requests.finish(lost, "a" * 64, {}), lambda: store.export_requests.fail(lost, "x", "y"),
    ):  # fmt: skip
        with pytest.raises(StaleLease):
            write()
    assert store.export_requests.get(export_id).losses == 1
    store.export_requests.finish(lease, "b" * 64, {})


def test_an_expired_lease_that_nobody_took_still_finishes(store: Store, ask: Any) -> None:
    ask()
    store.export_requests.finish(take(store, lease_s=0.0), "a" * 64, {})


def test_a_dead_process_is_not_waited_for(store: Store, ask: Any) -> None:
    ask()
    lease = take(store)
    store.export_requests.renew(lease, DEAD, "building", lease_s=600.0)
    assert take(store).epoch == lease.epoch + 1


def test_what_loses_every_worker_fails(store: Store, ask: Any) -> None:
    export_id = ask()
    for _ in range(LOSSES_UNTIL_FAILED):
        take(store, lease_s=0.0)
    assert store.export_requests.take(ME) is None
    row = store.export_requests.get(export_id)
    assert (row.state, row.losses) == (ExportState.FAILED, LOSSES_UNTIL_FAILED)
    assert "workers were lost" in (row.error or "")


def test_what_is_handed_back_is_no_loss(store: Store, ask: Any) -> None:
    export_id = ask()
    store.export_requests.release(take(store))
    row = store.export_requests.get(export_id)
    assert (row.state, row.losses, row.doing) == (ExportState.QUEUED, 0, None)


def test_a_cancelled_export_is_nobody_s(store: Store, ask: Any) -> None:
    waiting, running, done = ask(0), ask(1), ask(2)
    store.export_requests.cancel(waiting)
    lease = take(store)
    store.export_requests.finish(take(store), "a" * 64, {})
    for export_id in (running, running, waiting):
        store.export_requests.cancel(export_id)
        row = store.export_requests.get(export_id)
        assert (row.state, row.doing, row.finished_at is None) == (ExportState.CANCELLED, None, False)
    assert lease.export_id == running
    for write in (
        lambda: store.export_requests.renew(lease, ME, "still here"), lambda: store.export_requests.release(lease),
        lambda: store.export_requests.finish(lease, "a" * 64, {}), lambda: store.export_requests.fail(lease, "x", "y"),
    ):  # fmt: skip
        with pytest.raises(StaleLease):
            write()
    assert not store.export_requests.is_open()
    assert store.export_requests.take(ME) is None
    with pytest.raises(InvalidInput, match=f"export {done} is done already"):
        store.export_requests.cancel(done)
    with pytest.raises(NotFound, match="there is no export 'ffff'"):
        store.export_requests.cancel("ffff")


def test_what_does_not_exist(store: Store) -> None:
    with pytest.raises(NotFound, match="there is no export 'ffff'"):
        store.export_requests.get("ffff")
    with pytest.raises(NotFound, match="there is no candidate 'ffff'"):
        store.export_requests.add("ffff", {}, "ada")
