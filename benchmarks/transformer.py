"""A search against an engineer's afternoon: the default job on a transformer encoder, and every setting tried by hand.

    python benchmarks/transformer.py [MINUTES [JOB]]

Searches ``examples/onnx.yaml`` (a 6-layer encoder, hidden 384, 128 tokens), then builds the settings that a user of
ONNX Runtime would try (dynamic or static int8, per tensor or per channel, of all operators or the matrix products
alone, 8- and 4-bit weights, each with and without the runtime's transformer fusions) with ONNX Runtime's own tools, and
measures each with the same protocol and the same quality. JOB is a finished job to compare with.

To hold: the front has a candidate at least 1.8x faster at cosine 0.99 or better, and no setting beats the front: for
each there is a member at least as true and as fast.
"""

from __future__ import annotations

import json
import logging
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from benchmarks_path import ROOT
from lines import Lines
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
    shape_inference,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers import optimizer
from rows import write_rows

from evaluators.device import LocalDevice
from evaluators.latency import Protocol
from hwprofiles.errors import CandidateError
from search.controller import Controller, submit
from search.folders import default_database
from search.job import load_job, parse_job
from search.store import Store
from search.work_order import WorkOrder
from search.workspace import Workspace

FLOAT = {"DefaultTensorType": onnx.TensorProto.FLOAT}
BRIEF = Protocol(min_pairs=5, max_s=10.0, usable_width=math.inf)
"""An answer for every setting, however wide its interval: the rows have it."""
MATRIX = ["MatMul", "Gemm"]


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Feeds of single samples."""

    def __init__(self, arrays: dict[str, Any], count: int = 64) -> None:
        self._feeds = iter([{name: values[i : i + 1] for name, values in arrays.items()} for i in range(count)])

    def get_next(self) -> dict[str, Any] | None:
        """See the base class."""
        return next(self._feeds, None)


def settings(source: Path, arrays: dict[str, Any], folder: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    """Names and builders of every setting tried by hand."""

    def fused() -> Path:
        found = optimizer.optimize_model(str(source), model_type="bert", num_heads=12, hidden_size=384, opt_level=0)
        found.save_model_to_file(str(folder / "fused.onnx"))
        return folder / "fused.onnx"

    def inferred(path: Path) -> Path:
        shape_inference.quant_pre_process(str(path), str(folder / "inferred.onnx"), skip_symbolic_shape=True)
        return folder / "inferred.onnx"

    for graph, make in (("plain", lambda: source), ("fused", fused)):
        yield f"{graph} fp32", make
        for channel in (False, True):
            kind = "per channel" if channel else "per tensor"
            for weights in (QuantType.QInt8, QuantType.QUInt8):

                def dynamic(make: Any = make, channel: bool = channel, weights: Any = weights) -> Path:
                    path = folder / "candidate.onnx"
                    quantize_dynamic(make(), path, per_channel=channel, weight_type=weights, extra_options=FLOAT)
                    return path

                yield f"{graph} dynamic {weights} weights {kind}", dynamic
            for operators in (MATRIX, None):
                for activations in (QuantType.QUInt8, QuantType.QInt8):

                    def static(
                        make: Any = make,
                        channel: bool = channel,
                        operators: Any = operators,
                        activations: Any = activations,
                    ) -> Path:
                        path = folder / "candidate.onnx"
                        quantize_static(
                            inferred(make()) if make() == source else make(), path, Calibration(arrays),
                            quant_format=QuantFormat.QDQ, per_channel=channel, activation_type=activations,
                            weight_type=QuantType.QInt8, op_types_to_quantize=operators, extra_options=FLOAT,
                        )  # fmt: skip
                        return path

                    yield (
                        f"{graph} static {activations} {'all operators' if operators is None else 'products'} {kind}",
                        static,
                    )
        for bits in (8, 4):

            def weight_only(make: Any = make, bits: int = bits) -> Path:
                path = folder / "candidate.onnx"
                quantizer = MatMulNBitsQuantizer(onnx.load(make()), bits=bits, block_size=32, is_symmetric=True)
                quantizer.process()
                quantizer.model.save_model_to_file(str(path))
                return path

            yield f"{graph} {bits}-bit weights", weight_only


def main(minutes: float, job_id: str | None) -> None:
    """Searches (or takes a job that has searched already), tries by hand, compares."""
    logging.disable(logging.WARNING)
    examples = ROOT / "examples"
    if not (examples / "encoder.onnx").exists():
        subprocess.run([sys.executable, str(examples / "make_encoder.py")], check=True)
    spec = load_job(examples / "onnx.yaml")
    spec = parse_job(spec.model_dump(mode="json") | {"budget": {"trials": 200, "minutes": minutes}}, folder=examples)
    store = Store(default_database())
    if job_id is None:
        job_id = submit(store, spec, examples)
        Controller(store, job_id, Lines()).run()
    job_id = store.job(job_id).job_id
    document = store.front(job_id)
    members = [store.trial(member) for member in (document or {})["members"]]
    trials = store.trials(job_id)
    rows = [
        _row("front", member.candidate_id, member.metrics["cosine"], member.metrics["speedup"], "")
        for member in members
    ]
    workspace = Workspace(WorkOrder(json.dumps(spec.model_dump(mode="json")), str(examples), spec.profile))
    arrays = workspace.task.inputs("calibration")
    device = LocalDevice(spec.profile)
    with tempfile.TemporaryDirectory() as folder:
        for name, build in settings(examples / "encoder.onnx", arrays, Path(folder)):
            try:
                path = build()
                quality = workspace.quality(path, "validation")
                found = device.measure(workspace.baseline_path, path, workspace.sample, protocol=BRIEF, limit_s=300)
                row = _row("by hand", name, quality.metrics["cosine"], found.metrics()["speedup"], "")
            except (CandidateError, RuntimeError, ValueError, AssertionError, onnx.checker.ValidationError) as error:
                row = _row(
                    "by hand",
                    name,
                    np.nan,
                    {"ratio": np.nan, "ci95": [np.nan, np.nan]},
                    f"{type(error).__name__}: {error}".splitlines()[0][:120],
                )
            row["beats_front"] = int(not np.isnan(row["cosine"]) and not any(_covers(m.metrics, row) for m in members))
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    device.close()
    path = write_rows("transformer", spec.profile, rows)
    good = max((r["ratio"] for r in rows if r["kind"] == "front" and r["cosine"] >= 0.99), default=0.0)
    beaten = [row["name"] for row in rows if row["beats_front"]]
    print(f"{len(trials)} trials; best at cosine 0.99 or better: {good:.2f}x; settings that beat the front: {beaten}")
    print(f"rows: {path.relative_to(ROOT)}")
    store.close()


def _row(kind: str, name: str, cosine: float, speedup: dict[str, Any], failed: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "cosine": round(cosine, 6),
        "ratio": round(speedup["ratio"], 4),
        "low": round(speedup["ci95"][0], 4),
        "high": round(speedup["ci95"][1], 4),
        "beats_front": 0,
        "failed": failed,
    }


def _covers(member: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a member is as true (to the fourth digit of a cosine) and not clearly slower."""
    return member["cosine"] >= row["cosine"] - 1e-4 and member["speedup"]["ci95"][1] >= row["low"]


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0, sys.argv[2] if len(sys.argv) > 2 else None)
