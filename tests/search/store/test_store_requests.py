"""Errands and agents in the store: one agent a device, one errand at a time, nothing lost and nothing done twice."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hwprofiles import Profile, find_device
from hwprofiles.errors import NotFound, ParetuneError
from search.states import RequestState
from search.store import Store
from search.store.agents import AgentReplaced
from search.store.requests import DEATHS_UNTIL_CRASHED, RequestRow, StaleRequest

Contents = Callable[[], dict[str, list[tuple[object, ...]]]]

DONE = {"measurement": {"ratio": 2.0}}
OFFER = {"runtimes": ["onnxruntime"], "cores": [[1], [0, 1]]}


def profile(device: str = "pi", **fields: Any) -> Profile:
    return replace(find_device("dry-run"), device=device, simulated=False, agent=True, **fields)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def request(name: str = "candidate", baseline: str | None = "baseline") -> dict[str, Any]:
    files = {"baseline": baseline, "candidate": name, "sample": "sample"}
    return {key: text and {"sha256": digest(text), "size_bytes": 1} for key, text in files.items()}


@pytest.fixture
def token(store: Store) -> str:
    return store.agents.new_token("pi")


@pytest.fixture
def agent(store: Store, token: str) -> str:
    """The instance of a registered agent."""
    store.agents.register("pi", token, "first", profile(), OFFER)
    return "first"


@pytest.fixture
def ask(store: Store) -> Callable[..., str]:
    """Enqueues an errand and returns its id."""

    def ask(name: str = "candidate", device: str = "pi") -> str:
        errand_id = digest(device + name)[:32]
        store.requests.enqueue(errand_id, profile(device), request(name))
        return errand_id

    return ask


def leased(store: Store, instance: str = "first", **options: Any) -> RequestRow:
    row = store.requests.lease("pi", instance, **options)
    assert row is not None
    return row


def held(row: RequestRow, instance: str = "first") -> tuple[str, str, str, int]:
    return row.device, instance, row.errand_id, row.epoch


class TestTokens:
    def test_a_token_speaks_for_its_device_only(self, store: Store, token: str) -> None:
        other = store.agents.new_token("phone")
        assert (store.agents.device_of(token), store.agents.device_of(other)) == ("pi", "phone")
        for wrong in ("", token[:-1], token + "x", token.swapcase(), "\ud800", digest(token)):
            assert store.agents.device_of(wrong) is None

    def test_it_is_kept_as_its_hash_alone(self, store: Store, token: str, contents: Contents) -> None:
        (row,) = contents()["agents"]
        assert digest(token) in row
        assert token not in str(contents())

    def test_a_revoked_one_is_refused_until_a_new_one_is_made(self, store: Store, token: str) -> None:
        store.agents.revoke("pi")
        assert store.agents.device_of(token) is None
        (agent,) = store.agents.all()
        assert agent.revoked_at is not None
        new = store.agents.new_token("pi")
        assert (store.agents.device_of(new), store.agents.device_of(token)) == ("pi", None)
        assert [row.revoked_at for row in store.agents.all()] == [None]

    def test_devices_that_never_had_one(self, store: Store) -> None:
        with pytest.raises(NotFound, match="no remote device 'toaster'"):
            store.agents.revoke("toaster")
        assert store.agents.row("toaster") is None


class TestRegistering:
    def test_what_the_device_is(self, store: Store, token: str, agent: str) -> None:
        row = store.agents.row("pi")
        assert row is not None
        assert (row.profile, row.offer) == (profile(), OFFER)
        assert row.seen_at is not None
        assert [name for name, _ in store.devices.all()] == ["pi"]

    def test_before_that_nothing_is_known(self, store: Store, token: str) -> None:
        row = store.agents.row("pi")
        assert row is not None
        assert (row.profile, row.seen_at) == (None, None)

    def test_the_newest_agent_is_the_only_one(
        self, store: Store, token: str, agent: str, ask: Callable[..., str]
    ) -> None:
        ask()
        row = leased(store)
        store.agents.register("pi", token, "second", profile(), OFFER)
        writers: list[Callable[[], object]] = [
            lambda: store.requests.lease("pi", "first"),
            lambda: store.requests.renew(*held(row)),
            lambda: store.requests.finish(*held(row), RequestState.DONE, DONE),
            lambda: store.requests.release(*held(row)),
        ]
        for write in writers:
            with pytest.raises(AgentReplaced, match="another agent has registered"):
                write()
        assert leased(store, "second").errand_id == row.errand_id

    def test_another_token_than_the_device_s_registers_nobody(self, store: Store, token: str, agent: str) -> None:
        """A token that was good when the request came may not be any more when it is acted on."""
        newer = store.agents.new_token("pi")
        for wrong in (token, store.agents.new_token("phone")):
            with pytest.raises(AgentReplaced):
                store.agents.register("pi", wrong, "second", profile(), OFFER)
        store.agents.revoke("pi")
        with pytest.raises(AgentReplaced, match="revoked"):
            store.agents.register("pi", newer, "second", profile(), OFFER)
        with pytest.raises(AgentReplaced):
            store.agents.register("toaster", newer, "second", profile("toaster"), OFFER)
        assert store.agents.row("toaster") is None

    @pytest.mark.parametrize("revoked", [False, True])
    def test_an_agent_ends_with_its_token(
        self, store: Store, agent: str, ask: Callable[..., str], revoked: bool
    ) -> None:
        ask()
        row = leased(store)
        if revoked:
            store.agents.revoke("pi")
        store.agents.new_token("pi")
        with pytest.raises(AgentReplaced):
            store.requests.finish(*held(row), RequestState.DONE, DONE)

    def test_a_revoked_agent_leases_nothing(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        ask()
        store.agents.revoke("pi")
        with pytest.raises(AgentReplaced, match="revoked"):
            store.requests.lease("pi", agent)


class TestAsking:
    def test_what_is_asked_is_done_once(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        errand_id = ask()
        row = leased(store)
        assert (row.errand_id, row.request, row.state, row.epoch) == (errand_id, request(), RequestState.LEASED, 1)
        store.requests.finish(*held(row), RequestState.DONE, DONE)
        ask()
        assert store.requests.lease("pi", agent) is None
        assert (store.requests.get(errand_id).state, store.requests.get(errand_id).result) == (RequestState.DONE, DONE)

    @pytest.mark.parametrize("state", [RequestState.DONE, RequestState.FAILED])
    def test_a_failure_of_the_candidate_is_not_tried_again(
        self, store: Store, agent: str, ask: Callable[..., str], state: RequestState
    ) -> None:
        errand_id = ask()
        store.requests.finish(*held(leased(store)), state, DONE)
        ask()
        assert store.requests.get(errand_id).state is state

    def test_what_the_device_could_not_do_is_asked_again(
        self, store: Store, agent: str, ask: Callable[..., str]
    ) -> None:
        errand_id = ask()
        store.requests.finish(*held(leased(store)), RequestState.REFUSED, {"error": {}})
        assert store.requests.lease("pi", agent) is None
        ask()
        row = store.requests.get(errand_id)
        assert (row.state, row.result) == (RequestState.QUEUED, None)

    def test_a_cancelled_one_is_given_to_nobody_until_it_is_asked_again(
        self, store: Store, agent: str, ask: Callable[..., str]
    ) -> None:
        errand_id = ask()
        store.requests.cancel(errand_id)
        assert store.requests.lease("pi", agent) is None
        ask()
        assert leased(store).errand_id == errand_id

    def test_cancelling_what_is_done_changes_nothing(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        errand_id = ask()
        store.requests.finish(*held(leased(store)), RequestState.DONE, DONE)
        store.requests.cancel(errand_id)
        assert store.requests.get(errand_id).state is RequestState.DONE

    def test_the_oldest_comes_first(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        asked = [ask(name) for name in ("zebra", "ape", "mole")]
        given = []
        for _ in asked:
            row = leased(store)
            given.append(row.errand_id)
            store.requests.finish(*held(row), RequestState.DONE, DONE)
        assert given == asked

    def test_devices_do_not_share_errands(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        store.agents.register("phone", store.agents.new_token("phone"), "other", profile("phone"), OFFER)
        ask(device="phone")
        assert store.requests.lease("pi", agent) is None
        assert store.requests.lease("phone", "other") is not None

    def test_one_that_is_not_there(self, store: Store) -> None:
        with pytest.raises(NotFound):
            store.requests.get("0" * 32)


class TestLeases:
    def test_a_lost_answer_is_given_again_and_counts_as_no_death(
        self, store: Store, agent: str, ask: Callable[..., str]
    ) -> None:
        ask("one")
        ask("two")
        first, again = leased(store), leased(store)
        assert (again.errand_id, again.epoch, again.deaths) == (first.errand_id, first.epoch + 1, 0)

    def test_a_device_holds_one_at_a_time(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        ask("one")
        ask("two")
        assert leased(store).errand_id == leased(store).errand_id

    def test_a_stale_epoch_writes_nothing(
        self, store: Store, agent: str, ask: Callable[..., str], contents: Contents
    ) -> None:
        ask()
        stale = leased(store)
        leased(store)
        before = contents()["errands"]
        for write in (
            lambda: store.requests.renew(*held(stale)),
            lambda: store.requests.release(*held(stale)),
            lambda: store.requests.finish(*held(stale), RequestState.DONE, DONE),
        ):
            with pytest.raises(StaleRequest, match="is not valid any more"):
                write()
        assert contents()["errands"] == before

    def test_another_device_s_errand_cannot_be_written(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        store.agents.register("phone", store.agents.new_token("phone"), "other", profile("phone"), OFFER)
        ask()
        row = leased(store)
        with pytest.raises(StaleRequest):
            store.requests.finish("phone", "other", row.errand_id, row.epoch, RequestState.DONE, DONE)
        assert store.requests.files_of_lease("phone", row.errand_id) == frozenset()

    def test_an_expired_lease_that_nobody_took_may_still_be_finished(
        self, store: Store, agent: str, ask: Callable[..., str]
    ) -> None:
        errand_id = ask()
        row = leased(store, lease_s=0)
        assert store.requests.renew(*held(row), lease_s=0)
        store.requests.finish(*held(row), RequestState.DONE, DONE)
        assert store.requests.get(errand_id).result == DONE

    def test_finishing_twice_is_harmless(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        errand_id = ask()
        row = leased(store)
        store.requests.finish(*held(row), RequestState.DONE, DONE)
        store.requests.finish(*held(row), RequestState.DONE, {"measurement": "another"})
        assert store.requests.get(errand_id).result == DONE

    def test_nobody_waits_for_a_cancelled_one(self, store: Store, agent: str, ask: Callable[..., str]) -> None:
        errand_id = ask()
        row = leased(store)
        assert store.requests.renew(*held(row))
        store.requests.cancel(errand_id)
        assert not store.requests.renew(*held(row))
        with pytest.raises(StaleRequest):
            store.requests.finish(*held(row), RequestState.DONE, DONE)
        assert store.requests.get(errand_id).result is None

    def test_a_killed_agent_s_errand_is_leased_again_at_once(
        self, store: Store, token: str, agent: str, ask: Callable[..., str]
    ) -> None:
        errand_id = ask()
        leased(store, lease_s=600)
        store.agents.register("pi", token, "second", profile(), OFFER)
        row = leased(store, "second")
        assert (row.errand_id, row.deaths) == (errand_id, 1)

    def test_a_returning_agent_keeps_what_it_holds(
        self, store: Store, token: str, agent: str, ask: Callable[..., str]
    ) -> None:
        ask()
        row = leased(store)
        store.agents.register("pi", token, agent, profile(), OFFER)
        store.requests.finish(*held(row), RequestState.DONE, DONE)

    def test_after_three_deaths_it_has_crashed(
        self, store: Store, token: str, agent: str, ask: Callable[..., str]
    ) -> None:
        guilty, innocent = ask("guilty"), ask("innocent")
        for death in range(DEATHS_UNTIL_CRASHED):
            instance = f"agent{death}"
            store.agents.register("pi", token, instance, profile(), OFFER)
            row = leased(store, instance)
            assert (row.errand_id, row.deaths) == (guilty, death)
        store.agents.register("pi", token, "last", profile(), OFFER)
        assert leased(store, "last").errand_id == innocent
        crashed = store.requests.get(guilty)
        assert crashed.state is RequestState.FAILED
        assert crashed.result is not None
        assert crashed.result["error"]["state"] == "crashed"
        assert "3 times" in crashed.result["error"]["message"]

    def test_giving_back_counts_as_no_death(
        self, store: Store, token: str, agent: str, ask: Callable[..., str]
    ) -> None:
        errand_id = ask()
        for number in range(DEATHS_UNTIL_CRASHED + 1):
            instance = f"agent{number}"
            store.agents.register("pi", token, instance, profile(), OFFER)
            row = leased(store, instance)
            assert (row.errand_id, row.deaths) == (errand_id, 0)
            store.requests.release(*held(row, instance))
        assert store.requests.get(errand_id).state is RequestState.QUEUED

    def test_of_two_requests_at_once_each_errand_has_one_epoch(
        self, store: Store, agent: str, ask: Callable[..., str]
    ) -> None:
        ask()
        epochs: list[int] = []
        failures: list[ParetuneError] = []

        def take() -> None:
            try:
                row = store.requests.lease("pi", agent)
                epochs.extend([] if row is None else [row.epoch])
            except ParetuneError as error:
                failures.append(error)

        threads = [threading.Thread(target=take) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(set(epochs)) == len(epochs) > 0


class TestFiles:
    def test_only_what_a_held_errand_needs_may_be_fetched(
        self, store: Store, agent: str, ask: Callable[..., str]
    ) -> None:
        errand_id = ask()
        needed = {digest(name) for name in ("baseline", "candidate", "sample")}
        assert store.requests.files_of_lease("pi", errand_id) == frozenset()
        assert store.requests.files() == needed
        row = leased(store)
        assert set(store.requests.files_of_lease("pi", errand_id)) == needed
        store.requests.finish(*held(row), RequestState.DONE, DONE)
        assert store.requests.files_of_lease("pi", errand_id) == frozenset()
        assert store.requests.files() == set()

    def test_an_errand_without_a_baseline(self, store: Store, agent: str) -> None:
        store.requests.enqueue("1" * 32, profile(), request(baseline=None))
        assert store.requests.files() == {digest("candidate"), digest("sample")}


def test_what_is_old_is_forgotten(store: Store, agent: str, ask: Callable[..., str]) -> None:
    old = ask("old")
    store.requests.finish(*held(leased(store)), RequestState.DONE, DONE)
    measured = ask("measured")
    leased(store)
    waiting = ask("waiting")
    store.requests.forget(3600)
    assert [store.requests.get(one).state for one in (old, waiting)] == [RequestState.DONE, RequestState.QUEUED]
    store.requests.forget(0)
    assert store.requests.get(measured).state is RequestState.LEASED
    for gone in (old, waiting):
        with pytest.raises(NotFound):
            store.requests.get(gone)


def test_what_is_asked_again_is_as_young_as_the_question(store: Store, agent: str, ask: Callable[..., str]) -> None:
    refused = ask("refused")
    store.requests.finish(*held(leased(store)), RequestState.REFUSED, {"error": {}})
    ask("other")
    ask("refused")
    assert leased(store).errand_id != refused
