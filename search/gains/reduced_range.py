"""Whether int8 weights leave a bit unused: for processors whose sums of products saturate in 16 bits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from evaluators.graphs.model import save_model
from evaluators.measuring.quality import fidelity
from evaluators.probing.questions import Answer
from evaluators.processes.sandbox_child import report
from hwprofiles import Profile, digest_of
from hwprofiles.errors import CandidateError, StageTimeout
from search.gains.whole_model import LIMIT_S, WholeModel, runs
from search.json_cache import JsonCache

VERSION = 1
"""Part of every loss's name; raised when what is asked changes."""

ROWS = 32
"""Of calibration, for which a model's answers are compared with the fp32 model's."""

EQUAL = 0.1
"""Losses that differ by less than this share are equal."""

_SUMS_IN_32_BITS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
_OF_X86 = frozenset({"ssse3", "sse4_1", "avx", "avx2"})


def may_saturate(profile: Profile) -> bool:
    """Whether a device is an x86 processor without an instruction that sums int8 products in 32 bits at once: two of
    them are summed in 16, where 255 x 127 twice does not fit."""
    known = set(profile.instruction_sets)
    return profile.gpu is None and not profile.simulated and bool(known & _OF_X86) and not known & _SUMS_IN_32_BITS


def wants_less(full: Answer, reduced: Answer) -> bool:
    """Whether weights of 7 bits are the better ones, by what a model gains with all of them and with less: where they
    lose less, or as much and are faster. Where losses are not known the right answer may be the saturated one: less."""
    if not runs(reduced) or not runs(full):
        return runs(reduced)
    ours, theirs = full.get("loss"), reduced.get("loss")
    if ours is None or theirs is None:
        return True
    if abs(ours - theirs) <= EQUAL * max(ours, theirs):
        return bool(reduced.get("ratio", 0.0) > full.get("ratio", 0.0))
    return bool(theirs < ours)


def lost_on(
    model: WholeModel, question: Sequence[Any], build: Callable[[], onnx.ModelProto], runtime: str
) -> float | None:
    """How far the device's own answers with a model in ``runtime`` lie from those with fp32: one less their mean
    cosine. None where it cannot say; ``question`` (JSON-able) names what ``build`` makes. Kept like other answers."""
    subject, device = model.subject, model.device
    known = JsonCache(subject.cache / "gains")
    name = digest_of(["loss", VERSION, ROWS, subject.digest, list(question), runtime, device.profile.digest])
    if name in known:
        return float(known[name]["loss"])
    inputs = subject.sample_of(device.profile) if subject.task is None else subject.task.inputs("calibration")
    rows = inputs if subject.task is None else {name: values[:ROWS] for name, values in inputs.items()}
    report(f"looking at what int8 loses on the device in {runtime}")
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
    known[name] = {"loss": 1.0 - float(cosine.mean())}
    return float(known[name]["loss"])
