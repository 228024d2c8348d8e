"""A remote device: turns measurements into requests, and answers into figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluators.array_archive import pack_arrays
from evaluators.devices.device import Device
from evaluators.devices.request import (
    UNKNOWN_KIND,
    FileRef,
    MeasurementRequest,
    error_in,
    measurement_in,
    peak_memory_in,
)
from evaluators.graphs.model import MAX_MODEL_BYTES
from evaluators.graphs.wire import check_model_file
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.outputs import outputs_in
from evaluators.runtimes import runtime_of
from evaluators.tensors import Array, Arrays
from hwprofiles import Profile
from hwprofiles.errors import BuildFailed, DeviceUnavailable, InvalidInput, UnsupportedOp
from search.devices.link import DeviceLink, DeviceLost


class RemoteDevice(Device):
    """A device on another machine. Files are transferred once, by content.

    Raises the error that the device reported; :class:`DeviceLost` if it was out of contact for too long, or cannot
    serve the request.
    """

    def __init__(self, profile: Profile, link: DeviceLink) -> None:
        self.profile, self._transport = profile, link.open(profile)
        self._files: dict[tuple[Path, int, int], FileRef] = {}
        self._candidates: set[FileRef] = set()

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
        """Closes the transport; candidates' files need not stay."""
        self._transport.close(frozenset(self._candidates))
        self._candidates.clear()

    def _request(
        self, kind: Any, candidate: Path, sample: Arrays, limit_s: float, runtime: str | None, **more: Any
    ) -> MeasurementRequest:
        self._check_runtime(runtime or self.profile.runtime)
        file = self._model(candidate)
        if file != more.get("baseline"):
            self._candidates.add(file)
        return MeasurementRequest(
            kind=kind,
            profile_digest=self.profile.digest,
            threads=self.profile.threads,
            batch=self.profile.batch,
            runtime=runtime or self.profile.runtime,
            candidate=file,
            sample=self._transport.put_bytes(pack_arrays(sample)),
            limit_s=limit_s,
            **more,
        )

    def _check_runtime(self, spec: str) -> None:
        allowed = self._transport.runtimes()
        runtime_of(spec)
        if allowed and spec.partition(":")[0] not in allowed:
            raise UnsupportedOp(
                f"runtime {spec!r} is not allowed on device {self.profile.device!r}",
                f"allowed there: {', '.join(allowed)}",
            )

    def _model(self, path: Path) -> FileRef:
        """Makes a model's file available; raises :class:`BuildFailed` for one that no device accepts."""
        try:
            stat = path.stat()
            key = path, stat.st_mtime_ns, stat.st_size
            if key not in self._files:
                check_model_file(path, MAX_MODEL_BYTES)
        except InvalidInput as error:
            raise BuildFailed(error.message, error.hint) from None
        except OSError as error:
            raise BuildFailed(f"{path.name} cannot be read: {error.strerror}") from None
        if key not in self._files or not self._transport.has(self._files[key]):
            self._files[key] = self._transport.put(path)
        return self._files[key]

    def _answer(self, request: MeasurementRequest) -> dict[str, Any]:
        """Returns the answer to a request; raises the error that it holds."""
        answer = self._transport.answer(request)
        error = error_in(answer)
        if isinstance(error, DeviceUnavailable):
            raise DeviceLost(error.message, error.hint)
        if error is not None:
            raise error
        return answer
