"""The quantisation scheme in which a runtime computes static int8 fastest: measured, since a wrong one can be slower
than fp32."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any, Literal

import onnx

from evaluators.probing.answers import Answer, failure_of
from evaluators.processes.locks import pause_point
from evaluators.processes.sandbox_child import report
from evaluators.quantize import Quantizer, Scheme, activation_tensors
from evaluators.quantize.calibration import Ranges, calibrate
from hwprofiles import Precision, digest_of
from hwprofiles.errors import BuildFailed, UnsupportedOp
from search.folders import write_json
from search.gains.reduced_range import may_saturate, measure_loss, prefers_7_bits
from search.gains.whole_model import LIMIT_S, WholeModel, runs
from search.space.candidate import RUNTIME
from search.subject import Draft, Subject

SAMPLES = 128
"""Calibration samples, unless a job says otherwise."""

_ACTIVATIONS: tuple[tuple[Literal["uint8", "int8"], bool], ...] = (("uint8", False), ("int8", True))
"""Activation type, and whether its zero point is in the middle: the first suits kernels of processors, the second
GPUs and OpenVINO (which computes matrix products in float with another zero point)."""

_REFUSED = (BuildFailed.state, UnsupportedOp.state)


def measure_best_static(
    model: WholeModel, runtime: str, base: Scheme | None = None, method: str = "minmax", samples: int = SAMPLES,
    activations: str = "auto",
) -> tuple[Scheme | None, Answer]:  # fmt: skip
    """Measures the scheme in which the whole model in static int8 is fastest in a runtime, in up to minutes.

    A scheme that is refused is tried again with float biases, as TensorRT wants them. Returns the scheme and its
    answer; None and the last reason if no scheme runs.
    """
    best: tuple[Scheme | None, Answer] = (None, {"reason": "no layer can be static int8"})
    for scheme, answer in measure_static_schemes(model, runtime, base or Scheme(), method, samples, activations):
        if best[0] is None or answer.get("ratio", 0.0) > best[1].get("ratio", 0.0):
            best = (scheme if runs(answer) else None, answer)
    return best


def measure_static_schemes(
    model: WholeModel, runtime: str, base: Scheme, method: str, samples: int, activations: str
) -> Iterator[tuple[Scheme, Answer]]:
    """Measures the whole model in static int8 in a runtime with every scheme; yields scheme and answer."""
    if not any(Precision.INT8 in group.precisions for group in model.subject.groups):
        return
    for kind, symmetric in _ACTIVATIONS:
        if activations not in ("auto", kind):
            continue
        for integer_bias in (True, False):
            scheme = replace(
                base, activation_type=kind, symmetric_activations=symmetric, integer_bias=integer_bias
            )  # fmt: skip
            answer = measure_static_gain(model, runtime, scheme, method, samples)
            yield scheme, answer
            if failure_of(answer) not in _REFUSED:
                break


def compare_weight_ranges(
    model: WholeModel, runtime: str, scheme: Scheme, method: str = "minmax", samples: int = SAMPLES
) -> list[tuple[Scheme, Answer]]:
    """Measures a scheme and, on a processor that may saturate, the same with 7-bit weights; the better one first.

    Answers for such a processor have the ``loss``; see :func:`search.gains.reduced_range.prefers_7_bits`.
    """
    full = measure_static_gain(model, runtime, scheme, method, samples)
    if not may_saturate(model.device.profile) or not any(Precision.INT8 in g.precisions for g in model.subject.groups):
        return [(scheme, full)]
    answers: list[tuple[Scheme, Answer]] = []
    for variant in (scheme, replace(scheme, reduce_range=True)):
        answer = measure_static_gain(model, runtime, variant, method, samples)
        loss = measure_loss(
            model, _question(variant, method, samples), _static_builder(model, variant, method, samples), runtime
        )
        answers.append((variant, answer if loss is None else {**answer, "loss": loss}))
    return answers[::-1] if prefers_7_bits(answers[0][1], answers[1][1]) else answers


def measure_static_gain(
    model: WholeModel, runtime: str, scheme: Scheme, method: str = "minmax", samples: int = SAMPLES,
    limit_s: float = LIMIT_S,
) -> Answer:  # fmt: skip
    """Measures the whole model in static int8 in a runtime with one scheme."""
    report(f"benchmarking {scheme.activation_type} activations on {runtime}")
    build = _static_builder(model, scheme, method, samples)
    return model.measure_gain(_question(scheme, method, samples), build, runtime, limit_s)


def _question(scheme: Scheme, method: str, samples: int) -> list[Any]:
    return ["static", asdict(scheme), method, samples]


def _static_builder(model: WholeModel, scheme: Scheme, method: str, samples: int) -> Callable[[], onnx.ModelProto]:
    """Returns a function that builds the whole model in static int8."""
    subject = model.subject
    everything = {g.name: Precision.INT8 for g in subject.groups if Precision.INT8 in g.precisions}

    def build() -> onnx.ModelProto:
        draft = Draft(subject.model, subject.groups)
        ranges = calibrate_ranges(subject, draft, method, samples)
        return Quantizer(draft.model, draft.groups, ranges, scheme).apply(everything)

    return build


def calibrate_ranges(subject: Subject, draft: Draft, method: str, samples: int) -> Ranges:
    """Returns the ranges of a graph's activations, calibrated on first use and cached by model, data and method."""
    tensors = sorted(activation_tensors(draft.model, draft.groups))
    module = [draft.digest] if draft.digest else []
    name = digest_of([subject.digest, graph_digest(draft.model), tensors, method, samples, *module])
    path = subject.cache / "calibration" / f"{name}.json"
    if path.exists():
        return Ranges.from_dict(json.loads(path.read_text()))
    report(f"calibrating activations ({method})")
    batches = subject.calibration_batches(samples)

    def between_batches() -> None:
        pause_point()
        subject.deadline.check()

    ranges = calibrate(draft.model, batches, tensors, method, between_batches=between_batches)  # type: ignore[arg-type]
    write_json(path, ranges.to_dict())
    return ranges


def graph_digest(model: onnx.ModelProto) -> str:
    """Names a graph's structure; its weights are named by the subject's or the draft's digest."""
    return digest_of([[node.op_type, list(node.input), list(node.output)] for node in model.graph.node])


def answer_row(runtime: str, precision: str, scheme: Scheme | None, answer: Answer) -> dict[str, Any]:
    """Returns an answer about the whole model, as it is shown."""
    symmetric = scheme is not None and scheme.symmetric_activations
    reduced = scheme is not None and scheme.reduce_range
    activations = (
        "" if scheme is None else scheme.activation_type + " symmetric" * symmetric + ", 7-bit weights" * reduced
    )
    values = {"precision": str(precision)} if precision != Precision.FP32 else {}
    return {
        "layer": "all", "precision": precision, "activations": activations, "runtime": runtime,
        "values": {**values, RUNTIME: runtime}, **answer,
    }  # fmt: skip
