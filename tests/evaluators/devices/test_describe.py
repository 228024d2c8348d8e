"""A machine described by what it reaches, for another one to model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluators.devices import describe as module
from evaluators.devices.describe import describe
from evaluators.devices.reference_models import (
    PRODUCT_OPERATIONS,
    READ_BYTES,
    write_chain,
    write_product,
    write_reading,
)
from evaluators.runtimes import OnnxRuntime
from evaluators.testing.fake_device import FakeDevice
from hwprofiles import find_device
from hwprofiles.description import parse_description
from hwprofiles.errors import UnsupportedOp


@pytest.mark.parametrize("name", ["chain", "product", "integers", "reading"])
def test_reference_models_run(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.onnx"
    feed = {
        "chain": write_chain,
        "product": lambda path: write_product(path, integers=False),
        "integers": lambda path: write_product(path, integers=True),
        "reading": write_reading,
    }[name](path)
    session = OnnxRuntime().open(path)
    try:
        (output,) = session.run(feed).values()
    finally:
        session.close()
    assert np.isfinite(output).all()
    assert output.any()


def test_figures_follow_from_times(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = find_device("local-cpu")
    ratios = iter((20, 50, 80))  # the faster one of 1 ms and of so much less
    monkeypatch.setattr(module, "open_device", lambda p: FakeDevice(lambda path: next(ratios), profile=p))
    found = describe("here", profile)
    rates = {name: figure.value for name, figure in found.operations_per_s}
    assert rates == {
        "fp32": pytest.approx(PRODUCT_OPERATIONS / (1e-3 / 20), rel=0.005),
        "int8": pytest.approx(PRODUCT_OPERATIONS / (1e-3 / 50), rel=0.005),
    }
    assert found.bytes_per_s.value == pytest.approx(READ_BYTES / (1e-3 / 80), rel=0.005)
    assert all(profile.runtime in figure.source for _, figure in found.operations_per_s)
    assert parse_description(found.to_toml(), "again") == found
    assert found.profile().simulated


def test_a_runtime_without_products_of_integers(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0.1, UnsupportedOp("no MatMulInteger"), 0.1))

    def speed(path: Path) -> float:
        answer = next(times)
        if isinstance(answer, UnsupportedOp):
            raise answer
        return answer

    monkeypatch.setattr(module, "open_device", lambda p: FakeDevice(speed, profile=p))
    assert [name for name, _ in describe("here", find_device("local-cpu")).operations_per_s] == ["fp32"]
