"""What the measuring process asks of whom: energy on a machine that is fit for it, and engines built alike."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.health import Health, Tolerance
from evaluators.measuring import process
from evaluators.measuring.latency import LatencyRequest, Protocol
from evaluators.measuring.measurement import Measurement
from evaluators.measuring.process import measure_load_once, measure_once
from evaluators.measuring.throughput import Load
from hwprofiles import Profile, find_device

ENERGY = {"baseline": 50.0, "candidate": 20.0, "source": "rapl"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"a model")
    return path


@pytest.fixture
def profile() -> Profile:
    return find_device("local-cpu")


@pytest.fixture(autouse=True)
def stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "pin", lambda profile: ((), profile.cores))


class TestEnergy:
    """``verdicts`` are the machine's while the latency is measured, and while energy is."""

    def measured(
        self, monkeypatch: pytest.MonkeyPatch, profile: Profile, model: Path, *verdicts: str, energy_s: float = 0.5
    ) -> tuple[dict[str, Any] | None, int]:
        """The record's energy, and how many watches there were."""
        made: list[str] = []

        def watch(*_: object) -> Any:
            made.append(verdicts[len(made)])
            health = Health(made[-1])
            return SimpleNamespace(look=lambda: None, health=lambda **_: health)

        record = Measurement(
            profile.digest, profile.runtime, "1", ((1.0,),) * 2, ((1.0,),) * 2, (0, 1), 1.0, (0.9, 1.1), "stable"
        )
        for name, value in {
            "_watch": watch,
            "_openers": lambda *_: (None, None),
            "measure_pair": lambda *_, **__: record,
            "find_meter": lambda *_: object(),
            "measure_energy": lambda *_, **__: ENERGY,
        }.items():
            monkeypatch.setattr(process, name, value)
        protocol = Protocol(energy_s=energy_s)
        attempt = measure_once(profile, LatencyRequest(model, model, {}, protocol, limit_s=60), model.parent)
        assert attempt.record is not None
        return attempt.record.energy_mj, len(made)

    def test_of_a_machine_that_stays_healthy(
        self, monkeypatch: pytest.MonkeyPatch, profile: Profile, model: Path
    ) -> None:
        assert self.measured(monkeypatch, profile, model, "healthy", "healthy") == (ENERGY, 2)

    @pytest.mark.parametrize("verdict", ["contended", "throttled", "unknown"])
    def test_none_of_one_that_was_not_meanwhile(
        self, monkeypatch: pytest.MonkeyPatch, profile: Profile, model: Path, verdict: str
    ) -> None:
        """What others used would be counted as the models'."""
        assert self.measured(monkeypatch, profile, model, "healthy", verdict) == (None, 2)

    @pytest.mark.parametrize("verdict", ["contended", "throttled", "drifted"])
    def test_it_is_not_tried_in_an_attempt_that_is_set_aside(
        self, monkeypatch: pytest.MonkeyPatch, profile: Profile, model: Path, verdict: str
    ) -> None:
        assert self.measured(monkeypatch, profile, model, verdict) == (None, 1)

    def test_nor_where_nobody_wants_it(self, monkeypatch: pytest.MonkeyPatch, profile: Profile, model: Path) -> None:
        assert self.measured(monkeypatch, profile, model, "healthy", energy_s=0.0) == (None, 1)


class TestSteadiness:
    """A ratio that moves while it is measured is made again, as one on a machine that drifted."""

    @pytest.mark.parametrize(("moves_by", "drift", "verdict"), [(1.0, True, "healthy"), (1.1, True, "drifted"),
                                                                (1.1, False, "healthy")])  # fmt: skip
    def test_it_is_judged_with_the_machine(
        self, monkeypatch: pytest.MonkeyPatch, profile: Profile, model: Path, moves_by: float, drift: bool, verdict: str
    ) -> None:
        baseline = ((4.0,),) * 8 + ((4.0 * moves_by,),) * 8
        record = Measurement(
            profile.digest, profile.runtime, "1", baseline, ((4.0,),) * 16, tuple(range(16)), 1.0, (0.9, 1.1), "stable"
        )

        def health(drift_share: float | None = None, shift_share: float | None = None) -> Health:
            return Tolerance().judge({"others_share": 0.0, "shift_share": shift_share or 0.0}, ())

        monkeypatch.setattr(process, "_watch", lambda *_: SimpleNamespace(look=lambda: None, health=health))
        monkeypatch.setattr(process, "_openers", lambda *_: (None, None))
        monkeypatch.setattr(process, "measure_pair", lambda *_, **__: record)
        protocol = Protocol(energy_s=0.0, drift=drift)
        attempt = measure_once(profile, LatencyRequest(model, model, {}, protocol, limit_s=60), model.parent)
        assert attempt.health.verdict == verdict


class TestBuilds:
    """Two builds of an engine differ: a baseline of one build would bias every ratio alike."""

    @pytest.fixture(autouse=True)
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The runtimes that files were opened in, the baseline's first."""
        asked: list[str] = []

        def runtime_of(spec: str) -> Any:
            def opened(model: Path, *, threads: int) -> None:
                asked.append(spec)

            return SimpleNamespace(name=spec, hint="", open=opened, check_placement=lambda *_, **__: None)

        def load(open_baseline: Any, open_candidate: Any, *_: Any, **__: Any) -> None:
            open_baseline()
            open_candidate()

        monkeypatch.setattr(process, "runtime_of", runtime_of)
        monkeypatch.setattr(process, "measure_load", load)
        return asked

    @pytest.mark.parametrize(
        ("first", "spec", "opened"),
        [
            ("tensorrt", "tensorrt", ["tensorrt", "tensorrt"]),
            ("tensorrt", "tensorrt:twice", ["tensorrt:twice", "tensorrt:twice"]),
            ("tensorrt", "tensorrt:tf32-twice", ["tensorrt:twice", "tensorrt:tf32-twice"]),
            ("tensorrt", "onnxruntime:cuda", ["tensorrt:twice", "onnxruntime:cuda"]),
            ("onnxruntime", "openvino:bf16", ["onnxruntime", "openvino:bf16"]),
        ],
    )
    def test_the_baseline_has_as_many_as_the_candidate(
        self, asked: list[str], profile: Profile, model: Path, first: str, spec: str, opened: list[str]
    ) -> None:
        measure_load_once(replace(profile, runtime=first), spec, model, model, {}, Load())
        assert asked == opened
