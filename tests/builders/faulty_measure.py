"""What a measuring process may do instead of measuring, for the files that it does to; importable in that process."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from number_formats import number_formats

from evaluators.devices import device
from evaluators.measuring.attempt import Attempt
from evaluators.measuring.latency import LatencyRequest
from evaluators.measuring.measurement import Measurement
from hwprofiles.errors import UnhealthyMeasurement, UnsupportedOp

_measure, _peak_memory = device.measure_once, device.measure_peak_memory


def measure(profile: Any, request: LatencyRequest, memory: Path) -> Attempt[Measurement]:
    """Dies, hangs and fails by number format; measures the rest. Questions about single layers are all answered."""
    formats = number_formats(request.candidate) if request.candidate.name != "candidate.onnx" else set()
    if "dynamic" in formats:
        os.kill(os.getpid(), signal.SIGKILL)
    if "8 bits" in formats:
        time.sleep(3600)
    if "4 bits" in formats:
        raise UnhealthyMeasurement("the interval is still wide", "quieten the machine")
    if formats:
        raise UnsupportedOp("no kernel for this")
    return _measure(profile, request, memory)


def peak_memory(profile: Any, runtime: str, model: Path, sample: Any) -> int:
    """Dies for quantised files."""
    if number_formats(model):
        os.kill(os.getpid(), signal.SIGKILL)
    return _peak_memory(profile, runtime, model, sample)
