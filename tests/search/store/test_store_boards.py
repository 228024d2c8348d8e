"""Several boards under one device's name: each has an agent of its own, or is a node of a cluster; all are alike."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hwprofiles import Profile, find_device
from hwprofiles.errors import NotFound
from search.states import RequestState
from search.store import Store, agents
from search.store.agents import AgentReplaced, BoardDiffers
from search.store.columns import utc_now
from search.store.requests import RequestRow

DONE = {"measurement": {"ratio": 2.0}}
BUSY = {"error": {"state": "machine_busy", "message": "others keep it busy", "hint": ""}}
OFFER = {"runtimes": ["onnxruntime"], "cores": [[1], [0, 1]]}
RESOURCE = "paretune:pi:local-cpu:0123456789abcdef"


def profile(**fields: Any) -> Profile:
    return replace(find_device("dry-run"), device="pi", simulated=False, agent=True, **fields)


@pytest.fixture
def tokens(store: Store) -> dict[str, str]:
    """Two boards; the agent of each is named like the board."""
    tokens = {board: store.agents.new_token("pi", board) for board in ("left", "right")}
    for board, token in tokens.items():
        store.agents.register("pi", token, board, profile(), OFFER)
    return tokens


def ask(store: Store, name: str = "a") -> str:
    errand_id = name * 32
    file = {"sha256": name * 64, "size_bytes": 1}
    store.requests.enqueue(errand_id, profile(), {"baseline": file, "candidate": file, "sample": file})
    return errand_id


def lease(store: Store, board: str) -> RequestRow:
    row = store.requests.lease("pi", board)
    assert row is not None
    return row


def fail(store: Store, board: str, row: RequestRow) -> None:
    state = RequestState.FAILED
    store.requests.finish("pi", board, row.errand_id, row.epoch, state, BUSY, elsewhere=True)


def state_of(store: Store, errand_id: str) -> RequestState:
    return store.requests.get(errand_id).state


@pytest.mark.usefixtures("tokens")
class TestLeases:
    def test_each_board_holds_one(self, store: Store) -> None:
        first, second = ask(store, "a"), ask(store, "b")
        assert [lease(store, "left").errand_id, lease(store, "right").errand_id] == [first, second]
        assert store.requests.lease("pi", "left") is not None, "what it holds already, since the answer may be lost"

    def test_an_agent_that_registers_again_ends_only_the_lease_of_its_board(
        self, store: Store, tokens: dict[str, str]
    ) -> None:
        first, second = ask(store, "a"), ask(store, "b")
        left, right = lease(store, "left"), lease(store, "right")
        store.agents.register("pi", tokens["left"], "newer", profile(), OFFER)
        assert store.requests.renew("pi", "right", second, right.epoch)
        assert lease(store, "newer").errand_id == first
        with pytest.raises(AgentReplaced):
            store.requests.renew("pi", "left", first, left.epoch)

    def test_a_lost_board_s_request_goes_to_the_other(self, store: Store) -> None:
        errand_id = ask(store)
        store.requests.lease("pi", "left", lease_s=0.0)
        row = lease(store, "right")
        assert (row.errand_id, row.deaths) == (errand_id, 1)


@pytest.mark.usefixtures("tokens")
class TestDisturbances:
    def test_what_one_board_could_not_answer_goes_to_the_other(self, store: Store) -> None:
        errand_id = ask(store)
        fail(store, "left", lease(store, "left"))
        assert state_of(store, errand_id) is RequestState.QUEUED
        assert store.requests.lease("pi", "left") is None
        row = lease(store, "right")
        store.requests.finish("pi", "right", errand_id, row.epoch, RequestState.DONE, DONE)
        assert store.requests.get(errand_id).result == DONE

    def test_each_board_tries_once(self, store: Store) -> None:
        errand_id = ask(store)
        for board in ("left", "right"):
            fail(store, board, lease(store, board))
        assert (state_of(store, errand_id), store.requests.get(errand_id).result) == (RequestState.FAILED, BUSY)

    def test_the_others_of_the_queue_are_not_kept_waiting(self, store: Store) -> None:
        ask(store, "a")
        second = ask(store, "b")
        fail(store, "left", lease(store, "left"))
        assert lease(store, "left").errand_id == second

    def test_when_no_other_board_is_online_it_is_final(self, store: Store) -> None:
        errand_id = ask(store)
        store.agents.revoke("pi", "right")
        fail(store, "left", lease(store, "left"))
        assert state_of(store, errand_id) is RequestState.FAILED

    def test_when_the_other_board_goes_away_it_tries_again(self, store: Store) -> None:
        errand_id = ask(store)
        fail(store, "left", lease(store, "left"))
        store.agents.revoke("pi", "right")
        assert lease(store, "left").errand_id == errand_id

    def test_a_fault_of_the_candidate_is_final(self, store: Store) -> None:
        errand_id = ask(store)
        row = lease(store, "left")
        crashed = {"error": {"state": "crashed", "message": "died 3 times", "hint": ""}}
        store.requests.finish("pi", "left", errand_id, row.epoch, RequestState.FAILED, crashed)
        assert state_of(store, errand_id) is RequestState.FAILED


class TestProfiles:
    def test_another_device_is_refused_and_the_difference_is_named(self, store: Store, tokens: dict[str, str]) -> None:
        unlike = profile(runtime_version="9", processor="another")
        with pytest.raises(BoardDiffers) as caught:
            store.agents.register("pi", tokens["left"], "newer", unlike, OFFER)
        assert "not the same device as board 'right' of 'pi'" in caught.value.message
        assert "runtime_version is '9' instead of '1'; processor is 'another' instead of" in caught.value.message
        row = store.agents.row("pi")
        assert row is not None
        assert row.profile == profile()

    def test_the_only_one_that_is_online_may_change(
        self, store: Store, tokens: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As when all boards are upgraded one after another."""
        monkeypatch.setattr(agents, "utc_now", lambda: utc_now() + timedelta(seconds=2 * agents.ONLINE_S))
        store.agents.register("pi", tokens["left"], "newer", profile(runtime_version="9"), OFFER)
        with pytest.raises(BoardDiffers):
            store.agents.register("pi", tokens["right"], "late", profile(), OFFER)


