"""A finished search beside settings tried by hand, measured by the same protocol and with the same quality."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from hand_settings import HandSettings
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from evaluators.devices.device import LocalDevice
from evaluators.measuring.latency import LatencyRequest, Protocol
from hwprofiles.errors import CandidateError
from search.job.devices import JobDevice
from search.job.spec import Job
from search.store import Store
from search.trials.context import JobContext
from search.trials.scoring import Scoring
from search.trials.workspace import Workspace

BRIEF = replace(Protocol(), min_pairs=5, max_s=10.0, usable_width=math.inf)
"""An answer for every setting, however wide its interval: the rows have it."""
FAILURES = (
    CandidateError, RuntimeError, ValueError, AssertionError, KeyError, IndexError, onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError, errors.Fail, errors.InvalidArgument, errors.InvalidGraph,
    errors.NotImplemented, errors.RuntimeException,
)  # fmt: skip
"""What the runtime's tools raise for a model that they cannot change."""


@dataclass(frozen=True)
class Comparison:
    """Rows of the front and of every setting, and the names of the settings that no member of the front equals."""

    rows: list[dict[str, Any]]

    @property
    def better(self) -> list[str]:
        """Settings that beat the front."""
        return [row["name"] for row in self.rows if row["beats_front"]]


def compare(
    store: Store, job_id: str, *, heads: int | None = None, hidden: int | None = None, simple: bool = False
) -> Comparison:
    """The front of a finished job of task ``onnx`` beside hand settings of its model: all of them, or the ``simple``
    ones alone."""
    row = store.jobs.get(job_id)
    job, folder = Job.model_validate(row.spec), Path(row.spec_folder)
    ids = (store.fronts.get(row.job_id) or {"members": []})["members"]
    members = [store.trials.get(name).metrics for name in ids]
    rows = [
        _row("front", name, metrics["cosine"], metrics["speedup"]) for name, metrics in zip(ids, members, strict=True)
    ]
    profile = store.devices.profile(row.profile_digest)
    workspace = Workspace(JobContext(job, row.spec_folder, (JobDevice(row.device, profile),)))
    workspace.model  # noqa: B018 - written on first use, where the cache has lost it
    device = LocalDevice(profile)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            source = folder / job.task.options["model"]
            hand = HandSettings(source, workspace.task.inputs("calibration"), Path(temporary), heads, hidden)
            for name, build in hand.simple() if simple else hand.all():
                rows.append(_tried(name, build, workspace, device, members))
                print(rows[-1], file=sys.stderr, flush=True)
    finally:
        device.close()
    return Comparison(rows)


def _tried(
    name: str, build: Any, workspace: Workspace, device: LocalDevice, members: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    try:
        path = build()
        cosine = Scoring(workspace).quality(path, "validation").metrics["cosine"]
        measured = device.measure(
            LatencyRequest(workspace.baseline_path, path, workspace.sample, protocol=BRIEF, limit_s=300)
        )
    except FAILURES as error:
        failed = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        return _row("by hand", name, np.nan, {"ratio": np.nan, "ci95": [np.nan, np.nan]}, failed)
    row = _row("by hand", name, cosine, measured.metrics()["speedup"])
    row["beats_front"] = int(not any(_covers(member, row) for member in members))
    return row


def _row(kind: str, name: str, cosine: float, speedup: Mapping[str, Any], failed: str = "") -> dict[str, Any]:
    low, high = speedup["ci95"]
    return {
        "kind": kind, "name": name, "cosine": round(cosine, 6), "ratio": round(speedup["ratio"], 4),
        "low": round(low, 4), "high": round(high, 4), "beats_front": 0, "failed": failed,
    }  # fmt: skip


def _covers(member: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether a member is as true (to the fourth digit of a cosine) and not clearly slower."""
    return bool(member["cosine"] >= row["cosine"] - 1e-4 and member["speedup"]["ci95"][1] >= row["low"])
