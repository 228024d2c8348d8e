"""The hub of a job in a Ray cluster: an actor on the machine of its controller, for what trials on other nodes need of
that machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from evaluators.devices.deadline import Clock
from evaluators.devices.request import FileRef, MeasurementRequest
from evaluators.processes.sandbox_child import waiting
from hwprofiles import Profile
from hwprofiles.errors import ParetuneError, StorageError
from search.devices.cluster import settings
from search.devices.cluster.measuring import ClusterTransport
from search.devices.cluster.resources import NodeDevice
from search.devices.link import DeviceLink, StoreLink, Transport
from search.folders import partial_path

# isort: split
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

PREFIX = "hub-"
"""Of the names of hubs; each running job has one, named by its lease, as that of a killed controller may still live."""

_THREADS = 64
"""Calls that a hub works on at a time: each measurement by an agent is one."""


class Hub:
    """Keeps candidates' files and notices in the job's folder, and passes requests to devices with an agent.

    Keeps nothing that a restart would lose. Called from several processes at a time.
    """

    def __init__(self, home: str | None, folder: str, link: StoreLink, clock: Clock) -> None:
        if home is not None:
            os.environ["PARETUNE_HOME"] = home  # the node was started with another one
        self._folder, self._link, self._clock = Path(folder), link, clock
        self._transports: dict[str, Transport] = {}
        try:
            partial_path(self._folder / "hub").unlink()
        except OSError as error:
            raise StorageError(
                f"the job's folder {folder} cannot be written by the Ray cluster: {error.strerror}",
                "run ray start on the worker's machine as the worker's user",
            ) from None

    def now(self) -> float:
        """Returns the time on the controller's clock."""
        return self._clock()

    def keep(self, name: str, data: bytes, sha256: str) -> None:
        """Writes a file into the job's folder; raises :class:`StorageError` if that fails."""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise StorageError(f"file {name} arrived with other content than it was sent with", "try again")
        partial = partial_path(self._folder / name)
        try:
            partial.write_bytes(data)
            partial.replace(self._folder / name)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StorageError(f"file {name} cannot be written: {error.strerror}", "free some space") from None

    def note(self, name: str, text: str | None) -> None:
        """Replaces a small text in the job's folder, or removes it; errors of the file system are ignored."""
        with suppress(OSError):
            if text is None:
                self._folder.joinpath(name).unlink(missing_ok=True)
            else:
                partial = partial_path(self._folder / name)
                partial.write_text(text)
                partial.replace(self._folder / name)

    def answer(
        self, session: str, profile: Profile, purpose: str, request: MeasurementRequest, files: Mapping[str, bytes]
    ) -> dict[str, Any]:
        """Passes a request to an agent, as :meth:`Transport.answer` does. A session is one caller's."""
        if session not in self._transports:
            self._transports[session] = self._link.with_purpose(purpose).open(profile)
        transport = self._transports[session]
        for data in files.values():
            transport.put_bytes(data)
        return transport.answer(request)

    def close(self, session: str, temporary: frozenset[FileRef]) -> None:
        """Ends a session."""
        if (transport := self._transports.pop(session, None)) is not None:
            transport.close(temporary)


def start_hub(name: str, folder: Path, link: StoreLink, clock: Clock) -> ray.actor.ActorHandle:
    """Starts a job's hub on this machine; it ends with this process. ``folder`` is the job's."""
    home = os.environ.get("PARETUNE_HOME")
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=3, max_concurrency=_THREADS)(Hub)
    hub = actor.options(name=name, scheduling_strategy=here).remote(home, str(folder), link, clock)
    try:
        ray.get(hub.now.remote())
    except ray.exceptions.RayError as error:
        raise cause_of(error) from None
    return hub


def cause_of(error: ray.exceptions.RayError) -> ParetuneError:
    """Returns the error of ours behind one of Ray's; a transient one if there is none."""
    cause: BaseException | None = getattr(error, "cause", None)
    if isinstance(cause, ParetuneError):
        return cause
    return StorageError(f"the controller's machine does not answer: {str(error).strip().splitlines()[-1][:300]}")


@dataclass(frozen=True)
class NodeLink(DeviceLink):
    """The way to remote devices from a node of the cluster, which knows neither the store nor its password."""

    hub_name: str
    """The name of the job's hub."""
    devices: tuple[tuple[NodeDevice, tuple[str, ...]], ...]
    """The devices of nodes that the job measures on, with the runtimes that may execute models there."""
    away_s: float
    """Seconds without contact after which a device is given up."""
    purpose: str = ""

    def open(self, profile: Profile) -> Transport:
        """See :meth:`DeviceLink.open`."""
        for device, runtimes in self.devices:
            if device.name == profile.device:
                return ClusterTransport(device, runtimes, self.away_s)
        return HubTransport(profile, self)

    def with_purpose(self, purpose: str) -> Self:
        """See :meth:`DeviceLink.with_purpose`."""
        return replace(self, purpose=purpose)

    @property
    def hub(self) -> ray.actor.ActorHandle:
        """The job's hub."""
        return ray.get_actor(self.hub_name, settings.NAMESPACE)


class HubTransport(Transport):
    """Reaches a device with an agent through the job's hub."""

    def __init__(self, profile: Profile, link: NodeLink) -> None:
        self._profile, self._link, self._hub = profile, link, link.hub
        self._session = f"{profile.digest} {ray.get_runtime_context().get_worker_id()}"
        self._files: dict[FileRef, bytes] = {}

    def runtimes(self) -> tuple[str, ...]:
        """See :meth:`Transport.runtimes`; the agent refuses others."""
        return ()

    def put(self, path: Path) -> FileRef:
        """See :meth:`Transport.put`."""
        return self.put_bytes(path.read_bytes())

    def put_bytes(self, data: bytes) -> FileRef:
        """See :meth:`Transport.put_bytes`."""
        file = FileRef(hashlib.sha256(data).hexdigest(), len(data))
        self._files[file] = data
        return file

    def has(self, file: FileRef) -> bool:
        """See :meth:`Transport.has`."""
        return file in self._files

    def answer(self, request: MeasurementRequest) -> dict[str, Any]:
        """See :meth:`Transport.answer`."""
        files = {file.sha256: self._files[file] for file in request.files}
        try:
            with waiting():
                answer: dict[str, Any] = ray.get(
                    self._hub.answer.remote(self._session, self._profile, self._link.purpose, request, files)
                )
        except ray.exceptions.RayError as error:
            raise cause_of(error) from None
        finally:
            if request.candidate != request.baseline:
                self._files.pop(request.candidate, None)
        return answer

    def close(self, temporary: frozenset[FileRef]) -> None:
        """See :meth:`Transport.close`."""
        self._files.clear()
        self._hub.close.remote(self._session, temporary)