class TestTokens:
    def test_each_board_has_its_own(self, store: Store, tokens: dict[str, str]) -> None:
        assert {store.agents.device_of(token) for token in tokens.values()} == {"pi"}
        store.agents.revoke("pi", "left")
        assert [store.agents.device_of(tokens[board]) for board in ("left", "right")] == [None, "pi"]
        row = store.agents.row("pi")
        assert row is not None
        assert row.board == "right"
        store.agents.revoke("pi")
        assert not store.agents.has_tokens()
        with pytest.raises(NotFound, match="no board 'middle' of a remote device 'pi'"):
            store.agents.revoke("pi", "middle")

    def test_removing_the_device_removes_all(self, store: Store, tokens: dict[str, str]) -> None:
        store.agents.remove("pi")
        assert store.agents.all() == []


class TestNodes:
    def test_a_node_is_a_board_without_token(self, store: Store) -> None:
        store.agents.register_node("node-1", profile(), OFFER, RESOURCE)
        store.agents.register_node("node-2", profile(), OFFER, RESOURCE)
        store.agents.register_node("node-2", profile(), OFFER, RESOURCE)
        assert [(row.board, row.online, row.resource) for row in store.agents.all()] == [
            ("node-1", True, RESOURCE),
            ("node-2", True, RESOURCE),
        ]
        assert not store.agents.has_tokens()
        assert [name for name, _ in store.devices.all()] == ["pi"]

    def test_what_is_not_heard_from_is_offline_and_later_forgotten(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for node in ("node-1", "node-2"):
            store.agents.register_node(node, profile(), OFFER, RESOURCE)
        monkeypatch.setattr(agents, "utc_now", lambda: utc_now() + timedelta(seconds=2 * agents.ONLINE_S))
        store.agents.note_nodes(["node-2"])
        assert [row.online for row in store.agents.all()] == [False, True]
        monkeypatch.setattr(agents, "utc_now", lambda: utc_now() + timedelta(seconds=2 * agents.NODE_KEPT_S))
        store.agents.register_node("node-3", profile(), OFFER, RESOURCE)
        assert [row.board for row in store.agents.all()] == ["node-3"]

    def test_an_unlike_one_is_refused(self, store: Store) -> None:
        store.agents.register_node("node-1", profile(), OFFER, RESOURCE)
        with pytest.raises(BoardDiffers, match="memory_bytes is 9 instead of 0"):
            store.agents.register_node("node-2", profile(memory_bytes=9), OFFER, RESOURCE)

    def test_the_name_of_a_device_with_an_agent_is_taken(self, store: Store, tokens: dict[str, str]) -> None:
        with pytest.raises(BoardDiffers, match="device 'pi' has an agent"):
            store.agents.register_node("node-1", profile(), OFFER, RESOURCE)
