"""Whether int8 weights use only 7 bits: for processors whose sums of products saturate in 16 bits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from evaluators.graphs.model import save_model
from evaluators.measuring.quality import fidelity
from evaluators.probing.answers import Answer
from evaluators.processes.sandbox_child import report
from hwprofiles import Profile, digest_of
from hwprofiles.errors import CandidateError, StageTimeout
from search.gains.whole_model import LIMIT_S, WholeModel, runs
from search.json_cache import JsonCache

VERSION = 1
"""Part of every cached loss's name; raised when the measurement changes."""

ROWS = 32
"""Calibration samples whose outputs are compared with the fp32 model's."""

EQUAL = 0.1
"""Losses that differ by less than this share are equal."""

_SUMS_IN_32_BITS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_OF_X86 = frozenset({"ssse3", "sse4_1", "avx", "avx2"})


def may_saturate(profile: Profile) -> bool:
    """Returns whether a device is an x86 processor without an instruction that sums int8 products in 32 bits at once.

    It adds two products in 16 bits, where twice 255 x 127 overflows.
    """
    instructions = set(profile.instruction_sets)
    return (
        profile.gpu is None
        and not profile.simulated
        and bool(instructions & _OF_X86)
        and not instructions & _SUMS_IN_32_BITS
    )


def prefers_7_bits(full: Answer, reduced: Answer) -> bool:
    """Returns whether 7-bit weights are better, given the answers for ``full`` and ``reduced`` range.

    They are if they lose less, or lose as much and are faster; also if the losses are unknown, since full range may
    saturate.
    """
    if not runs(reduced) or not runs(full):
        return runs(reduced)
    ours, theirs = full.get("loss"), reduced.get("loss")
    if ours is None or theirs is None:
        return True
    if abs(ours - theirs) <= EQUAL * max(ours, theirs):
        return bool(reduced.get("ratio", 0.0) > full.get("ratio", 0.0))
    return bool(theirs < ours)


def measure_loss(
    model: WholeModel, question: Sequence[Any], build: Callable[[], onnx.ModelProto], runtime: str
) -> float | None:
    """Measures 1 - the mean cosine between the device's outputs in ``runtime`` and those of the fp32 model; cached.

    ``question`` (JSON-able) names the model that ``build`` makes. None if the device returns no outputs.
    """
    subject, device = model.subject, model.device
    cached = JsonCache(subject.cache / "gains")
    name = digest_of(["loss", VERSION, ROWS, subject.digest, list(question), runtime, device.profile.digest])
    if name in cached:
        return float(cached[name]["loss"])
    inputs = subject.sample_of(device.profile) if subject.task is None else subject.task.inputs("calibration")
    rows = inputs if subject.task is None else {name: values[:ROWS] for name, values in inputs.items()}
    report(f"comparing int8 outputs in {runtime} with fp32")
    with tempfile.TemporaryDirectory(prefix="paretune-loss-") as folder:
        baseline, candidate = Path(folder) / "baseline.onnx", Path(folder) / "candidate.onnx"
        try:
            save_model(subject.model, baseline)
            save_model(build(), candidate)
            theirs = device.outputs(baseline, rows, limit_s=LIMIT_S)
            ours = device.outputs(candidate, rows, limit_s=LIMIT_S, runtime=runtime)
        except (CandidateError, StageTimeout):
            return None
    cosine = fidelity(ours, theirs).get("cosine") if ours and theirs else None
    if cosine is None:
        return None
    cached[name] = {"loss": 1.0 - float(cosine.mean())}
    return float(cached[name]["loss"])
