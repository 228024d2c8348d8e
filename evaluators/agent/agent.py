"""The agent: leases measurement requests one by one, measures on this machine, and sends back the raw samples."""

from __future__ import annotations

import logging
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from evaluators.agent.blobs import BlobCache
from evaluators.agent.client import AgentClient, Dismissed, LeasedRequest, LeaseLost, ServerGone
from evaluators.agent.executor import Executor
from evaluators.agent.limits import DEFAULT_CACHE_BYTES, DEFAULT_MAX_MODEL_BYTES
from evaluators.devices.request import answer_of
from hwprofiles.errors import BuildFailed, InvalidInput

log = logging.getLogger("paretune.agent")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


@dataclass(frozen=True)
class AgentSettings:
    """Settings of an agent."""

    server: str
    """The server's URL."""
    token: str
    device: str
    """The server's name for this device."""
    cache: Path
    """Folder for models and samples."""
    local: str = "local-cpu"
    """The device of this machine that measures."""
    runtimes: tuple[str, ...] = ()
    """The runtimes that may execute models; empty for all that measure."""
    cache_bytes: int = DEFAULT_CACHE_BYTES
    max_model_bytes: int = DEFAULT_MAX_MODEL_BYTES
    """Larger models and samples are refused."""


class Agent:
    """Serves one device until it is interrupted or dismissed.

    Runs in the process's main thread, which SIGUSR1 wakes when a request is cancelled. Keeps a result until the server
    has it, so that a lost connection costs time but no measurement. When interrupted, it tries once more to deliver the
    result that it keeps.
    """

    def __init__(self, settings: AgentSettings) -> None:
        self._settings = settings
        self._executor = Executor(
            settings.device, settings.local, settings.runtimes, BlobCache(settings.cache, settings.cache_bytes),
            settings.max_model_bytes,
        )  # fmt: skip
        self._client = AgentClient(settings.server, settings.token, secrets.token_hex(16))
        if not self._client.local and not self._client.encrypted:
            log.warning("the connection to the server is not encrypted: others may read the token and all models")
        self._held: tuple[LeasedRequest, dict[str, Any]] | None = None

    def run(self) -> NoReturn:
        """Serves until interrupted. Raises :class:`Dismissed` when the server refuses this agent."""
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    terms = self._client.register(self._executor.profile, self._executor.offer)
                    log.info("registered as %s at %s", self._settings.device, self._settings.server)
                    while True:
                        self._hand_in()
                        pause_s = _FIRST_PAUSE_S
                        leased = self._client.lease()
                        if leased is not None:
                            self._work_on(leased, terms.heartbeat_s)
                except ServerGone as gone:
                    # A random pause: not all agents of a server at once.
                    wait_s = pause_s * random.uniform(0.5, 1.0)
                    log.warning("%s; trying again in %.1f s", gone.message, wait_s)
                    time.sleep(wait_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        except KeyboardInterrupt:
            with suppress(ServerGone, Dismissed):
                self._hand_in()
            raise
        finally:
            self._executor.close()
            self._client.close()

    def _hand_in(self) -> None:
        """Delivers the kept result, if any; drops one that the server does not want any more."""
        while self._held is not None:
            leased, answer = self._held
            self._held = None if self._try_hand_in(leased, answer) else (leased, _undeliverable_answer())

    def _try_hand_in(self, leased: LeasedRequest, answer: dict[str, Any]) -> bool:
        """Delivers an answer; False if the server rejects its content, so that another must be sent."""
        try:
            self._client.finish(leased, answer)
        except LeaseLost as lost:
            log.warning("request %s: the result is not wanted any more: %s", leased.request_id, lost.message)
        except (InvalidInput, ValueError) as refused:  # JSON has no NaN
            log.error("request %s: the result cannot be delivered: %s", leased.request_id, refused)
            return "error" in answer
        return True

    def _work_on(self, leased: LeasedRequest, heartbeat_s: float) -> None:
        try:
            with _keep_alive(self._client, leased, heartbeat_s):
                fetch = partial(self._client.fetch, leased)
                answer = self._executor.answer(leased.payload, leased.request_id, fetch)
        except (_Unwanted, LeaseLost):
            log.warning("request %s: not wanted any more, ended", leased.request_id)
            return
        except KeyboardInterrupt:
            with suppress(ServerGone, Dismissed, LeaseLost, InvalidInput):
                self._client.release(leased)
            raise
        self._held = leased, answer


def _undeliverable_answer() -> dict[str, Any]:
    return answer_of(BuildFailed("the agent's result could not be delivered", "see the log on the device"))


class _Unwanted(BaseException):
    """Ends a measurement from another thread; no subclass of Exception, so that no handler catches it."""


@contextmanager
def _keep_alive(client: AgentClient, leased: LeasedRequest, heartbeat_s: float) -> Iterator[None]:
    """Renews the lease in another thread during the ``with`` block.

    Raises :class:`_Unwanted` in the main thread as soon as the server says that nobody waits for the request any more.
    """
    over = threading.Event()
    waiting = threading.Event()

    def wake(_number: int, _frame: FrameType | None) -> None:
        if waiting.is_set():
            waiting.clear()
            raise _Unwanted

    def beat() -> None:
        while not over.wait(heartbeat_s):
            if not _renew_lease(client, leased):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
                return

    earlier: Callable[..., Any] | int | None = signal.signal(signal.SIGUSR1, wake)
    beating = threading.Thread(target=beat, name="heartbeat", daemon=True)
    try:
        waiting.set()
        beating.start()
        yield
    finally:
        waiting.clear()
        over.set()
        beating.join()
        signal.signal(signal.SIGUSR1, earlier)


def _renew_lease(client: AgentClient, leased: LeasedRequest) -> bool:
    try:
        return client.heartbeat(leased)
    except (LeaseLost, Dismissed):
        return False
    except (ServerGone, InvalidInput) as error:
        # Measuring goes on: the result is kept until the server is back.
        log.warning("request %s: no heartbeat: %s", leased.request_id, error.message)
        return True
