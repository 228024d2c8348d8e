"""A remote device: asks its agent through the store, and waits."""

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
from evaluators.measuring.latency import Protocol
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
from search.devices.link import DeviceLost, ErrandLink
from search.states import ErrandState
from search.store import Store
from search.store.errands import LEASE_S, ErrandRow

GRACE_S = 600.0
"""How much longer than its limit an errand may take while its agent is there: for files to travel, and for the device
to be free of other users' measurements. The limit itself is kept by the agent."""

SLOWEST_BYTES_S = 50_000.0
"""A link as slow as this is waited for on top of that."""

KEPT_S = 30 * 86400.0
"""How long what an errand came to is kept."""

_LOOK_S, _LOOK_AT_AGENT_S = 0.1, 2.0

_LONGEST_STEP_S = 10.0
"""What the time between two looks counts at most as silence: in a longer one nobody looked, as in a machine's sleep."""


class RemoteDevice(Device):
    """A device that its agent measures. Files travel by content, once; questions as errands in the store.

    Raises what the agent reported; :class:`DeviceLost` when no agent was there for ``away_s`` seconds, or the one
    that is there cannot do it; what was asked stays asked.
    """

    def __init__(self, profile: Profile, link: ErrandLink) -> None:
        self.profile, self._link = profile, link
        self._purpose = link.purpose or secrets.token_hex(16)
        self._store = Store(link.url)
        self._blobs = Blobs()
        self._times: Counter[str] = Counter()
        self._known: dict[tuple[Path, int, int], FileRef] = {}
        self._sent: set[FileRef] = set()
        self._store.errands.forget(KEPT_S)
        self._prune_at = 0.0
        self._prune()

    def measure(
        self,
        baseline: Path,
        candidate: Path,
        sample: Arrays,
        *,
        protocol: Protocol,
        limit_s: float,
        runtime: str | None = None,
    ) -> Measurement:
        """See :meth:`Device.measure`."""
        errand = self._errand(
            "latency", candidate, sample, limit_s, runtime, baseline=self._model(baseline), protocol=protocol
        )
        return measurement_in(self._answer(errand), errand)

    def peak_memory_bytes(self, model: Path, sample: Arrays, *, limit_s: float, runtime: str | None = None) -> int:
        """See :meth:`Device.peak_memory_bytes`."""
        return peak_memory_in(self._answer(self._errand("peak_memory", model, sample, limit_s, runtime)))

    def outputs(
        self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None
    ) -> dict[str, Array] | None:
        """See :meth:`Device.outputs`; an agent of an earlier version cannot be asked."""
        try:
            return outputs_in(self._answer(self._errand("outputs", model, samples, limit_s, runtime)))
        except BuildFailed as error:
            if error.message.startswith(UNKNOWN_KIND):
                return None
            raise

    def close(self) -> None:
        """Closes the store. What was sent for candidates goes, what they share stays for others a while."""
        self._blobs.remove(self._sent, self._store.errands.files())
        self._sent.clear()
        self._store.close()

    def _errand(
        self, kind: Any, candidate: Path, sample: Arrays, limit_s: float, runtime: str | None, **more: Any
    ) -> MeasurementRequest:
        self._check_runtime(runtime or self.profile.runtime)
        sent = self._model(candidate)
        if sent != more.get("baseline"):
            self._sent.add(sent)
        return MeasurementRequest(
            kind=kind,
            profile_digest=self.profile.digest,
            threads=self.profile.threads,
            batch=self.profile.batch,
            runtime=runtime or self.profile.runtime,
            candidate=sent,
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
        """A model's file, put where the server finds it; raises :class:`BuildFailed` for one that no agent takes."""
        try:
            stat = path.stat()
            key = path, stat.st_mtime_ns, stat.st_size
            if key not in self._known:
                check_model_file(path, MAX_MODEL_BYTES)
        except InvalidInput as error:
            raise BuildFailed(error.message, error.hint) from None
        except OSError as error:
            raise BuildFailed(f"{path.name} cannot be read: {error.strerror}") from None
        if key not in self._known or not self._blobs.touch(self._known[key]):
            self._known[key] = self._blobs.put(path)
        return self._known[key]

    def _answer(self, errand: MeasurementRequest) -> dict[str, Any]:
        request = errand.to_dict()
        asked = digest_of([VERSION, self._purpose, self.profile.device, request])
        # Whoever asks the same again wants it measured again; a resumed job asks from the first time on.
        errand_id = self._next_id(asked)
        self._prune()
        self._store.errands.enqueue(errand_id, self.profile, request)
        try:
            row = self._ended(errand_id, errand)
        except BaseException:
            if self._link.purpose is None:
                self._store.errands.cancel(errand_id)
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

    def _next_id(self, asked: str) -> str:
        """Names the next errand of this content. What an earlier process was answered stands, unless the moment was to
        blame: then it is asked anew."""
        while True:
            errand_id = digest_of([asked, self._times[asked]])[:32]
            self._times[asked] += 1
            answer = self._store.errands.result(errand_id)
            if answer is None or not isinstance(error_in(answer), TransientError):
                return errand_id

    def _prune(self) -> None:
        """Frees the room of files that nobody needs, now and then."""
        if time.monotonic() >= self._prune_at:
            self._blobs.prune(self._store.errands.files())
            self._prune_at = time.monotonic() + IDLE_S

    def _ended(self, errand_id: str, errand: MeasurementRequest) -> ErrandRow:
        """The errand once it has ended. Against its limit counts the time for which its agent has held it, and was
        there: neither the queue, nor an earlier agent's time, nor an absence, which ``away_s`` limits."""
        watch = _Watch(self._store, self.profile.device, self._link.away_s)
        with waiting():
            row = self._store.errands.get(errand_id)
            while row.state is ErrandState.QUEUED:
                watch.pause()
                row = self._store.errands.get(errand_id)
        most_s = errand.limit_s + GRACE_S + sum(file.size_bytes for file in errand.files) / SLOWEST_BYTES_S
        held_s, epoch, before = 0.0, row.epoch, time.monotonic()
        while row.state in (ErrandState.QUEUED, ErrandState.LEASED):
            watch.pause()
            row = self._store.errands.get(errand_id)
            now = time.monotonic()
            if row.state is ErrandState.QUEUED or row.epoch != epoch:
                held_s, epoch = 0.0, row.epoch
            elif watch.silent_s <= LEASE_S:
                held_s += now - before
            before = now
            if row.state is ErrandState.LEASED and held_s > most_s:
                self._store.errands.cancel(errand_id)
                raise StageTimeout(f"measuring: took longer than {errand.limit_s:g} s", "raise limits.measuring_s")
        return row


class _Watch:
    """Looks now and then for how long a device's agent has been silent.

    Silence is counted here, look by look: between two looks this machine may have slept, or its clock been set.
    """

    def __init__(self, store: Store, device: str, away_s: float) -> None:
        self._store, self._device, self._away_s = store, device, away_s
        self._heard: datetime | None = None
        self._looked_at = time.monotonic()
        self._look_at = 0.0
        self.silent_s = 0.0

    def pause(self) -> None:
        """Waits a moment; raises :class:`DeviceLost` for an agent that was given up."""
        time.sleep(_LOOK_S)
        if time.monotonic() < self._look_at:
            return
        agent = self._store.agents.row(self._device)
        if agent is None or agent.revoked_at is not None:
            raise DeviceLost(
                f"the token of device {self._device!r} was revoked",
                "make a new one with: paretune devices token NAME",
            )
        now = time.monotonic()
        step_s, self._looked_at = min(now - self._looked_at, _LONGEST_STEP_S), now
        if agent.seen_at != self._heard:
            self._heard, self.silent_s = agent.seen_at, 0.0
        self.silent_s += step_s
        if self.silent_s > self._away_s:
            raise DeviceLost(
                f"nothing was heard from the agent of device {self._device!r} for {self.silent_s:.0f} s",
                "start the server here and the agent there, then go on with: paretune resume JOB",
            )
        self._look_at = now + _LOOK_AT_AGENT_S
