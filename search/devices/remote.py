"""A remote device: sends requests to its agent through the store, and waits for the results."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from evaluators.array_archive import pack_arrays
from evaluators.devices.device import Device
from evaluators.devices.request import (
    UNKNOWN_KIND,
    VERSION,
    FileRef,
    MeasurementRequest,
    answer_of,
    error_in,
    measurement_in,
    peak_memory_in,
)
from evaluators.graphs.model import MAX_MODEL_BYTES
from evaluators.graphs.wire import check_model_file
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.outputs import outputs_in
from evaluators.processes.sandbox_child import waiting
from evaluators.runtimes import runtime_of
from evaluators.tensors import Array, Arrays
from hwprofiles import Profile, digest_of
from hwprofiles.errors import (
    BuildFailed,
    DeviceUnavailable,
    InvalidInput,
    StageTimeout,
    TransientError,
    UnsupportedOp,
)
from search.devices.blobs import IDLE_S, Blobs
from search.devices.link import DeviceLost, RequestLink
from search.states import RequestState
from search.store import Store
from search.store.requests import LEASE_S, RequestRow

GRACE_S = 600.0
"""Seconds beyond its limit that a request may take while its agent is in contact: for the transfer of files, and until
the device is free of other users' measurements. The agent enforces the limit itself."""

SLOWEST_BYTES_S = 50_000.0
"""Bytes per second of the slowest link; the transfer time at this rate is added."""

KEPT_S = 30 * 86400.0
"""Seconds for which results of requests are kept."""

_LOOK_S, _LOOK_AT_AGENT_S = 0.1, 2.0

_LONGEST_STEP_S = 10.0
"""Time between two polls that counts as silence at most: in a longer gap this machine was asleep."""


