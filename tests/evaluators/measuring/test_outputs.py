"""What a model answers elsewhere: how it travels, what is refused, and when it is another answer."""

from __future__ import annotations

import base64
import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from small_jobs import classifier

from evaluators.array_archive import pack_arrays
from evaluators.devices.device import LocalDevice
from evaluators.measuring import outputs
from evaluators.measuring.outputs import ROUNDING, difference, outputs_answer, outputs_in
from hwprofiles import find_device
from hwprofiles.errors import BuildFailed, UnsupportedOp

ARRAYS = {"logits": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4), "label": np.array([1, 2, 3])}


class TestTravel:
    def test_there_and_back(self) -> None:
        found = outputs_in(outputs_answer(ARRAYS))
        assert list(found) == list(ARRAYS)
        for name, values in ARRAYS.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)

    def test_too_much_is_not_sent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outputs, "MAX_OUTPUT_BYTES", 1000)
        with pytest.raises(UnsupportedOp, match="more than the allowed 1000"):
            outputs_answer({"y": np.zeros(1000, np.float32)})

    def test_too_much_is_not_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = outputs_answer(ARRAYS)
        monkeypatch.setattr(outputs, "MAX_OUTPUT_BYTES", 100)
        with pytest.raises(BuildFailed, match="size or SHA-256 is wrong"):
            outputs_in(answer)

    @pytest.mark.parametrize(
        "wrong",
        [
            None, 7, {}, {"npz": "", "sha256": "", "more": 1}, {"npz": 7, "sha256": ""},
            {"npz": "not base64 !", "sha256": ""}, {"npz": "ä", "sha256": ""},
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_none(self, wrong: Any) -> None:
        with pytest.raises(BuildFailed, match="the agent sent outputs"):
            outputs_in({"outputs": wrong})

    def test_other_bytes_than_their_digest_says(self) -> None:
        answer = outputs_answer(ARRAYS)
        answer["outputs"]["sha256"] = "0" * 64
        with pytest.raises(BuildFailed, match="size or SHA-256 is wrong"):
            outputs_in(answer)

    def test_junk_with_the_right_digest(self) -> None:
        data = pack_arrays(ARRAYS)[:-30]
        text, digest = base64.b64encode(data).decode(), hashlib.sha256(data).hexdigest()
        with pytest.raises(BuildFailed, match="cannot be read"):
            outputs_in({"outputs": {"npz": text, "sha256": digest}})


class TestDifference:
    def test_of_the_same(self) -> None:
        assert difference(ARRAYS, ARRAYS) == 0.0
        assert difference({}, {}) == 0.0

    def test_rounding(self) -> None:
        rng = np.random.default_rng(0)
        here = rng.normal(size=(4, 100)).astype(np.float32)
        for dtype in (np.float32, np.float16):
            assert difference({"y": here}, {"y": here.astype(dtype)}) < ROUNDING / 10

    def test_saturation(self) -> None:
        """A tenth of the values is cut off at two thirds."""
        here = np.random.default_rng(0).normal(size=(4, 100)).astype(np.float32)
        there = np.minimum(here, 1.3 * 2 / 3)
        assert difference({"y": here}, {"y": there}) > 10 * ROUNDING

    def test_a_share_of_the_labels(self) -> None:
        assert difference({"label": np.array([1, 2, 3, 4])}, {"label": np.array([1, 2, 3, 5])}) == 0.25
        assert difference({"word": np.array(["a", "b"])}, {"word": np.array(["a", "c"])}) == 0.5

    def test_the_largest_of_several(self) -> None:
        there = {**ARRAYS, "label": np.array([1, 2, 4])}
        assert difference(ARRAYS, there) == pytest.approx(1 / 3)

    @pytest.mark.parametrize(
        "there",
        [
            {"z": np.ones((1, 2), np.float32)}, {"y": np.ones((2, 1), np.float32)}, {},
            {"y": np.array([[1.0, math.nan]], np.float32)},
        ],
        ids=["names", "shapes", "none", "nan"],
    )  # fmt: skip
    def test_what_cannot_be_compared(self, there: dict[str, Any]) -> None:
        assert difference({"y": np.ones((1, 2), np.float32)}, there) == math.inf

    def test_zeros(self) -> None:
        zeros = {"y": np.zeros((1, 2), np.float32)}
        assert difference(zeros, zeros) == 0.0
        assert difference(zeros, {"y": np.ones((1, 2), np.float32)}) == math.inf


def test_a_device_answers_in_its_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # waits for no measurement of anyone else
    onnx.save(classifier(1), tmp_path / "model.onnx")
    device = LocalDevice(find_device("local-cpu", batch=2))
    found = device.outputs(tmp_path / "model.onnx", {"x": np.ones((5, 16), np.float32)}, limit_s=60.0)
    device.close()
    assert {len(values) for values in found.values()} == {5}
