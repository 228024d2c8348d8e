"""Executes measurement requests on this machine: the part of an agent that does not depend on who sends them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from evaluators.agent.blobs import BlobCache, Fetch, Unanswered
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

_SEE_LOG = "see the log on the device"


class Executor:
    """Measures on one device of this machine, under the name that others know it by. One request at a time.

    Its owner closes it. ``local`` is the device's name on this machine; ``runtimes`` are those that may execute models,
    empty for all that measure. Files larger than ``max_model_bytes`` are refused.
    """

    def __init__(
        self, device: str, local: str, runtimes: tuple[str, ...], cache: BlobCache, max_model_bytes: int
    ) -> None:
        self._name, self._local = device, local
        self.runtimes = select_runtimes(runtimes)
        """The runtimes that may execute models."""
        self._cache, self._max_model_bytes = cache, max_model_bytes
        self.profile = self._profile_of(1, 1)
        """The device, for one thread and batch 1."""
        most = min(len(usable_cores()), MAX_THREADS)
        self.cores = tuple(self._profile_of(threads, 1).cores for threads in range(1, most + 1))
        """The device's cores for 1, 2, … threads."""
        self._device: LocalDevice | None = None

    @property
    def offer(self) -> dict[str, Any]:
        """What others need to know besides the profile, as JSON-able data."""
        return {"runtimes": list(self.runtimes), "cores": [list(ids) for ids in self.cores]}

    def answer(self, payload: Any, request_id: str, fetch: Fetch) -> dict[str, Any]:
        """Measures a request (minutes), which is not checked yet; returns the answer or the error.

        A failure affects this request alone. Raises :class:`Unanswered` as ``fetch`` does.
        """
        try:
            request = MeasurementRequest.from_dict(payload)
            log.info("request %s: %s of %s", request_id, request.kind, request.candidate.sha256[:12])
            answer = self._measure(request, fetch)
        except (InvalidInput, UnsupportedOp) as error:
            # The file or the request is invalid; nothing was executed.
            log.warning("request %s refused: %s", request_id, error.message)
            return answer_of(error if isinstance(error, UnsupportedOp) else BuildFailed(error.message, error.hint))
        except Unanswered:
            raise
        except ParetuneError as error:
            log.warning("request %s failed: %s", request_id, error.message)
            return answer_of(error)
        except OSError as error:
            log.exception("request %s failed", request_id)
            return answer_of(DeviceUnavailable(f"the agent failed: {error}", _SEE_LOG))
        # A runtime, or a file from a stranger, may raise anything; the next request is independent.
        except Exception as error:
            log.exception("request %s failed", request_id)
            return answer_of(BuildFailed(f"the agent failed: {type(error).__name__}: {error}", _SEE_LOG))
        log.info("request %s: done", request_id)
        return answer

    def close(self) -> None:
        """Ends the measuring process."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def _measure(self, request: MeasurementRequest, fetch: Fetch) -> dict[str, Any]:
        profile = self._profile_of(request.threads, request.batch)
        if profile.digest != request.profile_digest:
            raise DeviceUnavailable(
                f"device {self._name!r} is no longer what the job measures on",
                "results of two profiles are never mixed: start a new job with paretune run",
            )
        self._check_runtime(request.runtime)
        limit_bytes, names = self._max_model_bytes, [file.sha256 for file in request.files]
        paths = {file: self._cache.get(file, fetch, limit_bytes, names) for file in request.files}
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
            self.close()
        if self._device is None:
            self._device = LocalDevice(profile)
        return self._device

    def _profile_of(self, threads: int, batch: int) -> Profile:
        """Probes this machine; returns its profile under the device's name."""
        profile = find_device(self._local, threads, batch)
        if profile.simulated:
            raise InvalidInput(
                f"--local: device {profile.device!r} is simulated, so it cannot be measured",
                "use a real device: --local local-cpu",
            )
        if profile.runtime not in self.runtimes:
            raise InvalidInput(
                f"--runtime: device {profile.device!r} measures against {profile.runtime!r}, which is not allowed",
                f"add --runtime {profile.runtime}",
            )
        return replace(profile, device=self._name, agent=True)

    def _check_runtime(self, spec: str) -> None:
        name = spec.partition(":")[0]
        if name not in self.runtimes:
            raise UnsupportedOp(
                f"runtime {name!r} is not allowed on device {self._name!r}",
                f"its agent allows: {', '.join(self.runtimes)}",
            )
        runtime_of(spec)


def select_runtimes(names: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the runtimes that may execute models: ``names``, or all that measure."""
    for name in names:
        if name not in RUNTIMES:
            raise InvalidInput(f"--runtime: unknown runtime {name!r}", f"known: {', '.join(RUNTIMES)}")
    return tuple(dict.fromkeys(names)) or tuple(name for name in RUNTIMES if name != "null")
