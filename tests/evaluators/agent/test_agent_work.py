"""An agent at work, with a server that is played by the test: what it answers, whatever comes."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evaluators.agent import agent as module
from evaluators.agent import executor
from evaluators.agent.agent import Agent, AgentSettings
from evaluators.agent.client import Dismissed, LeasedRequest, ServerGone, Terms
from evaluators.agent.executor import Executor
from evaluators.devices.request import FileRef

DONE = {"peak_memory_bytes": 4096}


class Server:
    """Gives two errands, takes their answers, and dismisses the agent."""

    local, encrypted = True, False

    def __init__(self) -> None:
        self.errands = [LeasedRequest(letter * 32, 1, {}) for letter in "12"]
        self.answers: list[dict[str, Any]] = []
        self.lost_answers = 0

    def register(self, *_: Any) -> Terms:
        return Terms(10.0)

    def lease(self) -> LeasedRequest:
        if not self.errands:
            raise Dismissed("that is all")
        return self.errands.pop(0)

    def finish(self, leased: LeasedRequest, answer: dict[str, Any]) -> None:
        if self.lost_answers:
            self.lost_answers -= 1
            raise ServerGone("not now")
        json.dumps(answer, allow_nan=False)
        self.answers.append(answer)

    def release(self, leased: LeasedRequest) -> None:
        raise AssertionError("nothing is to be given back")

    def fetch(self, leased: LeasedRequest, file: FileRef, start: int = 0) -> Iterator[bytes]:
        raise AssertionError("nothing is to be fetched")

    def close(self) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(module, "AgentClient", lambda *_: server)
    return server


@pytest.fixture
def agent(server: Server, tmp_path: Path) -> Agent:
    return Agent(AgentSettings(server="http://127.0.0.1:1", token="t", device="pi", cache=tmp_path / "cache"))


def answers(monkeypatch: pytest.MonkeyPatch, first: Callable[[], Any]) -> None:
    """The first errand comes to what ``first`` gives or raises, every other is done."""
    given = iter([first])
    monkeypatch.setattr(Executor, "_measure", lambda *_: next(given, lambda: DONE)())
    monkeypatch.setattr(
        executor.MeasurementRequest, "from_dict", lambda _: type("E", (), {"kind": "", "candidate": FileRef("", 1)})
    )


def raising(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (MemoryError(), "build_failed"),
        (RecursionError("too deep"), "build_failed"),
        (ZeroDivisionError("by nothing"), "build_failed"),
        (OSError(5, "Input/output error"), "unavailable"),
    ],
    ids=repr,
)
def test_whatever_is_wrong_with_an_errand_costs_that_errand_alone(
    server: Server, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    error: Exception, state: str,
) -> None:  # fmt: skip
    answers(monkeypatch, raising(error))
    with pytest.raises(Dismissed):
        agent.run()
    assert server.answers[0]["error"]["state"] == state
    assert "the agent failed" in server.answers[0]["error"]["message"]
    assert server.answers[1:] == [DONE]
    assert "Traceback" in caplog.text


def test_figures_that_json_does_not_have(server: Server, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, lambda: {"measurement": {"ratio": math.nan}})
    with pytest.raises(Dismissed):
        agent.run()
    assert server.answers[0]["error"]["state"] == "build_failed"
    assert server.answers[1:] == [DONE]


@pytest.mark.parametrize("lost", [1, 2])
def test_what_is_held_is_handed_in_before_the_end(
    server: Server, agent: Agent, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    """Once: whoever ends the agent does not wait for the server's return."""
    server.lost_answers = lost
    answers(monkeypatch, lambda: DONE)
    monkeypatch.setattr(module.time, "sleep", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        agent.run()
    assert server.answers == [DONE] * (2 - lost)
