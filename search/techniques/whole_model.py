"""What a device gains when the whole model changes: other kernels, another graph, one precision everywhere."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx

from evaluators.device import Device
from evaluators.layer_answers import QUICK, Answer, measured_gain, no_gain, remembered
from evaluators.onnx_model import save_model
from hwprofiles import digest_of
from hwprofiles.errors import CandidateError, DeviceUnavailable, NotAsked, UnhealthyMeasurement, passing_states
from search.answers import StoredAnswers
from search.errand_link import DeviceLost
from search.techniques.base import Subject

VERSION = 2
"""Part of every answer's name; raised when what is asked changes."""

LIMIT_S = 120.0

UNAVAILABLE = "unavailable"

_PASSING = (UNAVAILABLE, *passing_states())
"""Failures of the moment, which are asked about again the next time. A model that takes too long is not among them."""


class WholeModel:
    """Asks a device about one model, by the quick protocol, always against fp32 in the device's first runtime. Answers
    lie in the cache under all that they depend on; those of a busy moment are asked for again by the next job.

    Used from one thread.
    """

    def __init__(self, subject: Subject, device: Device) -> None:
        self.subject, self.device = subject, device
        self._known = StoredAnswers(subject.cache / "gains")
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
        known = remembered(name, self.subject.passing, self._known)
        if known is not None:
            return known
        answer = self._asked(build, runtime, limit_s)
        passing = answer.pop("passing", False) or answer.get("reason", "").startswith(_PASSING)
        (self.subject.passing if passing else self._known)[name] = answer
        return answer

    def _asked(self, build: Callable[[], onnx.ModelProto], runtime: str, limit_s: float) -> Answer:
        with tempfile.TemporaryDirectory(prefix="paretune-model-") as folder:
            baseline, candidate = Path(folder) / "baseline.onnx", Path(folder) / "candidate.onnx"
            try:
                self.device.check_time()
                save_model(self.subject.model, baseline)
                save_model(build(), candidate)
                return measured_gain(self.device, baseline, candidate, self._sample, runtime, limit_s=limit_s)
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


def slower(answer: Answer, than: float) -> bool:
    """Whether it is clearly slower than this ratio, or gave no ratio at all although it was asked."""
    return not was_not_asked(answer) and ("ci95" not in answer or answer["ci95"][1] < than)


def was_not_asked(answer: Answer) -> bool:
    """Whether there was no time for the question: silence leaves nothing out of a space."""
    return str(answer.get("reason", "")).startswith(NotAsked.state)
