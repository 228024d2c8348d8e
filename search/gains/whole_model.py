"""What a device gains when the whole model changes: other kernels, another graph, one precision everywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from evaluators.devices.device import Device
from evaluators.graphs.model import save_model
from evaluators.probing.questions import QUICK, Answer, look_up_answer, measure_gain, no_gain
from hwprofiles import digest_of
from hwprofiles.errors import CandidateError, DeviceUnavailable, NotAsked, UnhealthyMeasurement, transient_states
from search.devices.link import DeviceLost
from search.json_cache import JsonCache
from search.subject import Subject

VERSION = 2
"""Part of every answer's name; raised when what is asked changes."""

LIMIT_S = 120.0

UNAVAILABLE = "unavailable"

_PASSING = (UNAVAILABLE, *transient_states())
"""Failures of the moment, which are asked about again the next time. A model that takes too long is not among them."""


class WholeModel:
    """Asks a device about one model, by the quick protocol, always against fp32 in the device's first runtime. Answers
    lie in the cache under all that they depend on; those of a busy moment are asked for again by the next job.

    Used from one thread.
    """

    def __init__(self, subject: Subject, device: Device) -> None:
        self.subject, self.device = subject, device
        self._known = JsonCache(subject.cache / "gains")
        self._sample = subject.sample_of(device.profile)
        shapes = {name: list(values.shape) for name, values in self._sample.items()}
        self._asked_how = [self.device.profile.digest, shapes, repr(asdict(QUICK))]

    def gain(
        self, question: Sequence[Any], build: Callable[[], onnx.ModelProto], runtime: str, limit_s: float = LIMIT_S
    ) -> Answer:
        """What the model that ``build`` makes gains in ``runtime``; ``question`` (JSON-able) names what was built.

        Raises :class:`DeviceLost`; every other failure is an answer.
        """
        name = digest_of([VERSION, self.subject.digest, list(question), runtime, *self._asked_how])
        known = look_up_answer(name, self.subject.passing, self._known)
        if known is not None:
            return known
        answer = self._asked(build, runtime, limit_s)
        passing = answer.pop("transient", False) or answer.get("reason", "").startswith(_PASSING)
        (self.subject.passing if passing else self._known)[name] = answer
        return answer

    def _asked(self, build: Callable[[], onnx.ModelProto], runtime: str, limit_s: float) -> Answer:
        with tempfile.TemporaryDirectory(prefix="paretune-model-") as folder:
            baseline, candidate = self.subject.baseline, Path(folder) / "candidate.onnx"
            try:
                self.device.check_time()
                if baseline is None:
                    baseline = Path(folder) / "baseline.onnx"
                    save_model(self.subject.model, baseline)
                save_model(build(), candidate)
                return measure_gain(self.device, baseline, candidate, self._sample, runtime, limit_s=limit_s)
            except CandidateError as error:
                return no_gain(error)
            except DeviceLost:
                raise
            except DeviceUnavailable as error:
                return {"reason": f"{UNAVAILABLE}: {error.message}"}


def runs(answer: Answer) -> bool:
    """Whether the device executes it, however fast; a device too noisy to say how fast does, and one that was not asked
    may."""
    return "ci95" in answer or str(answer.get("reason", "")).startswith((UnhealthyMeasurement.state, NotAsked.state))


def silent(answer: Answer) -> bool:
    """Whether the device gave no answer at all: the moment was to blame, so that nothing may be concluded."""
    return "ci95" not in answer and str(answer.get("reason", "")).startswith(_PASSING)


def slower(answer: Answer, than: float) -> bool:
    """Whether it is clearly slower than this ratio, or gave no ratio at a moment that let it answer."""
    return not silent(answer) and ("ci95" not in answer or answer["ci95"][1] < than)


def worth_trying(answer: Answer, than: float, *, small: bool) -> bool:
    """Whether a whole model's answer is a reason to search in a precision, or at least none to leave it out: it is not
    clearly slower than this ratio; where ``small`` is wanted, it runs; or there was no answer."""
    return silent(answer) or not slower(answer, than) or (small and runs(answer))
