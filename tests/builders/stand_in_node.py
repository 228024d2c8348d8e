"""A device of a cluster's node that makes its measurements up: the request's way there and back is real.

Each request that begins leaves a file ``NODE-NUMBER`` beside the home of the node, and waits while there is a file
``hold`` in that home.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluators.agent.blobs import BlobCache, Fetch
from evaluators.devices.request import MeasurementRequest, answer_of
from evaluators.measuring.measurement import Measurement, pair_ratio
from hwprofiles import Profile, find_device
from hwprofiles.errors import UnsupportedOp
from hwprofiles.folders import cache_folder
from search.devices.cluster.resources import NodeDevice

DIGITS = 16
OFFER: dict[str, Any] = {"runtimes": ["onnxruntime"], "cores": [[0]]}


def profile_of(name: str, local: str) -> Profile:
    """Every name and local device is another profile."""
    return replace(
        find_device("dry-run"), device=name, agent=True, simulated=False, runtime="onnxruntime", processor=local,
        runtimes=(("onnxruntime", "1"),), cores=(0,),
    )  # fmt: skip


class StandInDevice(NodeDevice):
    """As :class:`NodeDevice`, of a machine that measures nothing."""

    def open(self) -> Any:
        return StandInExecutor(self)


def declared(name: str, local: str = "one") -> StandInDevice:
    return StandInDevice(name, local, profile_of(name, local).digest[:DIGITS])


class StandInExecutor:
    """Answers as a device does on which smaller files are faster."""

    offer = OFFER

    def __init__(self, device: StandInDevice) -> None:
        self.profile = profile_of(device.name, device.local)
        self._cache = BlobCache(cache_folder() / "agent" / device.name)

    def answer(self, payload: Any, request_id: str, fetch: Fetch) -> dict[str, Any]:
        request = MeasurementRequest.from_dict(payload)
        paths = {file: self._cache.get(file, fetch, 2**30) for file in request.files}
        folder = Path(os.environ["PARETUNE_HOME"])
        (folder.parent / f"{folder.name}-{time.monotonic_ns()}").write_text(request.kind)
        while (folder / "hold").exists():
            time.sleep(0.02)
        if request.kind == "outputs":
            return answer_of(UnsupportedOp("these are no outputs that travel"))
        if request.kind == "peak_memory":
            return {"peak_memory_bytes": 4096}
        assert request.baseline is not None
        baseline, candidate = (paths[file].stat().st_size for file in (request.baseline, request.candidate))
        times = ((4.0,),) * 4, ((4.0 * candidate / baseline,),) * 4
        ratio, interval = pair_ratio(*times, (0, 0, 1, 1))
        return {
            "measurement": Measurement(
                request.profile_digest, request.runtime, "1", *times, (0, 0, 1, 1), ratio, interval, "stable"
            ).to_dict()
        }
