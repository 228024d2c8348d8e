"""Speed-up of a whole changed model on a device: other kernels, another graph, one precision everywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from evaluators.devices.device import Device
from evaluators.graphs.model import save_model
from evaluators.measuring.latency import LatencyRequest
from evaluators.probing.answers import Answer, failure_of, no_gain
from evaluators.probing.questions import QUICK, look_up_answer, measure_gain
from hwprofiles import digest_of
from hwprofiles.errors import CandidateError, DeviceUnavailable, NotAsked, UnhealthyMeasurement, transient_states
from search.devices.link import DeviceLost
from search.json_cache import JsonCache
from search.subject import Subject

VERSION = 2
"""Part of every cached answer's name; raised when the measurement changes."""

LIMIT_S = 120.0

UNAVAILABLE = "unavailable"

_TRANSIENT = (UNAVAILABLE, *transient_states())
"""Transient failures, which are measured again by the next job. A model that takes too long is not one of them."""


class WholeModel:
    """Measures variants of one model with the quick protocol, always against fp32 in the device's first runtime.

    Answers are cached under all that they depend on; those of a busy machine are measured again by the next job. Used
    from one thread.
    """

    def __init__(self, subject: Subject, device: Device) -> None:
        self.subject, self.device = subject, device
        self._cache = JsonCache(subject.cache / "gains")
        self._sample = subject.sample_of(device.profile)
        shapes = {name: list(values.shape) for name, values in self._sample.items()}
        self._conditions = [self.device.profile.digest, shapes, repr(asdict(QUICK))]

    def measure_gain(
        self, question: Sequence[Any], build: Callable[[], onnx.ModelProto], runtime: str, limit_s: float = LIMIT_S
    ) -> Answer:
        """Measures the speed-up of the model that ``build`` makes in ``runtime``, or returns the cached answer.

        ``question`` (JSON-able) names that model. Raises :class:`DeviceLost`; every other failure is an answer.
        """
        name = digest_of([VERSION, self.subject.digest, list(question), runtime, *self._conditions])
        cached = look_up_answer(name, self.subject.transient, self._cache)
        if cached is not None:
            return cached
        answer = self._measure(build, runtime, limit_s)
        transient = answer.pop("transient", False) or failure_of(answer) in _TRANSIENT
        (self.subject.transient if transient else self._cache)[name] = answer
        return answer

    def _measure(self, build: Callable[[], onnx.ModelProto], runtime: str, limit_s: float) -> Answer:
        with tempfile.TemporaryDirectory(prefix="paretune-model-") as folder:
            baseline, candidate = self.subject.baseline, Path(folder) / "candidate.onnx"
            try:
                self.device.check_time()
                if baseline is None:
                    baseline = Path(folder) / "baseline.onnx"
                    save_model(self.subject.model, baseline)
                save_model(build(), candidate)
                request = LatencyRequest(baseline, candidate, self._sample, QUICK, limit_s, runtime)
                return measure_gain(self.device, request)
            except CandidateError as error:
                return no_gain(error)
            except DeviceLost:
                raise
            except DeviceUnavailable as error:
                return {"reason": f"{UNAVAILABLE}: {error.message}", "state": UNAVAILABLE}


def runs(answer: Answer) -> bool:
    """Returns whether the device executes the model, however fast; true also if it was too noisy to measure, or not
    asked."""
    return "ci95" in answer or failure_of(answer) in (UnhealthyMeasurement.state, NotAsked.state)


def silent(answer: Answer) -> bool:
    """Returns whether the device gave no answer because of a transient failure: nothing can be concluded."""
    return "ci95" not in answer and failure_of(answer) in _TRANSIENT


def slower(answer: Answer, than: float) -> bool:
    """Returns whether the speed-up is clearly below ``than``, or the model failed for a reason of its own."""
    return not silent(answer) and ("ci95" not in answer or answer["ci95"][1] < than)


def worth_trying(answer: Answer, than: float, *, small: bool) -> bool:
    """Returns whether a precision stays in the search, given the whole model's answer.

    It does if its speed-up is not clearly below ``than``, if it runs and ``small`` candidates are wanted, or if there
    was no answer.
    """
    return silent(answer) or not slower(answer, than) or (small and runs(answer))