class RemoteDevice(Device):
    """A device that is measured by its agent. Files are transferred once, by content; requests go through the store.

    Raises the error that the agent reported; :class:`DeviceLost` if the agent was out of contact for ``away_s`` seconds
    or cannot serve the request. The request then stays in the store.
    """

    def __init__(self, profile: Profile, link: RequestLink) -> None:
        self.profile, self._link = profile, link
        self._purpose = link.purpose or secrets.token_hex(16)
        self._store = Store(link.url)
        self._blobs = Blobs()
        self._times: Counter[str] = Counter()
        self._files: dict[tuple[Path, int, int], FileRef] = {}
        self._sent: set[FileRef] = set()
        self._store.requests.forget(KEPT_S)
        self._prune_at = 0.0
        self._prune()

    def measure(self, request: LatencyRequest) -> Measurement:
        """See :meth:`Device.measure`."""
        sent = self._request(
            "latency", request.candidate, request.sample, request.limit_s, request.runtime,
            baseline=self._model(request.baseline), protocol=request.protocol,
        )  # fmt: skip
        return measurement_in(self._answer(sent), sent)

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """See :meth:`Device.peak_memory_bytes`."""
        return peak_memory_in(self._answer(self._request("peak_memory", model, sample, limit_s, runtime)))

    def outputs(
        self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None
    ) -> dict[str, Array] | None:
        """See :meth:`Device.outputs`; an agent of an earlier version cannot be asked."""
        try:
            return outputs_in(self._answer(self._request("outputs", model, samples, limit_s, runtime)))
        except BuildFailed as error:
            if error.message.startswith(UNKNOWN_KIND):
                return None
            raise

    def close(self) -> None:
        """Closes the store, and removes candidates' files; files that they share stay for a while."""
        self._blobs.remove(self._sent, self._store.requests.files())
        self._sent.clear()
        self._store.close()

    def _request(
        self, kind: Any, candidate: Path, sample: Arrays, limit_s: float, runtime: str | None, **more: Any
    ) -> MeasurementRequest:
        self._check_runtime(runtime or self.profile.runtime)
        file = self._model(candidate)
        if file != more.get("baseline"):
            self._sent.add(file)
        return MeasurementRequest(
            kind=kind,
            profile_digest=self.profile.digest,
            threads=self.profile.threads,
            batch=self.profile.batch,
            runtime=runtime or self.profile.runtime,
            candidate=file,
            sample=self._blobs.put_bytes(pack_arrays(sample)),
            limit_s=limit_s,
            **more,
        )

    def _check_runtime(self, spec: str) -> None:
        agent = self._store.agents.row(self.profile.device)
        allowed = [] if agent is None else agent.offer.get("runtimes", [])
        runtime_of(spec)
        if allowed and spec.partition(":")[0] not in allowed:
            raise UnsupportedOp(
                f"runtime {spec!r} is not allowed on device {self.profile.device!r}",
                f"its agent allows: {', '.join(allowed)}",
            )

    def _model(self, path: Path) -> FileRef:
        """Stores a model's file for the server; raises :class:`BuildFailed` for one that no agent accepts."""
        try:
            stat = path.stat()
            key = path, stat.st_mtime_ns, stat.st_size
            if key not in self._files:
                check_model_file(path, MAX_MODEL_BYTES)
        except InvalidInput as error:
            raise BuildFailed(error.message, error.hint) from None
        except OSError as error:
            raise BuildFailed(f"{path.name} cannot be read: {error.strerror}") from None
        if key not in self._files or not self._blobs.touch(self._files[key]):
            self._files[key] = self._blobs.put(path)
        return self._files[key]

    def _answer(self, request: MeasurementRequest) -> dict[str, Any]:
        """Sends a request and waits for its answer (minutes); raises the error that the answer holds."""
        content = request.to_dict()
        digest = digest_of([VERSION, self._purpose, self.profile.device, content])
        # An equal request is measured again; a resumed job counts from the first one and gets the stored answers.
        errand_id = self._next_id(digest)
        self._prune()
        self._store.requests.enqueue(errand_id, self.profile, content)
        try:
            row = self._wait_for(errand_id, request)
        except BaseException:
            if self._link.purpose is None:
                self._store.requests.cancel(errand_id)
            raise
        answer = row.result or answer_of(
            DeviceUnavailable("the measurement was cancelled", "go on with: paretune resume JOB")
        )
        error = error_in(answer)
        if isinstance(error, DeviceUnavailable):
            raise DeviceLost(error.message, error.hint)
        if error is not None:
            raise error
        return answer

    def _next_id(self, digest: str) -> str:
        """The id of the next request with this content; skips those that were answered with a transient error."""
        while True:
            errand_id = digest_of([digest, self._times[digest]])[:32]
            self._times[digest] += 1
            answer = self._store.requests.result(errand_id)
            if answer is None or not isinstance(error_in(answer), TransientError):
                return errand_id

    def _prune(self) -> None:
        """Removes files that nobody needs, at most every :data:`IDLE_S`."""
        if time.monotonic() >= self._prune_at:
            self._blobs.prune(self._store.requests.files())
            self._prune_at = time.monotonic() + IDLE_S

    def _wait_for(self, errand_id: str, request: MeasurementRequest) -> RequestRow:
        """Waits until a request has ended; raises :class:`StageTimeout` if it takes too long.

        Counts only the time for which its present agent holds it and is in contact: neither the queue, nor an earlier
        agent's time, nor an absence, which ``away_s`` limits.
        """
        watch = _Watch(self._store, self.profile.device, self._link.away_s)
        with waiting():
            row = self._store.requests.get(errand_id)
            while row.state is RequestState.QUEUED:
                watch.pause()
                row = self._store.requests.get(errand_id)
        most_s = request.limit_s + GRACE_S + sum(file.size_bytes for file in request.files) / SLOWEST_BYTES_S
        held_s, epoch, before = 0.0, row.epoch, time.monotonic()
        while row.state in (RequestState.QUEUED, RequestState.LEASED):
            watch.pause()
            row = self._store.requests.get(errand_id)
            now = time.monotonic()
            if row.state is RequestState.QUEUED or row.epoch != epoch:
                held_s, epoch = 0.0, row.epoch
            elif watch.silent_s <= LEASE_S:
                held_s += now - before
            before = now
            if row.state is RequestState.LEASED and held_s > most_s:
                self._store.requests.cancel(errand_id)
                raise StageTimeout(f"measuring: took longer than {request.limit_s:g} s", "raise limits.measuring_s")
        return row


class _Watch:
    """Watches for how long a device's agent has been silent.

    Adds up silence poll by poll: between two polls this machine may have slept, or its clock may have been set.
    """

    def __init__(self, store: Store, device: str, away_s: float) -> None:
        self._store, self._device, self._away_s = store, device, away_s
        self._heard: datetime | None = None
        self._last_look = time.monotonic()
        self._look_at = 0.0
        self.silent_s = 0.0

    def pause(self) -> None:
        """Waits a moment; raises :class:`DeviceLost` for an agent that was revoked or silent for too long."""
        time.sleep(_LOOK_S)
        if time.monotonic() < self._look_at:
            return
        agent = self._store.agents.row(self._device)
        if agent is None or agent.revoked_at is not None:
            raise DeviceLost(
                f"the token of device {self._device!r} was revoked",
                f"make a new one with: paretune devices token {self._device}",
            )
        now = time.monotonic()
        step_s, self._last_look = min(now - self._last_look, _LONGEST_STEP_S), now
        if agent.seen_at != self._heard:
            self._heard, self.silent_s = agent.seen_at, 0.0
        self.silent_s += step_s
        if self.silent_s > self._away_s:
            raise DeviceLost(
                f"nothing was heard from the agent of device {self._device!r} for {self.silent_s:.0f} s",
                "start the server here and the agent there, then go on with: paretune resume JOB",
            )
        self._look_at = now + _LOOK_AT_AGENT_S
