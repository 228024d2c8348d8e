"""The words between a server and its agents: whole there and back, and refused when they are anything else."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.array_archive import pack_arrays, unpack_arrays
from evaluators.devices.request import FileRef, MeasurementRequest, answer_of, error_in, measurement_in, peak_memory_in
from evaluators.measuring.latency import Protocol
from evaluators.measuring.measurement import Measurement, pair_ratio
from hwprofiles.errors import (
    BuildFailed,
    CandidateError,
    DeviceUnavailable,
    InvalidInput,
    ParetuneError,
    StageTimeout,
)

DIGEST = "0123456789abcdef" * 4


def errand(**fields: Any) -> MeasurementRequest:
    known: dict[str, Any] = {
        "kind": "latency", "profile_digest": DIGEST, "threads": 2, "batch": 8, "runtime": "onnxruntime",
        "candidate": FileRef(DIGEST, 10), "sample": FileRef(DIGEST[::-1], 20), "limit_s": 60.0,
        "baseline": FileRef(DIGEST, 10), "protocol": Protocol(),
    }  # fmt: skip
    return MeasurementRequest(**known | fields)


def through_json(value: dict[str, Any]) -> Any:
    return json.loads(json.dumps(value, allow_nan=False))


@pytest.mark.parametrize(
    "asked",
    [
        errand(),
        errand(protocol=Protocol().quick()),
        errand(runtime="openvino:bf16"),
        errand(kind="peak_memory", baseline=None, protocol=None),
    ],
    ids=["latency", "with infinity", "with a hint", "memory"],
)
def test_an_errand_survives_json(asked: MeasurementRequest) -> None:
    assert MeasurementRequest.from_dict(through_json(asked.to_dict())) == asked


def test_each_file_travels_once() -> None:
    assert errand().files == (FileRef(DIGEST, 10), FileRef(DIGEST[::-1], 20))


WRONG: dict[str, Any] = {
    "another kind": {"kind": "shell"},
    "code": {"kind": ["import os"]},
    "a path for a digest": {"candidate": {"sha256": "../../etc/passwd", "size_bytes": 1}},
    "a file without a size": {"candidate": {"sha256": DIGEST}},
    "a negative size": {"candidate": {"sha256": DIGEST, "size_bytes": -1}},
    "no candidate": {"candidate": None},
    "a size that is a flag": {"sample": {"sha256": DIGEST, "size_bytes": True}},
    "no threads": {"threads": 0},
    "threads as text": {"threads": "2"},
    "a batch of a half": {"batch": 0.5},
    "a module for a runtime": {"runtime": "os.system"},
    "a runtime that is no text": {"runtime": 1},
    "an endless limit": {"limit_s": math.inf},
    "no limit": {"limit_s": 0},
    "a limit that is no number": {"limit_s": math.nan},
    "another profile": {"profile_digest": "short"},
    "no protocol": {"protocol": None},
    "another protocol": {"protocol": {"runs": 5}},
    "a protocol of text": {"protocol": Protocol().__dict__ | {"runs": "5"}},
    "a protocol of flags": {"protocol": Protocol().__dict__ | {"runs": True}},
    "a protocol of nothing": {"protocol": Protocol().__dict__ | {"max_s": math.nan}},
    "something more": {"command": "rm"},
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_errand_is_refused(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        MeasurementRequest.from_dict(errand().to_dict() | WRONG[wrong])


@pytest.mark.parametrize("data", [None, [], "errand", 3, {}])
def test_other_things_are_refused(data: Any) -> None:
    with pytest.raises(InvalidInput):
        MeasurementRequest.from_dict(data)


class TestSamples:
    ARRAYS = {  # noqa: RUF012
        "x": np.arange(6, dtype=np.float32).reshape(2, 3),
        "mask": np.array([[True, False]]),
        "ids": np.array([1, 2, 3]),
    }

    def test_there_and_back(self, tmp_path: Path) -> None:
        (tmp_path / "sample").write_bytes(pack_arrays(self.ARRAYS))
        found = unpack_arrays(tmp_path / "sample", 10**6)
        assert found.keys() == self.ARRAYS.keys()
        for name, values in self.ARRAYS.items():
            assert found[name].dtype == values.dtype
            assert np.array_equal(found[name], values)

    def test_inputs_may_have_any_name(self, tmp_path: Path) -> None:
        named = {name: np.ones(3, np.float32) for name in ("file", "allow_pickle", "self", "a/b", "x.npy", "ä")}
        (tmp_path / "sample").write_bytes(pack_arrays(named))
        assert unpack_arrays(tmp_path / "sample", 10**6).keys() == named.keys()

    def test_it_is_what_numpy_writes(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "numpy.npz", **self.ARRAYS)
        assert (tmp_path / "numpy.npz").read_bytes() == pack_arrays(self.ARRAYS)

    def test_the_same_arrays_give_the_same_bytes(self) -> None:
        assert pack_arrays(self.ARRAYS) == pack_arrays(self.ARRAYS)

    def test_text_is_not_pickled(self, tmp_path: Path) -> None:
        (tmp_path / "sample").write_bytes(pack_arrays({"words": np.array([["a", "word"]], dtype=object)}))
        assert unpack_arrays(tmp_path / "sample", 10**6)["words"].tolist() == [["a", "word"]]

    def test_pickles_are_refused(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "sample.npz", evil=np.array([{"a": 1}], dtype=object))
        with pytest.raises(InvalidInput, match="cannot be read"):
            unpack_arrays(tmp_path / "sample.npz", 10**6)

    @pytest.mark.parametrize("junk", [b"", b"junk", b"PK\x05\x06" + bytes(10)])
    def test_junk_is_refused(self, tmp_path: Path, junk: bytes) -> None:
        (tmp_path / "sample").write_bytes(junk)
        with pytest.raises(InvalidInput, match="cannot be read"):
            unpack_arrays(tmp_path / "sample", 10**6)

    def test_what_unpacks_to_too_much_is_refused(self, tmp_path: Path) -> None:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", bytes(20_000_000))
        assert len(file.getvalue()) < 100_000
        (tmp_path / "bomb").write_bytes(file.getvalue())
        with pytest.raises(InvalidInput, match="more than the 1000000"):
            unpack_arrays(tmp_path / "bomb", 10**6)

    @pytest.mark.parametrize("way", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    def test_compressed_ones_are_refused(self, tmp_path: Path, way: int) -> None:
        with zipfile.ZipFile(tmp_path / "sample", "w", way) as archive:
            archive.writestr("x.npy", bytes(1000))
        with pytest.raises(InvalidInput, match="compressed or encrypted"):
            unpack_arrays(tmp_path / "sample", 10**6)

    def test_encrypted_ones_are_refused(self, tmp_path: Path) -> None:
        self._write(tmp_path / "sample", lambda data: data[:8] + b"\x01\x00" + data[10:])
        with pytest.raises(InvalidInput, match="compressed or encrypted"):
            unpack_arrays(tmp_path / "sample", 10**6)

    def test_more_than_the_file_holds_is_refused(self, tmp_path: Path) -> None:
        self._write(tmp_path / "sample", lambda data: data[:24] + b"\x00\x00\x01\x00" + data[28:])
        with pytest.raises(InvalidInput, match="cannot be read"):
            unpack_arrays(tmp_path / "sample", 10**6)

    def _write(self, path: Path, change: Callable[[bytes], bytes]) -> None:
        """A sample whose entry in the archive's directory was changed."""
        data = pack_arrays({"x": np.ones(3, np.float32)})
        at = data.index(b"PK\x01\x02")
        path.write_bytes(data[:at] + change(data[at:]))

    @pytest.mark.parametrize(
        "error", [MemoryError(), RecursionError(), zlib.error("x"), NotImplementedError(), OSError(5, "x")], ids=repr
    )
    def test_whatever_goes_wrong_is_the_sample_s_fault(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        (tmp_path / "sample").write_bytes(pack_arrays(self.ARRAYS))
        monkeypatch.setattr(np.lib.format, "read_array", fail)
        with pytest.raises(InvalidInput, match=f"cannot be read: {type(error).__name__}"):
            unpack_arrays(tmp_path / "sample", 10**6)

    def test_random_changes_never_raise_anything_else(self, tmp_path: Path) -> None:
        whole, rng = pack_arrays(self.ARRAYS), np.random.default_rng(0)
        for _ in range(300):
            data = bytearray(whole)
            for place in rng.integers(0, len(data), 4):
                data[place] = rng.integers(0, 256)
            (tmp_path / "sample").write_bytes(data)
            with suppress(InvalidInput):
                unpack_arrays(tmp_path / "sample", 10**6)


def measurement() -> Measurement:
    baseline, candidate, sessions = ((4.0, 4.1), (4.2, 4.0)), ((2.0, 2.1), (2.1, 2.0)), (0, 1)
    ratio, interval = pair_ratio(baseline, candidate, sessions)
    return Measurement(DIGEST, "onnxruntime", "1.31.1", baseline, candidate, sessions, ratio, interval, "stable")


class TestAnswers:
    @pytest.mark.parametrize("kind", CandidateError.__subclasses__(), ids=lambda kind: kind.__name__)
    def test_a_candidate_s_failure_stays_what_it_is(self, kind: type[CandidateError]) -> None:
        found = error_in(through_json(answer_of(kind("what is wrong", "how to mend it"))))
        assert type(found) is kind
        assert (found.message, found.hint) == ("what is wrong", "how to mend it")

    def test_one_that_nobody_knows_is_the_candidate_s(self) -> None:
        unknown = {"error": {"state": "on fire", "message": "m", "hint": "h"}}
        assert type(error_in(unknown)) is BuildFailed

    def test_any_other_failure_is_the_device_s(self) -> None:
        assert type(error_in(answer_of(ParetuneError("disk full")))) is DeviceUnavailable

    def test_no_failure(self) -> None:
        assert error_in({"peak_memory_bytes": 3}) is None

    @pytest.mark.parametrize("error", ["text", {}, {"state": 3, "message": "", "hint": ""}])
    def test_a_failure_that_cannot_be_read(self, error: Any) -> None:
        assert type(error_in({"error": error})) is BuildFailed

    def test_messages_stay_one_line(self) -> None:
        found = error_in(answer_of(StageTimeout("one\ntwo\x1b[31m" + "x" * 9000)))
        assert found is not None
        assert "\n" not in found.message
        assert len(found.message) <= 2000

    def test_a_measurement(self) -> None:
        whole = measurement()
        found = measurement_in(through_json({"measurement": whole.to_dict()}), errand())
        assert found == replace(whole, moment_ci95=whole.ratio_ci95)

    def test_its_ratio_follows_from_its_samples(self) -> None:
        boast = replace(measurement(), ratio=99.0, ratio_ci95=(98.0, 100.0))
        assert measurement_in({"measurement": boast.to_dict()}, errand()).ratio == measurement().ratio

    def test_what_its_moments_are_worth_stays(self) -> None:
        whole = replace(measurement(), repeat_share=0.05)
        (low, high), (narrow_low, narrow_high) = (
            measurement_in({"measurement": found.to_dict()}, errand()).ratio_ci95 for found in (whole, measurement())
        )
        assert low < narrow_low
        assert narrow_high < high

    @pytest.mark.parametrize(
        "change",
        [
            {"baseline_ms": []},
            {"sessions": [0]},
            {"candidate_ms": [[2.0], [-1.0]]},
            {"candidate_ms": [[2.0], [math.inf]]},
            {"candidate_ms": [[2.0], []]},
            {"candidate_ms": "fast"},
            {"unknown": 1},
            {"candidate_ms": [[2.0], [10**400]]},
            {"candidate_ms": [[2.0], [1e13]]},
            {"candidate_ms": [[2.0], [5e-324]]},
            {"candidate_ms": [[2.0], [True]]},
            {"sessions": [0, 2]},
            {"sessions": [0, -1]},
            {"sessions": [0, 0.5]},
            {"sessions": [0, 10**400]},
            {"sessions": [[0], [1]]},
            {"verdict": "splendid"},
            {"verdict": []},
            {"marks": [1]},
            {"runtime_version": 1},
            {"energy_mj": {"baseline": -1.0, "candidate": 1.0, "source": "rapl"}},
            {"energy_mj": {"baseline": 10**400, "candidate": 1.0, "source": "rapl"}},
            {"energy_mj": {}},
            {"repeat_share": -0.1},
            {"repeat_share": 1.0},
            {"moments": 0},
            {"moments": 1.5},
        ],
        ids=lambda change: str(change)[:60],
    )
    def test_one_that_is_malformed(self, change: dict[str, Any]) -> None:
        with pytest.raises(BuildFailed, match="cannot be read"):
            measurement_in({"measurement": measurement().to_dict() | change}, errand())

    def test_one_of_another_profile(self) -> None:
        with pytest.raises(BuildFailed, match="another profile"):
            measurement_in({"measurement": measurement().to_dict()}, errand(profile_digest=DIGEST[::-1]))

    @pytest.mark.parametrize("runtime", ["openvino", "onnxruntime:f32"])
    def test_one_of_another_runtime(self, runtime: str) -> None:
        found = {"measurement": replace(measurement(), runtime=runtime).to_dict()}
        assert measurement_in(found, errand(runtime=runtime)).runtime == runtime
        with pytest.raises(BuildFailed, match="another runtime"):
            measurement_in(found, errand())

    @pytest.mark.parametrize("found", [None, -1, 1.5, True, "many"])
    def test_memory_that_is_none(self, found: Any) -> None:
        assert peak_memory_in({"peak_memory_bytes": 4096}) == 4096
        with pytest.raises(BuildFailed):
            peak_memory_in({"peak_memory_bytes": found})
