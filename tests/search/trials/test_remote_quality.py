"""Quality of a remote device's candidates: this machine's, unless the device answers something else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contexts import context_of
from inline_search import InlineSandbox
from small_jobs import spec, write_classifier

from dashboards.words.candidates import quality_in_words
from evaluators.runtimes import runtime_of
from evaluators.tensors import Array, Arrays
from evaluators.testing.fake_device import FakeDevice
from hwprofiles.errors import BuildFailed, StageTimeout, UnsupportedOp
from search.fronts.metrics import figures_on, merge_devices
from search.job.spec import parse_job
from search.trials import sandboxed
from search.trials.context import JobContext
from search.trials.quality import QualityEvaluator
from search.trials.remote_quality import RemoteQuality

Answer = Callable[[dict[str, Array]], dict[str, Array] | None]


class Elsewhere(FakeDevice):
    """Answers what this machine does, as ``change`` changes it."""

    def __init__(self, change: Answer) -> None:
        super().__init__(lambda path: 1.0)
        self.change, self.counts = change, []  # type: ignore[var-annotated]

    def outputs(
        self, model: Path, samples: Arrays, *, limit_s: float, runtime: str | None = None
    ) -> dict[str, Array] | None:
        session = runtime_of(self.profile.runtime).open(model)
        found = session.predict(samples)
        session.close()
        self.counts.append(len(next(iter(samples.values()))))
        return self.change(found)


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JobContext:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # waits for no measurement of anyone else
    write_classifier(tmp_path, layers=1)
    job = parse_job(spec(devices=["local-cpu"]), folder=tmp_path)
    return context_of(job, tmp_path)


@pytest.fixture
def judged(order: JobContext) -> Callable[[Answer], tuple[dict[str, Any], Elsewhere]]:
    def judge(change: Answer) -> tuple[dict[str, Any], Elsewhere]:
        device = Elsewhere(change)
        sandbox: Any = InlineSandbox()
        here = QualityEvaluator(sandbox, order, 60.0)
        model = sandboxed.fp32_model(order)
        return RemoteQuality(here, device, sandboxed.sample(order)).evaluate(model).metrics, device

    return judge


Judge = Callable[[Answer], tuple[dict[str, Any], Elsewhere]]


def saturated(outputs: dict[str, Array]) -> dict[str, Array]:
    return {name: np.minimum(values, np.median(values)) for name, values in outputs.items()}


def test_the_same_outputs(judged: Judge) -> None:
    metrics, device = judged(lambda outputs: outputs)
    assert (metrics["quality_from"], metrics["quality_check"]) == ("host", "same outputs")
    assert metrics["cosine"] == pytest.approx(1.0)
    assert device.counts == [1]


def test_rounding_is_no_difference(judged: Judge) -> None:
    metrics, _ = judged(lambda outputs: {name: values * np.float32(1.001) for name, values in outputs.items()})
    assert metrics["quality_check"] == "same outputs"


def test_a_device_that_answers_otherwise_is_asked_for_all(judged: Judge, order: JobContext) -> None:
    metrics, device = judged(saturated)
    assert metrics["quality_from"] == "agent"
    assert metrics["quality_check"].startswith("differs: the device answers otherwise than this machine, by ")
    assert device.counts == [1, len(next(iter(sandboxed.inputs(order, "validation").values())))]
    assert metrics["cosine"] < 0.99
    low, high = metrics["intervals"]["cosine"]
    assert low < metrics["cosine"] < high


def test_a_device_whose_outputs_cannot_all_travel_is_marked(judged: Judge) -> None:
    def change(outputs: dict[str, Array]) -> dict[str, Array]:
        if len(next(iter(outputs.values()))) > 1:
            raise UnsupportedOp("the outputs have 9 bytes, more than the 8 that travel")
        return saturated(outputs)

    metrics, _ = judged(change)
    assert metrics["quality_from"] == "host"
    assert metrics["quality_check"].startswith("differs: ")
    assert metrics["quality_check"].endswith("the agent's quality is not known: the outputs have 9 bytes, more than "
                                             "the 8 that travel")  # fmt: skip


def test_an_earlier_version(judged: Judge) -> None:
    metrics, _ = judged(lambda outputs: None)
    assert metrics["quality_check"] == "not compared: the agent is of an earlier version"


@pytest.mark.parametrize(
    "error", [StageTimeout("took too long"), UnsupportedOp("9 bytes, more than the 8 that travel")]
)
def test_what_cannot_be_compared(judged: Judge, error: Exception) -> None:
    def change(outputs: dict[str, Array]) -> dict[str, Array]:
        raise error

    metrics, _ = judged(change)
    assert metrics["quality_check"].startswith("not compared: ")
    assert metrics["quality_from"] == "host"


@pytest.mark.parametrize("error", [UnsupportedOp("operator X"), BuildFailed("output 'y' holds NaN or infinity")])
def test_what_the_device_cannot_execute_fails_there(judged: Judge, error: Exception) -> None:
    def change(outputs: dict[str, Array]) -> dict[str, Array]:
        raise error

    with pytest.raises(type(error)):
        judged(change)


def test_the_marks_are_each_device_s_own() -> None:
    marked = {"cosine": 0.9, "quality_from": "agent", "quality_check": "differs: by 30 %"}
    both = merge_devices(("here", "pi"), {"here": {"cosine": 0.99}, "pi": marked})
    assert figures_on(both, "pi") == marked
    assert figures_on(both, "here") == {"cosine": 0.99}


def test_it_is_said_in_words() -> None:
    metrics = {"quality_from@pi": "agent", "quality_check@pi": "differs: by 30 %", "cosine": 0.9}
    assert quality_in_words(metrics) == ["quality on pi: of the device's own outputs (differs: by 30 %)"]
    assert quality_in_words({"cosine": 0.9}) == []
