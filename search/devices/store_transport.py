"""The way to devices with an agent: sends requests through the store, and waits for the answers."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

from evaluators.devices.request import VERSION, FileRef, MeasurementRequest, answer_of, error_in
from evaluators.processes.sandbox_child import waiting
from hwprofiles import Profile, digest_of
from hwprofiles.errors import DeviceUnavailable, StageTimeout, TransientError
from search.artefacts.limits import AGENT_IDLE_S
from search.devices.blobs import Blobs
from search.devices.link import DeviceLost, StoreLink, Transport
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


class StoreTransport(Transport):
    """Reaches a device's agent through the store: the server hands requests and files to it, and stores its answers.

    A request whose agent is away stays in the store.
    """

    def __init__(self, profile: Profile, link: StoreLink) -> None:
        self._profile, self._link = profile, link
        self._purpose = link.purpose or secrets.token_hex(16)
        self._store = Store(link.url)
        self._blobs = Blobs()
        self._times: Counter[str] = Counter()
        self._store.requests.forget(KEPT_S)
        self._prune_at = 0.0
        self._prune()

    def runtimes(self) -> tuple[str, ...]:
        """See :meth:`Transport.runtimes`."""
        agent = self._store.agents.row(self._profile.device)
        return () if agent is None else tuple(agent.offer.get("runtimes", ()))

    def put(self, path: Path) -> FileRef:
        """See :meth:`Transport.put`."""
        return self._blobs.put(path)

    def put_bytes(self, data: bytes) -> FileRef:
        """See :meth:`Transport.put_bytes`."""
        return self._blobs.put_bytes(data)

    def has(self, file: FileRef) -> bool:
        """See :meth:`Transport.has`."""
        return self._blobs.touch(file)

    def close(self, temporary: frozenset[FileRef]) -> None:
        """See :meth:`Transport.close`; files that candidates share stay for a while."""
        self._blobs.remove(temporary, self._store.requests.files())
        self._store.close()

    def answer(self, request: MeasurementRequest) -> dict[str, Any]:
        """See :meth:`Transport.answer`."""
        content = request.to_dict()
        digest = digest_of([VERSION, self._purpose, self._profile.device, content])
        # An equal request is measured again; a resumed job counts from the first one and gets the stored answers.
        errand_id = self._next_id(digest)
        self._prune()
        self._store.requests.enqueue(errand_id, self._profile, content)
        try:
            row = self._wait_for(errand_id, request)
        except BaseException:
            if self._link.purpose is None:
                self._store.requests.cancel(errand_id)
            raise
        return row.result or answer_of(
            DeviceUnavailable("the measurement was cancelled", "go on with: paretune resume JOB")
        )

    def _next_id(self, digest: str) -> str:
        """Returns the id of the next request with this content; skips those that were answered with a transient
        error."""
        while True:
            errand_id = digest_of([digest, self._times[digest]])[:32]
            self._times[digest] += 1
            answer = self._store.requests.result(errand_id)
            if answer is None or not isinstance(error_in(answer), TransientError):
                return errand_id

    def _prune(self) -> None:
        """Removes files that nobody needs, at most every :data:`AGENT_IDLE_S`."""
        if time.monotonic() >= self._prune_at:
            self._blobs.prune(self._store.requests.files())
            self._prune_at = time.monotonic() + AGENT_IDLE_S

    def _wait_for(self, errand_id: str, request: MeasurementRequest) -> RequestRow:
        """Waits until a request has ended; raises :class:`StageTimeout` if it takes too long.

        Counts only the time for which its present agent holds it and is in contact: neither the queue, nor an earlier
        agent's time, nor an absence, which ``away_s`` limits.
        """
        watch = _Watch(self._store, self._profile.device, self._link.away_s)
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
