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
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from evaluators.agent.blobs import BlobCache
from evaluators.agent.client import AgentClient, Dismissed, LeasedRequest, LeaseLost, ServerGone
from evaluators.agent.limits import DEFAULT_CACHE_BYTES, DEFAULT_MAX_MODEL_BYTES
from evaluators.array_archive import unpack_arrays
from evaluators.devices.device import LocalDevice
from evaluators.devices.request import MeasurementRequest, answer_of
from evaluators.graphs.wire import check_model_file
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.outputs import outputs_answer
from evaluators.runtimes import RUNTIMES, runtime_of
from hwprofiles import Profile, find_device
from hwprofiles.errors import BuildFailed, DeviceUnavailable, InvalidInput, ParetuneError, UnsupportedOp
from hwprofiles.probe import usable_cores

log = logging.getLogger("paretune.agent")

MAX_THREADS = 64

_SEE_LOG = "see the agent's log on the device"
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
        self._runtimes = _select_runtimes(settings.runtimes)
        self._profile = self._profile_of(1, 1)
        most = min(len(usable_cores()), MAX_THREADS)
        self._cores = [self._profile_of(threads, 1).cores for threads in range(1, most + 1)]
        self._cache = BlobCache(settings.cache, settings.cache_bytes)
        self._client = AgentClient(settings.server, settings.token, secrets.token_hex(16))
        if not self._client.local and not self._client.encrypted:
            log.warning("the connection to the server is not encrypted: others may read the token and all models")
        self._held: tuple[LeasedRequest, dict[str, Any]] | None = None
        self._device: LocalDevice | None = None

    def run(self) -> NoReturn:
        """Serves until interrupted. Raises :class:`Dismissed` when the server refuses this agent."""
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                try:
                    terms = self._client.register(self._profile, self._runtimes, self._cores)
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
            if self._device is not None:
                self._device.close()
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
                answer = self._answer(leased)
        except (_Unwanted, LeaseLost):
            log.warning("request %s: not wanted any more, ended", leased.request_id)
            return
        except KeyboardInterrupt:
            with suppress(ServerGone, Dismissed, LeaseLost, InvalidInput):
                self._client.release(leased)
            raise
        self._held = leased, answer

    def _answer(self, leased: LeasedRequest) -> dict[str, Any]:
        """Measures a request; returns the answer or the error. A failure affects this request alone."""
        try:
            request = MeasurementRequest.from_dict(leased.payload)
            log.info("request %s: %s of %s", leased.request_id, request.kind, request.candidate.sha256[:12])
            answer = self._measure(request, leased)
        except (InvalidInput, UnsupportedOp) as error:
            # The file or the request is invalid; nothing was executed.
            log.warning("request %s refused: %s", leased.request_id, error.message)
            return answer_of(error if isinstance(error, UnsupportedOp) else BuildFailed(error.message, error.hint))
        except (ServerGone, Dismissed, LeaseLost):
            raise
        except ParetuneError as error:
            log.warning("request %s failed: %s", leased.request_id, error.message)
            return answer_of(error)
        except OSError as error:
            log.exception("request %s failed", leased.request_id)
            return answer_of(DeviceUnavailable(f"the agent failed: {error}", _SEE_LOG))
        # A runtime, or a file from a stranger, may raise anything; the next request is independent.
        except Exception as error:
            log.exception("request %s failed", leased.request_id)
            return answer_of(BuildFailed(f"the agent failed: {type(error).__name__}: {error}", _SEE_LOG))
        log.info("request %s: done", leased.request_id)
        return answer

    def _measure(self, request: MeasurementRequest, leased: LeasedRequest) -> dict[str, Any]:
        profile = self._profile_of(request.threads, request.batch)
        if profile.digest != request.profile_digest:
            raise DeviceUnavailable(
                f"device {self._settings.device!r} is no longer what the job measures on",
                "results of two profiles are never mixed: start a new job with paretune run",
            )
        self._check_runtime(request.runtime)
        limit_bytes, names = self._settings.max_model_bytes, [file.sha256 for file in request.files]
        paths = {
            file: self._cache.get(file, partial(self._client.fetch, leased), limit_bytes, names)
            for file in request.files
        }
        for model in filter(None, (request.baseline, request.candidate)):
            check_model_file(paths[model], limit_bytes)
        sample = unpack_arrays(paths[request.sample], limit_bytes)
        candidate, device = paths[request.candidate], self._open_device(profile)
        if request.kind == "outputs":
            return outputs_answer(device.outputs(candidate, sample, limit_s=request.limit_s, runtime=request.runtime))
        if request.baseline is None or request.protocol is None:
            peak = device.peak_memory_bytes(candidate, sample, limit_s=request.limit_s, runtime=request.runtime)
            return {"peak_memory_bytes": peak}
        try:
            measurement = device.measure(
                LatencyRequest(
                    paths[request.baseline], candidate, sample, request.protocol, request.limit_s, request.runtime
                )
            )
        except DeviceUnavailable as error:
            if request.runtime == profile.runtime:
                raise
            raise UnsupportedOp(error.message, error.hint) from None  # the candidate chose the runtime
        return {"measurement": measurement.to_dict()}

    def _open_device(self, profile: Profile) -> LocalDevice:
        """Opens the device; its process is kept for further requests with the same profile."""
        if self._device is not None and self._device.profile != profile:
            self._device.close()
            self._device = None
        if self._device is None:
            self._device = LocalDevice(profile)
        return self._device

    def _profile_of(self, threads: int, batch: int) -> Profile:
        """Probes this machine; returns its profile under the server's name."""
        profile = find_device(self._settings.local, threads, batch)
        if profile.simulated:
            raise InvalidInput(
                f"--local: device {profile.device!r} is simulated, so it cannot be measured",
                "use a real device: --local local-cpu",
            )
        if profile.runtime not in self._runtimes:
            raise InvalidInput(
                f"--runtime: device {profile.device!r} measures against {profile.runtime!r}, which is not allowed",
                f"add --runtime {profile.runtime}",
            )
        return replace(profile, device=self._settings.device, agent=True)

    def _check_runtime(self, spec: str) -> None:
        name = spec.partition(":")[0]
        if name not in self._runtimes:
            raise UnsupportedOp(
                f"runtime {name!r} is not allowed on device {self._settings.device!r}",
                f"its agent allows: {', '.join(self._runtimes)}",
            )
        runtime_of(spec)


def _select_runtimes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the runtimes that may execute models: ``names``, or all that measure."""
    for name in names:
        if name not in RUNTIMES:
            raise InvalidInput(f"--runtime: unknown runtime {name!r}", f"known: {', '.join(RUNTIMES)}")
    return tuple(dict.fromkeys(names)) or tuple(name for name in RUNTIMES if name != "null")


def _undeliverable_answer() -> dict[str, Any]:
    return answer_of(BuildFailed("the agent's result could not be delivered", _SEE_LOG))


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
