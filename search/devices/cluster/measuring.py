"""Measuring on the nodes of a Ray cluster: each request is a task that takes a node's device, wherever one is free."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from evaluators.agent.executor import Executor
from evaluators.devices.request import FileRef, MeasurementRequest
from evaluators.processes.sandbox_child import waiting
from hwprofiles.errors import StorageError, WorkerLost
from search.devices.cluster import settings  # noqa: F401 - before Ray
from search.devices.cluster.resources import NodeDevice
from search.devices.link import DeviceLost, Transport

# isort: split
import ray

_LOOK_S = 2.0
"""Between two looks whether a node with the device is alive, while a request waits."""

_NODES_LOST = 3
"""Times that Ray gives a request to another node when its node is lost."""

SHARED: dict[str, ray.ObjectRef] = {}
"""Files of the job, by SHA-256, that are in the cluster's object store already; filled as a trial's process begins."""

_executors: dict[NodeDevice, Executor] = {}


@ray.remote(num_cpus=0, max_retries=_NODES_LOST)  # type: ignore[untyped-decorator]
def _measure(device: NodeDevice, request: Any, files: Mapping[str, ray.ObjectRef]) -> dict[str, Any]:
    """Answers a request on the node that it was placed on; the device's process is kept for further requests."""
    if device not in _executors:
        _executors[device] = device.open()
    return _executors[device].answer(request, request["candidate"]["sha256"][:8], partial(_fetch, files))


def _fetch(files: Mapping[str, ray.ObjectRef], file: FileRef, start: int) -> Iterator[bytes]:
    yield ray.get(files[file.sha256])[start:]


class ClusterTransport(Transport):
    """Reaches a device through the cluster that this process is connected to.

    Ray chooses the node; it takes the node's device for the time of a measurement. A lost node costs a repetition.
    """

    def __init__(self, device: NodeDevice, runtimes: tuple[str, ...], away_s: float) -> None:
        self._device, self._runtimes, self._away_s = device, runtimes, away_s
        self._files: dict[FileRef, ray.ObjectRef] = {}

    def runtimes(self) -> tuple[str, ...]:
        """See :meth:`Transport.runtimes`."""
        return self._runtimes

    def put(self, path: Path) -> FileRef:
        """See :meth:`Transport.put`."""
        try:
            return self.put_bytes(path.read_bytes())
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}", "free some space there") from None

    def put_bytes(self, data: bytes) -> FileRef:
        """See :meth:`Transport.put_bytes`."""
        file = FileRef(hashlib.sha256(data).hexdigest(), len(data))
        if file not in self._files:
            self._files[file] = SHARED[file.sha256] if file.sha256 in SHARED else ray.put(data)
        return file

    def has(self, file: FileRef) -> bool:
        """See :meth:`Transport.has`."""
        return file in self._files

    def answer(self, request: MeasurementRequest) -> dict[str, Any]:
        """See :meth:`Transport.answer`."""
        files = {file.sha256: self._files[file] for file in request.files}
        # Not within the place of the trial that asks, as Ray would by default.
        measure = _measure.options(resources={self._device.resource: 1}, scheduling_strategy="DEFAULT")
        task = measure.remote(self._device, request.to_dict(), files)
        try:
            with waiting():  # the node keeps the time limit
                return self._wait_for(task)
        except BaseException:
            ray.cancel(task, force=True)
            raise
        finally:
            if request.candidate != request.baseline:
                self._files.pop(request.candidate, None)  # the object store is small

    def _wait_for(self, task: ray.ObjectRef) -> dict[str, Any]:
        heard = time.monotonic()
        while not ray.wait([task], timeout=_LOOK_S)[0]:
            if any(self._device.resource in node["Resources"] for node in ray.nodes() if node["Alive"]):
                heard = time.monotonic()
            elif time.monotonic() - heard > self._away_s:
                raise DeviceLost(
                    f"no node of the cluster has had device {self._device.name!r} for {self._away_s:.0f} s",
                    "start one with: paretune devices resources; then go on with: paretune resume JOB",
                )
        try:
            answer: dict[str, Any] = ray.get(task)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1][:300]
            raise WorkerLost(f"the node that measured was lost: {reason}", "see that it has memory left") from None
        return answer

    def close(self, temporary: frozenset[FileRef]) -> None:
        """See :meth:`Transport.close`."""
        self._files.clear()
